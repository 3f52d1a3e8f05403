"""Evaluation: a network's predictions on the packed files' evaluation samples, and the figures they give.

Knows crops, cameras and metrics; does not know where the network came from. The samples are shared evenly among the
workers, and every worker gets all figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from sanpose.config import Config
from sanpose.data import crop, packed, samples, sources
from sanpose.data.cameras import back_project, undistort
from sanpose.joints import TRAINING, JointSet, from_training
from sanpose.metrics import coco, h36m, pckh

Floats = npt.NDArray[np.float32]
Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""uint8 RGB images (b, H, W, 3) -> coordinates (b, J, 3), joint scores (b, J)."""
Result = h36m.H36MResult | pckh.PCKhResult | coco.CocoResult


@dataclass(frozen=True)
class Predictions:
    """What the network says of N samples: coordinates (N, J, 3) in the network's frame, joint scores (N, J)."""

    samples: samples.Samples
    views: tuple[crop.View, ...]
    coordinates: Floats
    scores: Floats
    width: int
    height: int

    def pixels(self) -> npt.NDArray[np.float64]:
        """x, y (N, J, 2) in image px."""
        maps = [crop.inverse(crop.to_crop(v, self.width, self.height)) for v in self.views]
        size = np.array([self.width, self.height])
        return np.stack([crop.apply(m, (c[:, :2] + 0.5) * size) for m, c in zip(maps, self.coordinates, strict=True)])

    def native(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (N, J, ...) in the order of the source's own joints; 0 for one that the network lacks."""
        index = from_training(self.samples.file.source, self.samples.joints)
        out = values[:, np.maximum(index, 0)]
        out[:, index < 0] = 0
        return np.asarray(out)


def evaluate(
    config: Config, files: dict[str, packed.Packed], forward: Forward, *, limit: int = 0, rank: int = 0, world: int = 1
) -> dict[str, Any]:
    """The figures of every set in `eval.sets`: {"h36m": {...}, "mpii": {...}, "coco": {...}}, with their protocols.

    limit: at most so many evenly spaced samples of each set (0: all). COCO is measured only on whole sets, as AP over
    part of an image's people means nothing.
    """
    figures: dict[str, Any] = {}
    for name in config.eval.sets:
        if name == "coco" and limit:
            continue
        chosen = spaced(sources.predicted(config, name, files[name]), limit)
        figures[name] = measure(config, predict(config, chosen, forward, rank, world)).as_dict()
    return figures


def measure(config: Config, predictions: Predictions) -> Result:
    """The figures of one set's predictions, with their protocol. Raises UserError for numbers that are not finite."""
    measures: dict[str, Callable[[Config, Predictions], Result]] = {"h36m": _h36m, "mpii": _mpii, "coco": _coco}
    return measures[predictions.samples.file.source](config, predictions)


def predict(config: Config, chosen: samples.Samples, forward: Forward, rank: int = 0, world: int = 1) -> Predictions:
    """Predictions for all samples. Each worker computes every world-th; all make the same number of batches, as ZeRO-3
    gathers weights in each."""
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
        everyone: list[Any] = [None] * world
        dist.all_gather_object(everyone, (mine, coordinates, scores))
        order = np.concatenate([m for m, _, _ in everyone])
        first = np.unique(order, return_index=True)[1]
        coordinates = np.concatenate([c for _, c, _ in everyone])[first]
        scores = np.concatenate([s for _, _, s in everyone])[first]
    return Predictions(chosen, views, coordinates, scores, width, height)


@torch.no_grad()
def infer(forward: Forward, images: torch.Tensor, joints: JointSet, *, flip_test: bool) -> tuple[Floats, Floats]:
    """Coordinates (b, J, 3) in the network's frame and scores (b, J) of uint8 RGB images (b, H, W, 3).

    flip_test: the mean with what is seen in the mirrored images, mirrored back.
    """
    coordinates, scores = (t.float().cpu().numpy() for t in forward(images))
    if flip_test:
        mirrored, mirrored_scores = (t.float().cpu().numpy() for t in forward(images.flip(2)))
        unflipped = crop.unflipped(mirrored, joints.flip, images.shape[2])
        coordinates = ((coordinates + unflipped) / 2).astype(np.float32)
        scores = (scores + mirrored_scores[:, joints.flip]) / 2
    return coordinates, scores


def spaced(chosen: samples.Samples, limit: int) -> samples.Samples:
    """At most so many samples, evenly spaced; all for a limit of 0."""
    if not limit or len(chosen) <= limit:
        return chosen
    return chosen.at(np.linspace(0, len(chosen) - 1, limit).round().astype(np.int64))


def _boxes(config: Config, name: str) -> str:
    text = "detected" if sources.uses_detections(config, name) else "ground truth"
    return f"{text}; flip test" if config.eval.flip_test else f"{text}; no flip test"


def space(predictions: Predictions) -> npt.NDArray[np.float64]:
    """Human3.6M's 17 joints (N, 17, 3) in mm in the camera frame, from the true depth of the pelvis.

    Depth is the network's times 2000 mm plus the pelvis' own; x and y follow by the inverse of the camera, its
    distortion included.
    """
    chosen = predictions.samples
    cameras = chosen.file.extra["cameras"][chosen.column("camera")]
    root = chosen.column("keypoints3d")[:, :1, 2]
    depth = predictions.native(predictions.coordinates.astype(np.float64)[..., 2]) * crop.DEPTH_MM + root
    pixels = predictions.native(predictions.pixels())
    f, c, k, p = (cameras[name][:, None] for name in ("f", "c", "k", "p"))
    return back_project(undistort(pixels, f, c, k, p), depth, f, c)


def _h36m(config: Config, predictions: Predictions) -> h36m.H36MResult:
    chosen = predictions.samples
    trained_on = samples.trained_subjects(chosen.file, config.data)
    overlap = set(trained_on) & set(chosen.column("subject").tolist())
    return h36m.evaluate(
        space(predictions),
        chosen.column("keypoints3d").astype(np.float64),
        chosen.column("action"),
        chosen.column("subject"),
        trained_on=trained_on,
        stride=h36m.stride_of(chosen.column("frame")) + (" (TESTED ON SUBJECTS IT WAS TRAINED ON)" if overlap else ""),
        boxes=f"{_boxes(config, 'h36m')}; pelvis depth from the ground truth",
    )


def _mpii(config: Config, predictions: Predictions) -> pckh.PCKhResult:
    chosen = predictions.samples
    labelled = chosen.column("visible") > 0
    return pckh.evaluate(
        predictions.native(predictions.pixels()),
        chosen.column("keypoints").astype(np.float64),
        labelled,
        chosen.column("headbox"),
        boxes=_boxes(config, "mpii"),
        subjects="the evaluation split",
        where=chosen.file.path,
    )


def coco_results(config: Config, predictions: Predictions) -> list[dict[str, Any]]:
    """COCO's results list, one entry for every box, its score that of the detected box (1 for a true one)."""
    chosen = predictions.samples
    results = coco.results(
        predictions.native(predictions.pixels()),
        predictions.native(predictions.scores),
        chosen.column("image_id"),
        chosen.column("score") if sources.uses_detections(config, "coco") else np.ones(len(chosen)),
    )
    for result, box in zip(results, chosen.column("box").astype(np.float64), strict=True):
        result["bbox"] = box.tolist()
    return results


def _coco(config: Config, predictions: Predictions) -> coco.CocoResult:
    truth = json.loads(str(predictions.samples.file.extra["ground_truth"].astype(str)))
    # The peak of a soft-argmax's marginal is far below a heat map's 1: the usual 0.2 would drop most joints.
    refined = coco.refine(coco_results(config, predictions), rescoring=True, nms=0.9, joint_threshold=0.0)
    notes = ("scores rescored by the mean of all joints' scores", "OKS-NMS 0.9")
    where = predictions.samples.file.path
    return coco.evaluate(truth, refined, boxes=_boxes(config, "coco"), notes=notes, truth_where=where)


def mean_pose_mpjpe(config: Config, file: packed.Packed) -> float:
    """The MPJPE (mm) of always answering the mean root-relative pose of the training samples: what anyone can reach
    without looking at the image."""
    joints = TRAINING[config.model.joints]
    train, test = (f(file, config.data, joints).column("keypoints3d") for f in (samples.training, samples.evaluation))
    mean = (train - train[:, :1]).astype(np.float64).mean(0)
    return h36m.evaluate(np.broadcast_to(mean, test.shape), test).mpjpe.frames
