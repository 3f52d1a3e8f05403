"""Tiny data sets in the data sets' own on-disk forms: 64 x 64 px images, a few people, one or four cameras."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cdflib.cdfwrite
import cv2
import numpy as np
import scipy.io

from sanpose.pose.cameras import SERIALS, project

SIZE = 64
F, C = np.array([73.0, 74.0]), np.array([32.0, 31.0])
K, P = np.array([-0.2, 0.2, 0.0]), np.array([-0.001, 0.002])
# World x right, y away, z up, seen by a camera 5 m back and 1 m up.
ROTATION = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
CENTRE = np.array([100.0, -5000.0, 1000.0])
OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]


def image(path: Path, seed: int = 0, size: tuple[int, int] = (SIZE, SIZE)) -> bytes:
    """Write an image (JPEG or PNG by its suffix) of smooth noise; return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    data = cv2.imencode(path.suffix, cv2.resize(noise, size))[1].tobytes()
    path.write_bytes(data)
    return data


def people(count: int, seed: int = 0) -> np.ndarray:
    """World joints (count, 17, 3) mm around (0, 0, 1000)."""
    random = np.random.default_rng(seed)
    return random.uniform(-500, 500, (count, 17, 3)) + np.array([0, 0, 1000])


def in_camera(world: np.ndarray) -> np.ndarray:
    return (world - CENTRE) @ ROTATION.T


def coco(folder: Path, name: str = "person_keypoints_val2017.json", images: int = 2, first: int = 1) -> dict[str, Any]:
    """One person per image, all joints labelled; returns the JSON, which is written too."""
    random = np.random.default_rng(first)
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    split = name.removesuffix(".json").split("_")[-1]
    for n in range(first, first + images):
        file_name = f"{n:012}.jpg"
        image(folder / split / file_name, n)
        data["images"].append({"id": n, "file_name": file_name, "width": SIZE, "height": SIZE})
        keypoints = np.column_stack([random.uniform(10, 50, (17, 2)), np.full(17, 2)])
        data["annotations"].append(
            {
                "id": 100 + n,
                "image_id": n,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [8.0, 9.0, 40.0, 44.0],
                "area": 900.0,
                "num_keypoints": 17,
                "segmentation": [[1, 2, 3, 4]],
                "keypoints": keypoints.ravel().tolist(),
            }
        )
    write(folder / "annotations" / name, data)
    return data


def mpii(folder: Path, name: str = "valid.json", count: int = 3, first: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(first)
    persons = []
    for n in range(first, first + count):
        image(folder / "images" / f"{n:09}.jpg", n)
        persons.append(
            {
                "image": f"{n:09}.jpg",
                "center": [33.0, 30.0],
                "scale": 0.2,
                "joints": random.uniform(10, 50, (16, 2)).tolist(),
                "joints_vis": [1] * 15 + [0],
            }
        )
    write(folder / "annot" / name, persons)
    return persons


def mpii_mat(folder: Path) -> None:
    """Three images: a person whose fields vary, a person without joints, one of the test set."""
    for n in range(3):
        image(folder / "images" / f"{n}.jpg", n)
    points = _structs(
        ("x", "y", "id", "is_visible"),
        (11.0, 21.0, 0, 1),
        (12.0, 22.0, 6, 0),
        (13.0, 23.0, 9, ""),
        (14.0, 24.0, 10, "1"),
        (15.0, 25.0, 11, np.zeros((0, 0))),
    )
    place = _structs(("x", "y"), (33.0, 30.0))
    fields = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")
    full = (5.0, 6.0, 15.0, 16.0, _structs(("point",), (points,)), 0.2, place)
    empty = np.zeros((0, 0))
    annolist = _structs(
        ("image", "annorect"),
        (_structs(("name",), ("0.jpg",)), _structs(fields, full, (*full[:4], empty, 0.2, place))),
        (_structs(("name",), ("1.jpg",)), _structs(("x1", "y1"), (1.0, 2.0))),
        (_structs(("name",), ("2.jpg",)), _structs(fields, full)),
    )
    release = {"annolist": annolist, "img_train": np.array([[1, 1, 0]])}
    scipy.io.savemat(folder / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})


def _structs(names: tuple[str, ...], *rows: tuple[Any, ...]) -> np.ndarray:
    out = np.zeros((1, len(rows)), dtype=[(name, object) for name in names])
    for n, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            out[name][0, n] = value
    return out


def posenet(folder: Path, subject: int = 1, frames: int = 2, form: str = "t", action: int = 2) -> dict[str, Any]:
    """One video of camera 1. form: "t" for t = -R T, "T" for the camera's centre in its place."""
    world = people(frames, subject)
    video = f"s_{subject:02}_act_{action:02}_subact_01_ca_01"
    data: dict[str, Any] = {"images": [], "annotations": []}
    for n in range(frames):
        name = f"{video}/{video}_{n + 1:06}.jpg"
        image(folder / "images" / name, n)
        data["images"].append(
            {
                "id": n,
                "file_name": name,
                "width": SIZE,
                "height": SIZE,
                "subject": subject,
                "action_name": "Directions",
                "action_idx": action,
                "subaction_idx": 1,
                "cam_idx": 1,
                "frame_idx": n,
            }
        )
        data["annotations"].append(
            {"id": n + 50, "image_id": n, "keypoints_vis": [True] * 16 + [False], "bbox": [1, 2, 3, 4]}
        )
    shift = -ROTATION @ CENTRE if form == "t" else CENTRE
    camera = {"1": {"R": ROTATION.tolist(), "t": shift.tolist(), "f": F.tolist(), "c": C.tolist()}}
    joints = {str(action): {"1": {str(n): world[n].tolist() for n in range(frames)}}}
    base = f"annotations/Human36M_subject{subject}"
    write(folder / f"{base}_data.json", data)
    write(folder / f"{base}_camera.json", camera)
    write(folder / f"{base}_joint_3d.json", joints)
    return data


def mmpose(folder: Path, frames: int = 2, step: int = 1) -> np.ndarray:
    """Camera-frame joints (frames, 17, 3) mm of every `step`th frame of a video of S1; the files are written."""
    points = in_camera(people(frames))
    names = [f"S1/S1_Directions_1.54138969/S1_Directions_1.54138969_{n * step + 1:06}.jpg" for n in range(frames)]
    for n, name in enumerate(names):
        image(folder / name, n)
    ones = np.ones((frames, 17, 1))
    pixels = project(points, F, C, K, P)
    np.savez(
        folder / "h36m_train.npz",
        imgname=np.array(names),
        part=np.concatenate([pixels, ones], -1),
        S=np.concatenate([points / 1000, ones], -1),
    )
    entry = {"f": F, "c": C, "k": K, "p": P, "w": SIZE, "h": SIZE, "R": ROTATION.T, "T": CENTRE / 1000}
    (folder / "cameras.pkl").write_bytes(pickle.dumps({("S1", "54138969"): entry}))
    return points


def official(folder: Path, frames: int = 4, kind: str = "mono") -> np.ndarray:
    """Joints (frames, 17, 3) mm in the frame of S1's first camera; kind: "mono", or "world" without 2D."""
    world = people(frames)
    features = folder / "S1" / "MyPoseFeatures"
    if kind == "world":
        cdf(features / "D3_Positions" / "Directions 1.cdf", _of_17(world))
    else:
        points = in_camera(world)
        cdf(features / "D3_Positions_mono" / f"Directions 1.{SERIALS[0]}.cdf", _of_17(points))
        cdf(features / "D2_Positions" / f"Directions 1.{SERIALS[0]}.cdf", _of_17(project(points, F, C, K, P)))
    for n in range(frames):
        image(folder / "frames" / "S1" / f"Directions 1.{SERIALS[0]}" / f"{n + 1:06}.jpg", n)
    metadata(folder / "metadata.xml")
    return in_camera(world)


def metadata(path: Path) -> None:
    w0 = np.zeros(300)
    for cam in range(4):
        for subject in range(1, 12):
            w0[6 * (cam * 11 + subject - 1) :][:6] = [np.pi / 2, 0, 0, *CENTRE]
        w0[264 + 9 * cam :][:9] = [*F, *C, *K, *P]
    path.write_text(f"<metadata><w0>[{' '.join(map(repr, w0.tolist()))}]</w0></metadata>")


def _of_17(joints: np.ndarray) -> np.ndarray:
    full = np.full((len(joints), 32, joints.shape[-1]), 7.0)
    full[:, OF_32] = joints
    return full.reshape(len(joints), -1)


def cdf(path: Path, pose: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = cdflib.cdfwrite.CDF(path)
    spec = {
        "Variable": "Pose",
        "Data_Type": file.CDF_DOUBLE,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Dim_Sizes": list(pose.shape),
    }
    file.write_var(spec, var_data=pose[None])
    file.close()


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
