"""`sanpose predict`: poses of people in a user's own images, as pictures and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.explicit import explicit_options
from sanpose.cli.options import checkpoint_option, run_option, runs_option
from sanpose.cli.quiet import quiet_libraries
from sanpose.errors import UserError

if TYPE_CHECKING:
    from sanpose.inference.photos import Photo
    from sanpose.inference.predict import Person, Pinhole
    from sanpose.inference.trained import TrainedNetwork

PATH = click.Path(path_type=Path)
_ENDS = ("overlay.png", "skeleton3d.png", "json")


def _camera(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        raise UserError(
            f"'{text}' is not a camera", where="--camera", expected="fx,fy,cx,cy in px, such as 1145,1144,512,515"
        )
    return values


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH)
@run_option
@runs_option
@checkpoint_option
@click.option("--boxes", type=PATH, metavar="FILE.json", help="People's boxes, in px (see above).")
@click.option("--min-score", type=float, default=0.0, show_default=True, help="Ignore boxes with a lower score.")
@click.option(
    "--padding",
    type=click.FloatRange(0.1, 10),
    default=1.25,
    show_default=True,
    help="The factor by which boxes grow; 1 for Human3.6M's 2 m squares.",
)
@click.option("--out", type=PATH, default="predictions", show_default=True, help="The folder of the results.")
@click.option("--camera", callback=_camera, metavar="fx,fy,cx,cy", help="The camera in px; requires --root-depth.")
@click.option("--root-depth", type=float, metavar="MM", help="The depth of the pelvises, mm; requires --camera.")
@click.option("--flip-test", is_flag=True, help="Average with the mirrored image; takes twice the time.")
@quiet_libraries()
def predict(
    images: tuple[Path, ...],
    run: str,
    runs: Path,
    checkpoint: str,
    boxes: Path | None,
    min_score: float,
    padding: float,
    out: Path,
    camera: tuple[float, ...] | None,
    root_depth: float | None,
    flip_test: bool,
) -> None:
    """Estimate the poses of people in IMAGES, which are files or folders.

    For each NAME.jpg the command writes NAME.overlay.png, NAME.skeleton3d.png and NAME.json into the folder --out.
    Images of one name from several folders get their results in subfolders of --out. An image that cannot be read
    does not stop the others: the end of the output names it, and the exit code is 1.

    Without --boxes the whole image is one person. Pass boxes if an image shows several people, or small people.
    FILE.json is a list of COCO's detections, [{"file_name" or "image_id", "bbox", "score"}, ...], or an object
    {"name.jpg": [[x, y, width, height], ...]}; pixels are counted from 0 in the upright image. The boxes must be tight;
    they grow by the factor --padding.

    3D is in mm, relative to the pelvis, x right, y down, z away. Without a camera the scale is a guess: the crop's
    shorter side stands for 2000 mm. With --camera and --root-depth the scale is the pinhole's.
    """
    from sanpose.inference import photos as library
    from sanpose.inference import trained
    from sanpose.inference.boxes import read_boxes
    from sanpose.inference.predict import predict as poses
    from sanpose.runs import lookup

    unused = explicit_options("min_score", "padding") if boxes is None else []
    if unused:
        raise UserError(
            f"{unused[0]} has no effect without --boxes",
            expected="--boxes FILE.json; without --boxes the whole image is one person",
        )
    pinhole = _pinhole(camera, root_depth)
    paths = library.find_images(images)
    photos, unreadable = library.readable(
        paths, None if boxes is None else read_boxes(boxes, paths, padding=padding, min_score=min_score)
    )
    if not photos:
        raise unreadable[0]
    network = trained.load(lookup.find(runs, run), checkpoint)
    if out.exists() and not out.is_dir():
        raise UserError("the folder of the results is a file", where=out, hint="another --out")
    out.mkdir(parents=True, exist_ok=True)
    names = dict(zip((photo.path for photo in photos), library.result_names([p.path for p in photos]), strict=True))
    count = 0
    for photo, people in poses(network.config, network.forward, photos, camera=pinhole, flip_test=flip_test):
        _write(out / names[photo.path], network, photo, people, pinhole)
        count += len(people)
    click.echo(f"{count} people in {len(photos)} images, by run {network.run}: {out}")
    for error in unreadable:
        click.echo(f"error: {error}", err=True)
    if unreadable:
        click.echo(f"{len(unreadable)} of {len(paths)} images could not be read", err=True)
        raise SystemExit(1)


def _pinhole(camera: tuple[float, ...] | None, root_depth: float | None) -> Pinhole | None:
    from sanpose.inference.predict import Pinhole

    if camera is None and root_depth is None:
        return None
    if camera is None or root_depth is None:
        raise UserError(
            "--camera and --root-depth need each other",
            expected="both --camera fx,fy,cx,cy (px) and --root-depth MM, or neither",
        )
    fx, fy, cx, cy = camera
    return Pinhole((fx, fy), (cx, cy), root_depth)


def _write(path: Path, network: TrainedNetwork, photo: Photo, people: list[Person], pinhole: Pinhole | None) -> None:
    """The results of one image: `path` with three suffixes."""
    import numpy as np

    from sanpose.inference.photos import read_image
    from sanpose.inference.predict import arranged
    from sanpose.pose import draw
    from sweeps.files import to_json, write_atomic

    joints = network.joints
    flat = np.array([p.keypoints for p in people]).reshape(-1, len(joints), 2)
    space = arranged(people, joints)
    path.parent.mkdir(parents=True, exist_ok=True)
    overlay, skeleton, document = (path.with_name(f"{path.name}.{end}") for end in _ENDS)
    draw.write_png(overlay, draw.overlay(read_image(photo.path), flat, joints))
    draw.write_png(skeleton, draw.skeleton_3d(space, joints, title=photo.path.name))
    write_atomic(document, to_json(_document(network, photo, people, pinhole)))


def _document(
    network: TrainedNetwork, photo: Photo, people: Sequence[Person], camera: Pinhole | None
) -> dict[str, object]:
    """One image's result as plain data, with its units and frames."""
    from sanpose.data.crop import DEPTH_MM

    if camera is None:
        scale = f"weak perspective: the shorter side of a person's crop stands for {DEPTH_MM:g} mm at every depth"
    else:
        scale = f"pinhole: f {camera.f} px, c {camera.c} px, every pelvis {camera.root_depth:g} mm away"
    return {
        "image": photo.path.name,
        "size": [photo.width, photo.height],
        "run": network.run,
        "checkpoint": network.checkpoint.path.name,
        "joints": list(network.joints.joints),
        "keypoints": {
            "unit": "px",
            "frame": "the upright image: x right, y down, (0, 0) the centre of the first pixel",
        },
        "scores": "0..1, the peak of a joint's probability over the image plane; not calibrated",
        "keypoints3d": {
            "unit": "mm",
            "frame": "camera axes: x right, y down, z away from the camera; origin: the person's pelvis",
            "scale": scale,
        },
        "people": [_plain(person) for person in people],
    }


def _plain(person: Person) -> dict[str, object]:
    box: dict[str, object] = {"box": list(person.box.xywh), "box_padding": person.box.padding}
    if person.box.score is not None:
        box["box_score"] = person.box.score
    pose: dict[str, object] = {
        "keypoints": person.keypoints.round(3).tolist(),
        "scores": person.scores.round(5).tolist(),
        "keypoints3d": person.keypoints3d.round(3).tolist(),
    }
    if person.pelvis is not None:
        pose["pelvis"] = person.pelvis.round(3).tolist()
    return box | pose
