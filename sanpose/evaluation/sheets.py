"""Pictures of a run's predictions on a few evaluation samples, beside the labels.

One sheet per set, one column per sample: the crop with the labels, the crop with the prediction and, where the set has
3D labels, both poses from the side, the label faint. Measures nothing.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sanpose import disk
from sanpose.config.schema import Config
from sanpose.data import crop, packed, sources
from sanpose.evaluation.predictions import Forward, Predictions, predict, space, spaced
from sanpose.pose import draw
from sanpose.pose.joints import NATIVE, JointSet

COUNT = 5  # samples per set
_HEIGHT = 256  # px of a tile
_SPAN_MM = 2200.0  # the height of a tile in the view from the side
_PAGE = 44  # a dark grey: the middle of a skeleton is light

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def write(
    config: Config,
    files: dict[str, packed.Packed],
    forward: Forward,
    folder: Path,
    rank: int = 0,
    world: int = 1,
) -> None:
    """Write folder/samples-SET.jpg for every set of `eval.sets`. Every worker must call this."""
    for name in config.eval.sets:
        chosen = spaced(sources.predicted(config, name, files[name]), COUNT)
        predictions = predict(config, chosen, forward, rank, world)
        if rank == 0:
            _write_sheet(folder / f"samples-{name}.jpg", sheet(predictions))


def _write_sheet(path: Path, picture: Image) -> None:
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
        labels, predicted = (crop.apply(to_tile, p) for p in (chosen.points[i, :, :2].astype(np.float64), pixels[i]))
        rows["labelled"].append(draw.overlay(picture, labels, chosen.joints, chosen.weight[i, :, 0]))
        rows["predicted"].append(draw.overlay(picture, predicted, chosen.joints))
    if "keypoints3d" in chosen.file.columns:
        poses = zip(chosen.column("keypoints3d").astype(np.float64), space(predictions), strict=True)
        rows["from the side"] = [_from_the_side(t, p, NATIVE[chosen.file.source], width) for t, p in poses]
    lines = [np.concatenate(tiles, axis=1) for tiles in rows.values()]
    for caption, line in zip(rows, lines, strict=True):
        _caption(line, caption)
    return np.concatenate(lines, axis=0)


def _from_the_side(label: Floats, prediction: Floats, joints: JointSet, width: int) -> Image:
    """Two poses (J, 3), mm from their pelvises, seen along the camera's x axis, with the camera at the left."""
    scale = _HEIGHT / _SPAN_MM

    def tile(pose: Floats) -> Floats:
        away, down = (pose - pose[:1])[:, 2], (pose - pose[:1])[:, 1]
        return np.column_stack([away * scale + width / 2, down * scale + _HEIGHT / 2])

    page = np.full((_HEIGHT, width, 3), _PAGE, np.uint8)
    faint = (draw.overlay(page, tile(label), joints) * 0.4 + page * 0.6).astype(np.uint8)
    return draw.overlay(faint, tile(prediction), joints)


def _caption(line: Image, text: str) -> None:
    for colour, thickness in (((255, 255, 255), 3), ((20, 20, 20), 1)):
        cv2.putText(line, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
