"""The studio set, as Human3.6M in PoseNet's JSON form: pictures, 2D boxes, and 3D joints in mm in the world."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

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
"""Frames are this far apart: kept by every 5th (training) as by every 64th (testing), and 6.4 s of motion."""
_DOG = 15
Job = tuple[int, int]


def jobs(options: Options) -> list[Job]:
    """(subject, action) pairs."""
    return [(subject, action) for subject in options.subjects for action in ACTIONS]


def pictures(options: Options, job: Job) -> int:
    """How many pictures a job makes."""
    return options.frames(job[0]) * len(CAMERAS)


def make(options: Options, job: Job, folder: Path) -> list[dict[str, Any]]:
    """Write the pictures of one subject's action into folder/images. Returns one entry per picture."""
    subject, action = job
    person = SUBJECTS[subject]
    figure = Figure(person)
    performance = int(np.random.default_rng([options.seed, 36, subject, action]).integers(1 << 31))
    entries: list[dict[str, Any]] = []
    for n in range(options.frames(subject)):
        frame = n * FRAME_STEP
        now = motions.moment(action, performance, frame / FPS)
        posed, bodies = _stage(figure, now, action, frame / FPS)
        world = joints(posed, person.lengths, H36M17.joints)
        for number in CAMERAS:
            rng = np.random.default_rng([options.seed, 37, subject, action, frame, number])
            entries.append(_shoot(options, rng, (subject, action, number, frame), world, bodies, folder))
    return entries


def _stage(figure: Figure, now: motions.Moment, action: int, t: float) -> tuple[Posed, list[Capsules]]:
    """The person on the floor (first), the chair and the dog."""
    posed = forward(now.angles, figure.person.lengths, np.array([*now.ground, 0.0]))
    body = figure(posed)
    lift = np.array([0.0, 0.0, -body.lowest()])
    posed, bodies = posed.moved(lift), [body.moved(lift)]
    heading = float(now.angles[0, 2])
    if now.seat:
        bodies.append(studio.chair(heading, now.ground, posed.origin[0, 2] - 105 * figure.person.girth))
    if action == _DOG:
        ahead, left = np.radians(heading), np.radians(heading + 90)
        place = now.ground + 750 * np.array([np.cos(ahead), np.sin(ahead)])
        bodies.append(studio.dog(heading, place + 250 * np.array([np.cos(left), np.sin(left)]), t))
    return posed, bodies


@lru_cache(maxsize=8)
def _room(subject: int, number: int, scale: float) -> Image:
    return studio.room(studio.view(subject, number, scale))


def _shoot(
    options: Options,
    rng: np.random.Generator,
    shot: tuple[int, int, int, int],
    world: Floats,
    bodies: list[Capsules],
    folder: Path,
) -> dict[str, Any]:
    subject, action, number, frame = shot
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
    inside = ((pixels > -0.5) & (pixels < np.array(view.camera.size) - 0.5)).all(-1)
    low, high = pixels.min(0), pixels.max(0)
    return {
        "shot": shot,
        "file_name": f"{video}/{path.name}",
        "size": view.camera.size,
        "world": world.round(3).tolist(),
        "inside": inside.tolist(),
        "box": [*low.round(2).tolist(), *(high - low).round(2).tolist()],
    }


def finish(options: Options, entries: list[dict[str, Any]], folder: Path) -> None:
    """Write the annotation files of all subjects."""
    (folder / "annotations").mkdir()
    for subject, mine in groupby(entries, key=lambda entry: entry["shot"][0]):
        tables = {
            "data": _data(list(mine)),
            "camera": _cameras(subject, options.scale),
            "joint_3d": _world(entries, subject),
        }
        for kind, table in tables.items():
            path = folder / "annotations" / f"Human36M_subject{subject}_{kind}.json"
            path.write_text(json.dumps(table), "utf-8")


def _data(entries: list[dict[str, Any]]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for entry in entries:
        subject, action, number, frame = entry["shot"]
        identity = len(images) + subject * 1_000_000
        images.append(
            {
                "id": identity, "file_name": entry["file_name"], "width": entry["size"][0], "height": entry["size"][1],
                "subject": subject, "action_name": ACTIONS[action], "action_idx": action, "subaction_idx": 1,
                "cam_idx": number, "frame_idx": frame,
            }
        )  # fmt: skip
        annotations.append(
            {"id": identity, "image_id": identity, "keypoints_vis": entry["inside"], "bbox": entry["box"]}
        )
    return {"images": images, "annotations": annotations}


def _cameras(subject: int, scale: float) -> dict[str, Any]:
    """X_c = R X + t, mm; f, c px of the scaled pictures; k radial and p tangential distortion."""
    table = {}
    for number in CAMERAS:
        view = studio.view(subject, number, scale)
        c, e = view.camera, view.extrinsics
        values = {"R": e.rotation, "t": e.translation, "f": c.f, "c": c.c, "k": c.k, "p": c.p}
        table[str(number)] = {name: value.tolist() for name, value in values.items()}
    return table


def _world(entries: list[dict[str, Any]], subject: int) -> dict[str, Any]:
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for who, action, number, frame, world in _shots(entries):
        if who == subject and number == CAMERAS[0]:
            table.setdefault(str(action), {"1": {}})["1"][str(frame)] = world
    return table


def _shots(entries: list[dict[str, Any]]) -> Iterator[tuple[int, int, int, int, Any]]:
    for entry in entries:
        subject, action, number, frame = entry["shot"]
        yield subject, action, number, frame, entry["world"]
