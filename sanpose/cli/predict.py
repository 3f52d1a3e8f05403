"""`sanpose predict`: poses of people in one's own images, as pictures and JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.explicit import explicit_options
from sanpose.errors import UserError

if TYPE_CHECKING:
    from sanpose.inference.predict import Person, Photo, Pinhole
    from sanpose.inference.trained import TrainedNetwork

PATH = click.Path(path_type=Path)


def _camera(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4 or not all(math.isfinite(v) for v in values) or min(values[:2]) <= 0:
        raise UserError(
            f"'{text}' is not a camera", where="--camera", expected="fx,fy,cx,cy in px, such as 1145,1144,512,515"
        )
    return values


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option("--run", required=True, metavar="ID", help="The run, by a prefix of its id.")
@click.option("--runs", type=PATH, default="runs", show_default=True, help="Where the runs lie.")
@click.option("--checkpoint", default="last", show_default=True, help="last, best, or a checkpoint's name.")
@click.option("--boxes", type=PATH, metavar="FILE.json", help="People's boxes, in px (see above).")
@click.option("--min-score", type=float, default=0.0, show_default=True, help="Leave out boxes detected with less.")
@click.option(
    "--padding",
    type=click.FloatRange(0.1, 10),
    default=1.25,
    show_default=True,
    help="What boxes grow by; 1 for Human3.6M's 2 m squares.",
)
@click.option("--out", type=PATH, default="predictions", show_default=True, help="The folder of the results.")
@click.option("--camera", callback=_camera, metavar="fx,fy,cx,cy", help="The camera in px; with --root-depth.")
@click.option("--root-depth", type=float, metavar="MM", help="How far the pelvises are from the camera, mm.")
@click.option("--flip-test", is_flag=True, help="Average with the mirrored image: twice the time.")
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

    For each NAME.jpg there will be NAME.overlay.png, NAME.skeleton3d.png and NAME.json in the folder --out.

    Without --boxes the whole image is taken for one person; give boxes where there are several people, or small ones.
    FILE.json is a list of COCO's detections, [{"file_name" or "image_id", "bbox", "score"}, ...], or an object
    {"name.jpg": [[x, y, width, height], ...]}; pixels are counted from 0 in the upright image. Boxes are taken to be
    tight, and grow by --padding.

    3D is in mm, relative to the pelvis, x right, y down, z away. Without a camera its scale is a guess: the crop's
    shorter side stands for 2000 mm. With --camera and --root-depth it is the pinhole's.
    """
    from sanpose.inference import predict as library
    from sanpose.inference import trained
    from sanpose.inference.boxes import read_boxes
    from sanpose.runs import lookup

    unread = explicit_options("min_score", "padding") if boxes is None else []
    if unread:
        raise UserError(
            f"{unread[0]} is of the boxes, and none are given",
            expected="--boxes FILE.json; without it the whole image is taken for one person",
        )
    pinhole = _pinhole(camera, root_depth)
    paths = library.find_images(images)
    chosen = None if boxes is None else read_boxes(boxes, paths, padding=padding, min_score=min_score)
    looked_at = library.photos(paths, chosen)
    network = trained.load(lookup.find(runs, run), checkpoint)
    if out.exists() and not out.is_dir():
        raise UserError("the results' folder is a file", where=out, hint="another --out")
    out.mkdir(parents=True, exist_ok=True)
    people = 0
    for photo, found in library.predict(network, looked_at, camera=pinhole, flip_test=flip_test):
        _write(out, network, photo, found, pinhole)
        people += len(found)
    click.echo(f"{people} people in {len(looked_at)} images, by run {network.run}: {out}")


def _pinhole(camera: tuple[float, ...] | None, root_depth: float | None) -> Pinhole | None:
    from sanpose.inference.predict import Pinhole

    if camera is None and root_depth is None:
        return None
    if camera is None or root_depth is None:
        raise UserError(
            "a camera needs the pelvis' depth, and the depth a camera",
            expected="both --camera fx,fy,cx,cy (px) and --root-depth MM, or neither",
        )
    if not (math.isfinite(root_depth) and root_depth > 0):
        raise UserError(f"a pelvis {root_depth:g} mm away cannot be seen", where="--root-depth", expected="above 0 mm")
    fx, fy, cx, cy = camera
    return Pinhole((fx, fy), (cx, cy), root_depth)


def _write(out: Path, network: TrainedNetwork, photo: Photo, people: list[Person], pinhole: Pinhole | None) -> None:
    import numpy as np

    from sanpose.inference.predict import arranged, describe, read_image
    from sanpose.pose import draw
    from sweeps.files import to_json, write_atomic

    joints, name = network.joints, photo.path.stem
    flat = np.array([p.keypoints for p in people]).reshape(-1, len(joints), 2)
    space = arranged(people, joints)
    draw.write_png(out / f"{name}.overlay.png", draw.overlay(read_image(photo.path), flat, joints))
    draw.write_png(out / f"{name}.skeleton3d.png", draw.skeleton_3d(space, joints, title=photo.path.name))
    write_atomic(out / f"{name}.json", to_json(describe(network, photo, people, pinhole)))
