"""The studio set in the JSON form of PoseNet's Human3.6M: pictures, 2D boxes, and 3D joints in mm in the world."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sanpose.data.actions import ACTIONS
from sanpose.data.synth import motions, studio
from sanpose.data.synth.backdrop import jpeg
from sanpose.data.synth.landmarks import joints
from sanpose.data.synth.options import Options
from sanpose.data.synth.person import SUBJECTS, Capsules, Figure
from sanpose.data.synth.render import Image, draw, shadow
from sanpose.data.synth.skeleton import Floats, Posed, forward
from sanpose.pose.joints import H36M17

CAMERAS = (1, 2, 3, 4)
FPS = 50.0
FRAME_STEP = 320
"""The distance of two frames: divisible by the strides 5 (training) and 64 (testing), and 6.4 s of motion."""
_DOG = 15
Job = tuple[int, int]
"""A subject and an action."""


class Shot(NamedTuple):
    """A picture and its labels. frame: 0-based; size: width, height px; world: joints (17, 3) mm; inside: whether each
    joint lies inside the picture; box: x, y, width, height px of the joints."""

    subject: int
    action: int
    camera: int
    frame: int
    file_name: str
    size: tuple[int, int]
    world: list[list[float]]
    inside: list[bool]
    box: list[float]


def jobs(options: Options) -> list[Job]:
    """The jobs of all subjects and actions."""
    return [(subject, action) for subject in options.subjects for action in ACTIONS]


def pictures(options: Options, job: Job) -> int:
    """A job's number of pictures."""
    return options.frames(job[0]) * len(CAMERAS)


def make(options: Options, folder: Path, job: Job) -> list[Shot]:
    """Write the pictures of one subject's action into folder/images."""
    subject, action = job
    person = SUBJECTS[subject]
    figure = Figure(person)
    performance = int(np.random.default_rng([options.seed, 36, subject, action]).integers(1 << 31))
    shots: list[Shot] = []
    for n in range(options.frames(subject)):
        frame = n * FRAME_STEP
        now = motions.moment(action, performance, frame / FPS)
        posed, bodies = _stage(figure, now, action, frame / FPS)
        world = joints(posed, person.lengths, H36M17.joints)
        for number in CAMERAS:
            rng = np.random.default_rng([options.seed, 37, subject, action, frame, number])
            shots.append(_shoot(options, rng, (subject, action, number, frame), world, bodies, folder))
    return shots


def _stage(figure: Figure, now: motions.Moment, action: int, t: float) -> tuple[Posed, list[Capsules]]:
    """The pose of the person on the floor, and the bodies: the person first, then the chair and the dog."""
    posed = forward(now.angles, figure.person.lengths, np.array([*now.ground, 0.0]))
    body = figure(posed)
    lift = np.array([0.0, 0.0, -body.lowest()])
    posed, bodies = posed.moved(lift), [body.moved(lift)]
    heading = float(now.angles[0, 2])
    if now.seat:
        bodies.append(studio.chair(heading, now.ground, posed.origin[0, 2] - 105 * figure.person.girth))
    if action == _DOG:
        ahead, sideways = np.radians(heading), np.radians(heading + 90)
        place = now.ground + 750 * np.array([np.cos(ahead), np.sin(ahead)])
        bodies.append(studio.dog(heading, place + 250 * np.array([np.cos(sideways), np.sin(sideways)]), t))
    return posed, bodies


@lru_cache(maxsize=8)
def _room(subject: int, number: int, scale: float) -> Image:
    return studio.room(studio.view(subject, number, scale))


def _shoot(
    options: Options,
    rng: np.random.Generator,
    numbers: tuple[int, int, int, int],
    world: Floats,
    bodies: list[Capsules],
    folder: Path,
) -> Shot:
    """Draw and write one picture. numbers: subject, action, camera, frame."""
    subject, action, number, frame = numbers
    view = studio.view(subject, number, options.scale)
    picture = _room(subject, number, options.scale).copy()
    for body in bodies:
        shadow(picture, view, body)
    draw(picture, view, bodies, oversampling=options.oversampling)
    video = f"s_{subject:02d}_act_{action:02d}_subact_01_ca_{number:02d}"
    path = folder / "images" / video / f"{video}_{frame + 1:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(picture, rng))
    pixels, _ = view.project(world)
    inside = np.asarray(((pixels > -0.5) & (pixels < np.array(view.camera.size) - 0.5)).all(-1))
    low, high = pixels.min(0), pixels.max(0)
    return Shot(
        *numbers,
        file_name=f"{video}/{path.name}",
        size=view.camera.size,
        world=world.round(3).tolist(),
        inside=inside.tolist(),
        box=[*low.round(2).tolist(), *(high - low).round(2).tolist()],
    )


def finish(options: Options, folder: Path, shots: list[Shot]) -> None:
    """Write the annotation files of all subjects."""
    (folder / "annotations").mkdir()
    for subject, group in groupby(shots, key=lambda shot: shot.subject):
        own = list(group)
        tables = {"data": _data(own), "camera": _cameras(subject, options.scale), "joint_3d": _world(own)}
        for kind, table in tables.items():
            path = folder / "annotations" / f"Human36M_subject{subject}_{kind}.json"
            path.write_text(json.dumps(table), "utf-8")


def _data(shots: list[Shot]) -> dict[str, object]:
    """The content of _data.json."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for shot in shots:
        identity = len(images) + shot.subject * 1_000_000
        images.append(
            {
                "id": identity, "file_name": shot.file_name, "width": shot.size[0], "height": shot.size[1],
                "subject": shot.subject, "action_name": ACTIONS[shot.action], "action_idx": shot.action,
                "subaction_idx": 1, "cam_idx": shot.camera, "frame_idx": shot.frame,
            }
        )  # fmt: skip
        annotations.append({"id": identity, "image_id": identity, "keypoints_vis": shot.inside, "bbox": shot.box})
    return {"images": images, "annotations": annotations}


def _cameras(subject: int, scale: float) -> dict[str, dict[str, object]]:
    """The content of _camera.json: X_c = R X + t, mm; f, c px of the scaled pictures; k, p distortion."""
    table: dict[str, dict[str, object]] = {}
    for number in CAMERAS:
        view = studio.view(subject, number, scale)
        c, e = view.camera, view.extrinsics
        values = {"R": e.rotation, "t": e.translation, "f": c.f, "c": c.c, "k": c.k, "p": c.p}
        table[str(number)] = {name: value.tolist() for name, value in values.items()}
    return table


def _world(shots: list[Shot]) -> dict[str, dict[str, dict[str, list[list[float]]]]]:
    """The content of _joint_3d.json: joints by action, subaction and frame."""
    table: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for shot in shots:
        if shot.camera == CAMERAS[0]:
            table.setdefault(str(shot.action), {"1": {}})["1"][str(shot.frame)] = shot.world
    return table
