"""A stranger who has only the ONNX file and its description gets the joints of `sanpose predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sanpose.inference import export, trained
from tests.sanpose.tiny_run import tiny_run

SIDE = 900


@pytest.fixture(scope="module")
def network() -> trained.TrainedNetwork:
    loaded = trained.load(tiny_run())
    torch.manual_seed(0)
    torch.nn.init.normal_(loaded.network.head.weight, std=0.3)
    return loaded


@pytest.fixture(scope="module")
def about(network: trained.TrainedNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("out")
    export.export(network, out / "m")
    read: dict[str, Any] = json.loads((out / "m" / "model.json").read_text())
    return {**read, "folder": out / "m"}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG with detail of every size."""
    random = np.random.default_rng(0)
    image = np.zeros((SIDE, SIDE + 50, 3), np.float32)
    for step in (3, 9, 40, 150):
        rough = random.uniform(0, 255, (SIDE // step + 2, SIDE // step + 2, 3)).astype(np.float32)
        image += cv2.resize(rough, (SIDE + 50, SIDE), interpolation=cv2.INTER_CUBIC) / 4
    path = tmp_path_factory.mktemp("photo") / "a.jpg"
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return path


def stranger(
    about: dict[str, Any], image: np.ndarray, box: tuple[float, ...], padding: float, *, reduces: bool = True
) -> np.ndarray:
    """Joints (J, 2) in image px, by the description's steps with numpy alone."""
    _, _, height, width = about["input"]["shape"]
    x, y, w, h = box
    centre = np.array([x + w / 2, y + h / 2])
    wide, high = (w, w * height / width) if w / h > width / height else (h * width / height, h)
    wide, high = wide * padding, high * padding
    n = next((n for n in (8, 4, 2) if wide / width >= n), 1) if reduces else 1
    rows, columns = -(-image.shape[0] // n), -(-image.shape[1] // n)
    small = (
        image
        if n == 1
        else np.array(
            [[image[n * j : n * j + n, n * i : n * i + n].mean((0, 1)) for i in range(columns)] for j in range(rows)]
        )
    )
    s = width / wide
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    place = [(centre[0] + (u - width / 2) / s - (n - 1) / 2) / n, (centre[1] + (v - height / 2) / s - (n - 1) / 2) / n]
    crop = np.zeros((height, width, 3))
    left, top = np.floor(place[0]).astype(int), np.floor(place[1]).astype(int)
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = (1 - np.abs(place[0] - left - i)) * (1 - np.abs(place[1] - top - j))
        inside = (left + i >= 0) & (left + i < columns) & (top + j >= 0) & (top + j < rows)
        pixel = small[np.clip(top + j, 0, rows - 1), np.clip(left + i, 0, columns - 1)]
        crop += (share * inside)[..., None] * pixel
    images = (crop - about["input"]["mean"]) / about["input"]["std"]
    session = onnxruntime.InferenceSession(about["folder"] / "model.onnx")
    [coordinates] = session.run(["coordinates"], {"images": images.transpose(2, 0, 1)[None].astype(np.float32)})
    pixels = (coordinates[0, :, :2] + 0.5) * [width, height]
    joints: np.ndarray = centre + (pixels - [width / 2, height / 2]) / s
    return joints


@pytest.mark.parametrize("side", [40.0, 110.0, 240.0, 480.0, 700.0])
def test_the_description_taken_literally(
    about: dict[str, Any], network: trained.TrainedNetwork, photo: Path, side: float
) -> None:
    box = (250.3, 120.7, side * 0.6, side)
    ours = network.predict(photo, [box]).keypoints[0]
    image = cv2.imread(str(photo))[..., ::-1].astype(np.float64)
    padding = about["input"]["box_padding"]["coco"]
    assert np.ptp(ours, axis=0).min() > 0.05 * side, "the network says something"
    assert np.abs(stranger(about, image, box, padding) - ours).max() < 0.1
    if side >= 240:  # otherwise the reduction hardly matters
        assert np.abs(stranger(about, image, box, padding, reduces=False) - ours).max() > 0.1


def test_the_steps_are_those_that_were_followed(about: dict[str, Any]) -> None:
    text = " ".join(about["input"]["crop"])
    for step in ("x + w / 2", "W * padding", "8, 4, 2 with", "mean of the image's pixels", "(n - 1) / 2", "bilinear"):
        assert step in text


def test_onnx_metadata_say_the_same(about: dict[str, Any]) -> None:
    props = {p.key: p.value for p in onnx.load(about["folder"] / "model.onnx").metadata_props}
    for name in ("joints", "bones", "input", "outputs", "run", "checkpoint"):
        assert json.loads(props[f"sanpose.{name}"]) == about[name]
