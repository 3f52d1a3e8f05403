"""Poses of people in one's own images: from files and boxes to joints in px and in mm.

Knows images, boxes and a trained network's answers; writes nothing. Pixels are 0-based in the upright image (its EXIF
orientation applied), x right, y down. Space is the camera's axes: x right, y down, z away from the camera, mm, the
origin the person's pelvis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sanpose.data import crop, jpeg_files
from sanpose.errors import UserError
from sanpose.evaluation.predictions import infer
from sanpose.inference.boxes import Box, require_inside, whole
from sanpose.inference.trained import TrainedNetwork
from sanpose.pose.cameras import back_project
from sanpose.pose.joints import JointSet

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_EXIF = 65536  # the first segments of a JPEG file
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal lengths f and principal point c, px; and the depth of the pelvises, mm."""

    f: tuple[float, float]
    c: tuple[float, float]
    root_depth: float


@dataclass(frozen=True)
class Photo:
    """An image to look at: its file, size in px, people's boxes."""

    path: Path
    width: int
    height: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Person:
    """One pose: keypoints (J, 2) image px, scores (J,) in [0, 1], keypoints3d (J, 3) mm from the pelvis, and, where the
    camera is known, the pelvis' own position (3,) mm. `mm_per_px`: at the pelvis' depth."""

    box: Box
    keypoints: Array
    scores: Array
    keypoints3d: Array
    pelvis: Array | None
    mm_per_px: float


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The image files among files and folders (not their subfolders), by name within a folder.

    Raises UserError when one is missing, a folder holds no image, or two share the name that results would get.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise UserError("this folder holds no image", where=path, expected=", ".join(SUFFIXES))
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError("there is no such image or folder", where=path)
    by_name: dict[str, Path] = {}
    for path in found:
        if path.stem in by_name:
            raise UserError(
                f"two images would give results of the same name '{path.stem}'",
                where=f"{by_name[path.stem]} and {path}",
                hint="predict them one after the other, each with its own --out",
            )
        by_name[path.stem] = path
    return found


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as RGB (H, W, 3) uint8, upright. Raises UserError when it cannot be read."""
    return crop.decode(_bytes(path), where=path)


def photos(paths: Sequence[Path], boxes: Sequence[Sequence[Box]] | None) -> list[Photo]:
    """The images with their boxes; without any, each whole image is one box. Everything is checked here.

    Raises UserError for an image that cannot be read, and a box outside its image.
    """
    out = []
    for i, path in enumerate(paths):
        height, width = read_image(path).shape[:2]
        chosen = tuple(boxes[i]) if boxes is not None else (whole(width, height),)
        for j, box in enumerate(chosen):
            require_inside(box, width, height, f"{path}, box {j}")
        out.append(Photo(path, width, height, chosen))
    return out


def predict(
    network: TrainedNetwork,
    looked_at: Sequence[Photo],
    *,
    camera: Pinhole | None = None,
    flip_test: bool = False,
) -> Iterator[tuple[Photo, list[Person]]]:
    """Each image's people, image after image; crops are batched (`eval.batch_size`) across images.

    Raises UserError when an image can no longer be read, or the network's answer is not finite.
    """
    size = network.config.eval.batch_size
    places = [(i, j) for i, photo in enumerate(looked_at) for j in range(len(photo.boxes))]
    people: dict[int, list[Person]] = {i: [] for i in range(len(looked_at))}
    done = 0
    for begin in range(0, len(places), size):
        batch = [(looked_at[i], looked_at[i].boxes[j]) for i, j in places[begin : begin + size]]
        for (i, _), person in zip(
            places[begin : begin + size], _people(network, batch, camera, flip_test), strict=True
        ):
            people[i].append(person)
        while done < len(looked_at) and len(people[done]) == len(looked_at[done].boxes):
            yield looked_at[done], people.pop(done)
            done += 1
    for i in range(done, len(looked_at)):
        yield looked_at[i], people[i]


def arranged(people: Sequence[Person], joints: JointSet) -> Array:
    """Poses (people, J, 3) in mm for one picture of them all: at the pelvises' own places where the camera is known,
    else side by side as in the image, at the people's mean scale.
    """
    root = joints.index("pelvis")
    poses: Array = np.array([p.keypoints3d for p in people], np.float64).reshape(-1, len(joints), 3)
    if people and people[0].pelvis is not None:
        poses += np.array([p.pelvis for p in people])[:, None]
    elif people:
        scale = np.mean([p.mm_per_px for p in people])
        pelvises = np.array([p.keypoints[root] for p in people])
        poses[..., :2] += ((pelvises - pelvises.mean(0)) * scale)[:, None]
    return poses


def describe(network: TrainedNetwork, photo: Photo, people: Sequence[Person], camera: Pinhole | None) -> dict[str, Any]:
    """One image's result as plain data, with its units and frames stated."""
    if camera is None:
        scale = f"weak perspective: the shorter side of a person's crop stands for {crop.DEPTH_MM:g} mm at every depth"
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


def _plain(person: Person) -> dict[str, Any]:
    box: dict[str, Any] = {"box": list(person.box.xywh), "box_padding": person.box.padding}
    if person.box.score is not None:
        box["box_score"] = person.box.score
    pose: dict[str, Any] = {
        "keypoints": person.keypoints.round(3).tolist(),
        "scores": person.scores.round(5).tolist(),
        "keypoints3d": person.keypoints3d.round(3).tolist(),
    }
    if person.pelvis is not None:
        pose["pelvis"] = person.pelvis.round(3).tolist()
    return box | pose


def _people(
    network: TrainedNetwork, batch: Sequence[tuple[Photo, Box]], camera: Pinhole | None, flip_test: bool
) -> Iterator[Person]:
    width, height = network.config.data.input_width, network.config.data.input_height
    views = [crop.view_of(np.array(box.xywh), box.padding, width, height) for _, box in batch]
    files = {photo.path: _bytes(photo.path) for photo, _ in batch}
    crops = [
        crop.crop(files[photo.path], view, width, height, photo.path)
        for (photo, _), view in zip(batch, views, strict=True)
    ]
    images = torch.from_numpy(np.stack(crops))
    coordinates, scores = infer(network.forward, images, network.joints, flip_test=flip_test)
    for i, ((photo, box), view) in enumerate(zip(batch, views, strict=True)):
        if not np.isfinite(coordinates[i]).all():
            raise UserError("the network's answer is not finite", where=photo.path, hint="another --checkpoint")
        pixels = crop.from_normalised(coordinates[i, :, :2], view, width, height)
        yield _person(box, pixels, coordinates[i, :, 2].astype(np.float64), scores[i], view, camera, network.joints)


def _person(
    box: Box,
    pixels: Array,
    depth: Array,
    scores: npt.NDArray[np.float32],
    view: crop.CropView,
    camera: Pinhole | None,
    joints: JointSet,
) -> Person:
    """A pose in mm, from pixels (J, 2) in the image and depth (J,) in the network's unit: the side of the region that
    the crop shows (its shorter one, as Human3.6M's boxes are squares of 2000 mm at the pelvis' depth).

    With a camera that side is as many mm as the pinhole says; without one it is taken as 2000 mm.
    """
    root, side = joints.index("pelvis"), min(view.size)
    depth = depth - depth[root]
    score = scores.astype(np.float64)
    if camera is None:
        scale = crop.DEPTH_MM / side
        space = np.column_stack([(pixels - pixels[root]) * scale, depth * crop.DEPTH_MM])
        return Person(box, pixels, score, space, None, scale)
    scale = camera.root_depth / float(np.mean(camera.f))
    z = camera.root_depth + depth * side * scale
    space = back_project(pixels, z, np.array(camera.f), np.array(camera.c))
    return Person(box, pixels, score, space - space[root], space[root], scale)


def _bytes(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as JPEG bytes, upright where its EXIF orientation says that it lies. Raises UserError."""
    try:
        data = np.frombuffer(jpeg_files.load(path).data, np.uint8)
    except jpeg_files.BadImageError as error:
        raise UserError(error.message, where=path, expected=f"a whole image: {', '.join(SUFFIXES)}") from error
    except cv2.error as error:
        raise UserError(f"the image cannot be read ({' '.join(str(error).split())})", where=path) from error
    if b"Exif" not in data[:_EXIF].tobytes():
        return data
    upright = cv2.imdecode(data, cv2.IMREAD_COLOR)
    stored = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if upright is None or stored is None or np.array_equal(upright, stored):
        return data
    return np.asarray(cv2.imencode(".jpg", upright, [cv2.IMWRITE_JPEG_QUALITY, 100])[1], np.uint8).ravel()
