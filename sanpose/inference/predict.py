"""Poses of people in a user's own images: from images and boxes to joints in px and in mm.

Knows photos, boxes and a network's forward pass; writes nothing. Pixels are 0-based in the upright image, x right, y
down. Space is the camera's axes: x right, y down, z away from the camera, mm; the origin is the person's pelvis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sanpose.config.schema import Config
from sanpose.data import crop
from sanpose.errors import UserError
from sanpose.evaluation.predictions import Forward, infer
from sanpose.inference.boxes import Box
from sanpose.inference.photos import Photo
from sanpose.pose.cameras import back_project
from sanpose.pose.joints import TRAINING, JointSet

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal lengths f and principal point c, px; and the depth of the pelvises, mm.

    Raises UserError for numbers that are not finite, and for focal lengths and depths that are not above 0.
    """

    f: tuple[float, float]
    c: tuple[float, float]
    root_depth: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (*self.f, *self.c)) or min(self.f) <= 0:
            raise UserError(
                f"f {self.f} px with c {self.c} px is not a camera",
                where="the camera",
                expected="fx, fy above 0 and cx, cy, in px, such as f (1145, 1144) and c (512, 515)",
            )
        if not (math.isfinite(self.root_depth) and self.root_depth > 0):
            raise UserError(
                f"a camera cannot see a pelvis at the depth {self.root_depth:g} mm",
                where="the depth of the pelvises",
                expected="a depth above 0 mm",
            )


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


@dataclass(frozen=True, eq=False)
class PredictedPoses:
    """The poses of N people, J joints each; all arrays are float64 except `image`.

    joints: the names of the J joints. image: (N,) int64, the index of the person's image. boxes: (N, 4) x, y, width,
    height in px of the image. keypoints: (N, J, 2) x, y in px of the upright original image, (0, 0) the centre of the
    first pixel, x right, y down. scores: (N, J) in [0, 1], the peak of a joint's probability over the image plane; not
    calibrated. keypoints3d: (N, J, 3) mm relative to the pelvis, along the camera's axes: x right, y down, z away from
    the camera. pelvis: (N, 3) mm in the camera frame (origin: the camera), None without a camera. Without a camera the
    scale of keypoints3d is a guess: the shorter side of a person's crop stands for 2000 mm.
    """

    joints: tuple[str, ...]
    image: npt.NDArray[np.int64]
    boxes: Array
    keypoints: Array
    scores: Array
    keypoints3d: Array
    pelvis: Array | None

    def __len__(self) -> int:
        return len(self.image)

    @property
    def depth(self) -> Array:
        """The joints' depth (N, J) relative to the pelvis, mm, positive away from the camera."""
        return self.keypoints3d[..., 2]

    def in_camera_frame(self) -> Array:
        """The joints (N, J, 3) in mm in the camera frame: x right, y down, z away, the camera at the origin.

        Raises UserError when the poses were predicted without a camera.
        """
        if self.pelvis is None:
            raise UserError(
                "the position in the camera frame is not known without a camera",
                expected="poses predicted with a camera and the depth of the pelvis",
                hint="network.predict(images, boxes, camera=sanpose.Pinhole(f=(fx, fy), c=(cx, cy), root_depth=5000))",
            )
        return self.keypoints3d + self.pelvis[:, None]


def predict(
    config: Config,
    forward: Forward,
    photos: Sequence[Photo],
    *,
    camera: Pinhole | None = None,
    flip_test: bool = False,
) -> Iterator[tuple[Photo, list[Person]]]:
    """Each image's people, image after image; crops are batched (`eval.batch_size`) across images.

    Raises UserError when an image can no longer be read, or the network's output is not finite.
    """
    size = config.eval.batch_size
    places = [(i, j) for i, photo in enumerate(photos) for j in range(len(photo.boxes))]
    people: dict[int, list[Person]] = {i: [] for i in range(len(photos))}
    done = 0
    for begin in range(0, len(places), size):
        part = places[begin : begin + size]
        batch = [(photos[i], photos[i].boxes[j]) for i, j in part]
        for (i, _), person in zip(part, _people(config, forward, batch, camera, flip_test), strict=True):
            people[i].append(person)
        while done < len(photos) and len(people[done]) == len(photos[done].boxes):
            yield photos[done], people.pop(done)
            done += 1
    for i in range(done, len(photos)):
        yield photos[i], people[i]


def stacked(
    predicted: Iterable[tuple[Photo, Sequence[Person]]], joints: JointSet, camera: Pinhole | None
) -> PredictedPoses:
    """The people of all images as arrays, in the order of the images and their boxes."""
    rows = [(i, person) for i, (_, people) in enumerate(predicted) for person in people]
    people, count = [person for _, person in rows], len(joints)
    return PredictedPoses(
        joints=joints.joints,
        image=np.array([i for i, _ in rows], np.int64),
        boxes=np.array([person.box.xywh for person in people], np.float64).reshape(-1, 4),
        keypoints=np.array([person.keypoints for person in people], np.float64).reshape(-1, count, 2),
        scores=np.array([person.scores for person in people], np.float64).reshape(-1, count),
        keypoints3d=np.array([person.keypoints3d for person in people], np.float64).reshape(-1, count, 3),
        pelvis=None if camera is None else np.array([p.pelvis for p in people], np.float64).reshape(-1, 3),
    )


def arranged(people: Sequence[Person], joints: JointSet) -> Array:
    """Poses (people, J, 3) in mm for one picture of all people: at the pelvises' positions where the camera is known,
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


def _people(
    config: Config, forward: Forward, batch: Sequence[tuple[Photo, Box]], camera: Pinhole | None, flip_test: bool
) -> Iterator[Person]:
    width, height, joints = config.data.input_width, config.data.input_height, TRAINING[config.model.joints]
    views = [crop.view_of(np.array(box.xywh), box.padding, width, height) for _, box in batch]
    crops: list[npt.NDArray[np.uint8]] = []
    last: Photo | None = None
    for (photo, _), view in zip(batch, views, strict=True):
        if photo is not last:
            jpeg, last = photo.load(), photo
        crops.append(crop.crop(jpeg, view, width, height, photo.path))
    images = torch.from_numpy(np.stack(crops))
    coordinates, scores = infer(forward, images, joints, flip_test=flip_test)
    for i, ((photo, box), view) in enumerate(zip(batch, views, strict=True)):
        if not np.isfinite(coordinates[i]).all():
            raise UserError("the network's output is not finite", where=photo.path, hint="another checkpoint")
        pixels = crop.from_normalised(coordinates[i, :, :2], view, width, height)
        yield _person(box, pixels, coordinates[i, :, 2].astype(np.float64), scores[i], view, camera, joints)


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
    the crop shows (its shorter side, as Human3.6M's boxes are squares of 2000 mm at the pelvis' depth).

    With a camera, the pinhole gives the length of that side in mm; without a camera it is taken as 2000 mm.
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
