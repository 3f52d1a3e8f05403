"""A network's predictions on samples: pixels, scores, and joints in space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from sanpose.config.schema import Config
from sanpose.data import crop, samples
from sanpose.pose.cameras import back_project, undistort
from sanpose.pose.joints import JointSet, from_training

Floats = npt.NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""uint8 RGB images (b, H, W, 3) -> coordinates (b, J, 3), joint scores (b, J)."""


@dataclass(frozen=True)
class Predictions:
    """The network's output for N samples: coordinates (N, J, 3) in the network's frame, joint scores (N, J)."""

    samples: samples.Samples
    views: tuple[crop.CropView, ...]
    coordinates: Floats
    scores: Floats
    width: int
    height: int

    def pixels(self) -> npt.NDArray[np.float64]:
        """x, y (N, J, 2) in image px."""
        maps = [crop.inverse(crop.to_crop(v, self.width, self.height)) for v in self.views]
        size = np.array([self.width, self.height])
        return np.stack([crop.apply(m, (c[:, :2] + 0.5) * size) for m, c in zip(maps, self.coordinates, strict=True)])

    def native(self, values: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """Values (N, J, ...) in the order of the source's own joints; 0 for a joint that the network lacks."""
        index = from_training(self.samples.file.source, self.samples.joints)
        out = values[:, np.maximum(index, 0)]
        out[:, index < 0] = 0
        return out


def predict(config: Config, chosen: samples.Samples, forward: Forward, rank: int = 0, world: int = 1) -> Predictions:
    """Predictions for all samples. Each worker computes every world-th sample; all workers run the same number of
    batches, because ZeRO-3 gathers weights in each batch."""
    width, height, size = config.data.input_width, config.data.input_height, config.eval.batch_size
    count = len(chosen)
    views = tuple(chosen.view(i, width, height) for i in range(count))
    mine = np.arange(rank, max(count, 1) + world, world)[: -(-count // world)] % max(count, 1)
    parts = []
    for begin in range(0, len(mine), size):
        images = np.stack([chosen.image(int(i), views[i], width, height) for i in mine[begin : begin + size]])
        parts.append(infer(forward, torch.from_numpy(images), chosen.joints, flip_test=config.eval.flip_test))
    coordinates, scores = (np.concatenate(p) for p in zip(*parts, strict=True))
    if world > 1:
        everyone: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = [(mine, coordinates, scores)] * world
        dist.all_gather_object(everyone, (mine, coordinates, scores))
        order = np.concatenate([m for m, _, _ in everyone])
        first = np.unique(order, return_index=True)[1]
        coordinates = np.concatenate([c for _, c, _ in everyone])[first]
        scores = np.concatenate([s for _, _, s in everyone])[first]
    return Predictions(chosen, views, coordinates, scores, width, height)


@torch.no_grad()
def infer(forward: Forward, images: torch.Tensor, joints: JointSet, *, flip_test: bool) -> tuple[Floats, Floats]:
    """Coordinates (b, J, 3) in the network's frame and scores (b, J) of uint8 RGB images (b, H, W, 3).

    flip_test: average with the prediction on the mirrored images, mirrored back.
    """
    coordinates, scores = (t.float().cpu().numpy() for t in forward(images))
    if flip_test:
        mirrored, mirrored_scores = (t.float().cpu().numpy() for t in forward(images.flip(2)))
        unflipped = crop.unflipped(mirrored, joints.flip, images.shape[2])
        coordinates = ((coordinates + unflipped) / 2).astype(np.float32)
        scores = (scores + mirrored_scores[:, joints.flip]) / 2
    return coordinates, scores


def spaced(chosen: samples.Samples, limit: int) -> samples.Samples:
    """At most `limit` samples, evenly spaced; all samples for a limit of 0."""
    if not limit or len(chosen) <= limit:
        return chosen
    return chosen.at(np.linspace(0, len(chosen) - 1, limit).round().astype(np.int64))


def space(predictions: Predictions) -> npt.NDArray[np.float64]:
    """Human3.6M's 17 joints (N, 17, 3) in mm in the camera frame, with the true depth of the pelvis.

    A joint's depth is the network's depth times 2000 mm plus the pelvis' true depth. The inverse of the camera, with
    its distortion, gives x and y.
    """
    chosen = predictions.samples
    cameras = chosen.file.extra["cameras"][chosen.column("camera")]
    root = chosen.column("keypoints3d")[:, :1, 2]
    depth = predictions.native(predictions.coordinates.astype(np.float64)[..., 2]) * crop.DEPTH_MM + root
    pixels = predictions.native(predictions.pixels())
    f, c, k, p = (cameras[name][:, None] for name in ("f", "c", "k", "p"))
    return back_project(undistort(pixels, f, c, k, p), depth, f, c)
