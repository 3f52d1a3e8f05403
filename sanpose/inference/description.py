"""What the user of an exported network must know: joints, input and output, as plain data for JSON and ONNX metadata.

The steps of the crop are those of `sanpose.data.crop`; a test follows them literally.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sanpose.data.crop import DEPTH_MM, REDUCTIONS
from sanpose.data.loader import MEAN, STD
from sanpose.data.packed import BOX_PADDING
from sanpose.inference.trained import TrainedNetwork
from sanpose.runs.identity import identity_of


def describe(network: TrainedNetwork, files: dict[str, str], difference: float, batches: Sequence[int]) -> object:
    """The content of model.json. files: their names by kind; difference: the largest between ONNX Runtime and torch, in
    batches of these sizes."""
    return {
        "run": network.run,
        "checkpoint": network.checkpoint.path.name,
        "files": files,
        **interface(network),
        "check": {"onnxruntime_against_torch": difference, "batches": list(batches)},
        "config": identity_of(network.config, {}),
    }


def interface(network: TrainedNetwork) -> dict[str, object]:
    """Joints, bones, input and outputs, with units, frames and formulas."""
    width, height = network.config.data.input_width, network.config.data.input_height
    return {
        "joints": list(network.joints.joints),
        "bones": [list(bone) for bone in network.joints.bones],
        "input": _input(width, height),
        "outputs": _outputs(width, height, len(network.joints)),
    }


def metadata(network: TrainedNetwork) -> dict[str, str]:
    """The same for an ONNX file: each item as JSON text, by names that begin with "sanpose."."""
    items = {"run": network.run, "checkpoint": network.checkpoint.path.name, **interface(network)}
    return {f"sanpose.{name}": json.dumps(value) for name, value in items.items()}


def _input(width: int, height: int) -> dict[str, object]:
    return {
        "name": "images",
        "shape": ["N", 3, height, width],
        "type": "float32",
        "colour": "RGB, 0..255, then (value - mean) / std",
        "mean": list(MEAN),
        "std": list(STD),
        "box": "x, y, w, h of a person in px of the upright image; (0, 0) is the centre of the first pixel, x to the "
        "right, y downwards",
        "box_padding": BOX_PADDING,
        "crop": [
            "centre = (x + w / 2, y + h / 2)",
            f"if w / h > {width} / {height}: W, H = w, w * {height} / {width}; else: W, H = h * {width} / {height}, h",
            "W, H = W * padding, H * padding; padding: box_padding of the data set that the box is like: h36m for a "
            "box that shows 2 m, mpii and coco for a box that is tight around the person",
            f"n = the largest of {', '.join(map(str, REDUCTIONS[:-1]))} with W / {width} >= n, else 1",
            "reduce the image by n: pixel (i, j) is the mean of the image's pixels from (n * i, n * j) to "
            "(n * i + n - 1, n * j + n - 1), at the right and bottom edges of those that exist; its place in the image "
            "is (n * i + (n - 1) / 2, n * j + (n - 1) / 2)",
            f"s = {width} / W; pixel (u, v) of the input shows the image at "
            f"(centre x + (u - {width} / 2) / s, centre y + (v - {height} / 2) / s), by bilinear interpolation between "
            "the reduced pixels; everything outside the image is black",
        ],
    }


def _outputs(width: int, height: int, joints: int) -> dict[str, object]:
    return {
        "coordinates": {
            "shape": ["N", joints, 3],
            "type": "float32",
            "x": f"u = (x + 0.5) * {width}: px in the input, to the right; (0, 0) is the centre of the first pixel",
            "y": f"v = (y + 0.5) * {height}: px in the input, downwards",
            "image": f"image px = (centre x + (u - {width} / 2) / s, centre y + (v - {height} / 2) / s)",
            "z": f"mm = z * {DEPTH_MM:g}, relative to the pelvis, away from the camera, where the crop's shorter "
            f"side shows {DEPTH_MM:g} mm at the pelvis' depth; in proportion where it shows more or less",
        },
        "scores": {
            "shape": ["N", joints],
            "type": "float32",
            "meaning": "0..1, the peak of a joint's probability over the image plane; not calibrated",
        },
    }
