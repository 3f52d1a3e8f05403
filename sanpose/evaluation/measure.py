"""The figures of a network's predictions on the evaluation sets, each with its protocol."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from sanpose.config.schema import Config
from sanpose.data import packed, samples, sources
from sanpose.data.readers.coco_category import person_category
from sanpose.evaluation.predictions import Forward, Predictions, predict, space, spaced
from sanpose.metrics import coco, h36m, pckh
from sanpose.metrics.coco_entries import CocoJson, ResultEntry
from sanpose.pose.joints import TRAINING

Result = h36m.H36MResult | pckh.PCKhResult | coco.CocoResult


def evaluate(
    config: Config, files: dict[str, packed.Packed], forward: Forward, *, limit: int = 0, rank: int = 0, world: int = 1
) -> dict[str, dict[str, object]]:
    """The figures of every set in `eval.sets`: {"h36m": {...}, "mpii": {...}, "coco": {...}}, with their protocols.

    limit: use at most this many evenly spaced samples of each set (0: all). With a limit, COCO is skipped: AP over part
    of an image's people means nothing.
    """
    figures: dict[str, dict[str, object]] = {}
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


def _boxes(config: Config, name: str) -> str:
    text = "detected" if sources.uses_detections(config, name) else "ground truth"
    return f"{text}; flip test" if config.eval.flip_test else f"{text}; no flip test"


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


def coco_results(config: Config, predictions: Predictions) -> list[ResultEntry]:
    """COCO's results list, one entry per box.

    An entry's score is the score of the detected box (1 for a true box). Its area, which OKS-NMS uses, is that of the
    padded box with the input's aspect ratio, px^2, as in HRNet. There is no bbox: pycocotools would take a pose's size
    from the bbox instead of its joints, and AP_M and AP_L would change.
    """
    chosen = predictions.samples
    results = coco.results(
        predictions.native(predictions.pixels()),
        predictions.native(predictions.scores),
        chosen.column("image_id"),
        chosen.column("score") if sources.uses_detections(config, "coco") else np.ones(len(chosen)),
        person_category(_coco_truth(chosen.file)["categories"], chosen.file.path),
    )
    for result, view in zip(results, predictions.views, strict=True):
        result["area"] = view.size[0] * view.size[1]
    return results


def _coco_truth(file: packed.Packed) -> CocoJson:
    truth: CocoJson = json.loads(str(file.extra["ground_truth"].astype(str)))
    return truth


def _coco(config: Config, predictions: Predictions) -> coco.CocoResult:
    truth = _coco_truth(predictions.samples.file)
    # The peak of a soft-argmax's marginal is far below the 1 of a heat map: the usual 0.2 would drop most joints.
    refinement = coco.Refinement(rescoring=True, joint_threshold=0.0, nms=0.9)
    notes = ("scores rescored by the mean of all joints' scores", "OKS-NMS 0.9")
    where = predictions.samples.file.path
    results = coco_results(config, predictions)
    return coco.evaluate(
        truth, results, refinement=refinement, boxes=_boxes(config, "coco"), notes=notes, truth_where=where
    )


def mean_pose_mpjpe(config: Config, file: packed.Packed) -> float:
    """The MPJPE (mm) of a constant prediction, the mean root-relative pose of the training samples: a baseline that
    ignores the image."""
    joints = TRAINING[config.model.joints]
    train, test = (f(file, config.data, joints).column("keypoints3d") for f in (samples.training, samples.evaluation))
    mean = (train - train[:, :1]).astype(np.float64).mean(0)
    return h36m.evaluate(np.broadcast_to(mean, test.shape), test).mpjpe.frames
