"""A run's sample predictions: what its network says of a few evaluation samples, beside what is labelled.

One sheet a set, a column a sample: the crop with the labels, the crop with the prediction, and where there is 3D both
seen from the person's side of the camera, the truth faint. For looking at; nothing is measured here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sanpose import disk
from sanpose.config.schema import Config
from sanpose.data import crop, packed, sources
from sanpose.evaluation.predictions import Forward, Predictions, predict, space, spaced
from sanpose.pose import draw
from sanpose.pose.joints import NATIVE, JointSet

COUNT = 5  # samples of a set
_HEIGHT = 256  # px of a tile
_SPAN_MM = 2200.0  # what a tile's height stands for, seen from the side
_PAGE = 44  # dark, as the middle of a skeleton is light

Image = npt.NDArray[np.uint8]


def write(
    config: Config,
    files: dict[str, packed.Packed],
    forward: Forward,
    folder: Path,
    rank: int = 0,
    world: int = 1,
) -> None:
    """Write folder/samples-SET.jpg for every set of `eval.sets`. Every worker calls this function."""
    for name in config.eval.sets:
        chosen = spaced(sources.predicted(config, name, files[name]), COUNT)
        predictions = predict(config, chosen, forward, rank, world)
        if rank == 0:
            _put(folder / f"samples-{name}.jpg", sheet(predictions))


def _put(path: Path, picture: Image) -> None:
    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        draw.write_jpeg(path, picture)

    disk.patiently(path.parent.parent, write)


def sheet(predictions: Predictions) -> Image:
    """The samples side by side, (rows x tile height, samples x tile width, 3) uint8 RGB."""
    chosen, pixels = predictions.samples, predictions.pixels()
    width = round(_HEIGHT * predictions.width / predictions.height)
    rows: dict[str, list[Image]] = {"labelled": [], "predicted": []}
    for i, view in enumerate(predictions.views):
        picture = chosen.image(i, view, width, _HEIGHT)
        to_tile = crop.to_crop(view, width, _HEIGHT)
        true, said = (crop.apply(to_tile, p) for p in (chosen.points[i, :, :2].astype(np.float64), pixels[i]))
        rows["labelled"].append(draw.overlay(picture, true, chosen.joints, chosen.weight[i, :, 0]))
        rows["predicted"].append(draw.overlay(picture, said, chosen.joints))
    if "keypoints3d" in chosen.file.columns:
        poses = zip(chosen.column("keypoints3d").astype(np.float64), space(predictions), strict=True)
        rows["from the side"] = [_from_the_side(t, p, NATIVE[chosen.file.source], width) for t, p in poses]
    lines = [np.concatenate(tiles, axis=1) for tiles in rows.values()]
    for caption, line in zip(rows, lines, strict=True):
        _caption(line, caption)
    return np.concatenate(lines, axis=0)


def _from_the_side(true: npt.NDArray[Any], said: npt.NDArray[Any], joints: JointSet, width: int) -> Image:
    """Two poses (J, 3) in mm from their pelvises, seen along the camera's x axis: the camera is on the left."""
    scale = _HEIGHT / _SPAN_MM

    def tile(pose: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        away, down = (pose - pose[:1])[:, 2], (pose - pose[:1])[:, 1]
        return np.column_stack([away * scale + width / 2, down * scale + _HEIGHT / 2])

    page = np.full((_HEIGHT, width, 3), _PAGE, np.uint8)
    faint = (draw.overlay(page, tile(true), joints) * 0.4 + page * 0.6).astype(np.uint8)
    return draw.overlay(faint, tile(said), joints)


def _caption(line: Image, text: str) -> None:
    for colour, thickness in (((255, 255, 255), 3), ((20, 20, 20), 1)):
        cv2.putText(line, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
