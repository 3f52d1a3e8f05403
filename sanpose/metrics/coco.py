"""COCO's keypoint AP by pycocotools: the list of results, its refinement (rescoring, OKS-NMS), and the ten figures.

Knows COCO's JSON structures and arrays of 17 joints in px, 0-based, in the order of `sanpose.pose.joints.COCO17`.

Source: COCO's keypoint evaluation page, whose reference implementation is pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanpose.data.readers.coco_category import PERSON
from sanpose.errors import UserError
from sanpose.metrics.checks import require_finite, require_shape
from sanpose.metrics.coco_entries import CocoJson, ResultEntry, checked_results, checked_truth, results_of_people
from sanpose.metrics.oks import oks_nms, rescore
from sanpose.metrics.protocol import FigureTable, Protocol, cell
from sanpose.pose.joints import COCO17

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


@dataclass(frozen=True)
class Refinement:
    """What happens to the scores before the evaluation. rescoring: times the mean of the joints' scores above
    `joint_threshold`; nms: the threshold of OKS-NMS, None without."""

    rescoring: bool = False
    joint_threshold: float = 0.2
    nms: float | None = None


@dataclass(frozen=True)
class CocoResult:
    """The ten figures of COCO's keypoint evaluation, 0 .. 1; None where no ground truth falls into the size class."""

    stats: dict[str, float | None]
    protocol: Protocol

    def as_dict(self) -> dict[str, object]:
        """The figures (0 .. 1) and the protocol, ready for JSON."""
        return {"metric": "coco", "unit": "0..1", **self.stats, "protocol": self.protocol.as_dict()}

    def table(self) -> FigureTable:
        """One row, ten columns, 0 .. 1."""
        return FigureTable("COCO keypoints", ("", *STATS), (("OKS", *(cell(self.stats[s], 3) for s in STATS)),))


def results(
    keypoints: Floats,
    joint_scores: Floats,
    image_ids: npt.NDArray[np.integer],
    scores: Floats,
    category: int = PERSON,
) -> list[ResultEntry]:
    """COCO's results list. keypoints: (N, 17, 2) px; joint_scores: (N, 17); image_ids, scores: (N,); category: the id
    of the ground truth's category person.

    Raises UserError for wrong shapes or numbers that are not finite.
    """
    count = len(keypoints)
    require_shape("the keypoints", keypoints, (count, 17, 2))
    require_shape("the joints' scores", joint_scores, (count, 17))
    require_finite("the prediction is", keypoints, COCO17.joints)
    triples = np.concatenate([keypoints, joint_scores[..., None]], -1, dtype=np.float64).reshape(count, -1)
    return [
        {"image_id": int(image), "category_id": category, "keypoints": triple.tolist(), "score": float(score)}
        for image, triple, score in zip(image_ids, triples, scores, strict=True)
    ]


def refine(
    predictions: Sequence[Mapping[str, object]],
    refinement: Refinement,
    where: object = None,
) -> list[ResultEntry]:
    """COCO results after rescoring, then OKS-NMS per image.

    A joint's score is its third number. For NMS, a pose's area is its `area`, else that of its `bbox`, else that of its
    joints' extent, px^2; of equal scores, the earlier entry comes first. Raises UserError as `checked_results` does.
    """
    checked = checked_results(predictions, where)
    joints = np.array([p["keypoints"] for p in checked]).reshape(-1, 17, 3)
    scores = np.array([p["score"] for p in checked])
    if refinement.rescoring:
        scores = rescore(scores, joints[..., 2], refinement.joint_threshold)
    images = np.array([p["image_id"] for p in checked])
    survivors = np.arange(len(checked))
    if refinement.nms is not None:
        nms = refinement.nms
        area = np.array([_area(p, pose) for p, pose in zip(checked, joints, strict=True)])
        order = np.argsort(images, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(images[order])) + 1)
        survivors = np.sort(np.concatenate([g[oks_nms(joints[g, :, :2], scores[g], area[g], nms)] for g in groups]))
    return [{**checked[int(i)], "score": float(scores[i])} for i in survivors]


def _area(prediction: ResultEntry, pose: Doubles) -> float:
    if "area" in prediction:
        return prediction["area"]
    if "bbox" in prediction:
        return prediction["bbox"][2] * prediction["bbox"][3]
    return float(np.ptp(pose[:, 0]) * np.ptp(pose[:, 1]))


def evaluate(
    ground_truth: CocoJson,
    predictions: Sequence[Mapping[str, object]],
    *,
    refinement: Refinement | None = None,
    boxes: str = "unknown",
    notes: tuple[str, ...] = (),
    where: object = None,
    truth_where: object = "the ground truth",
) -> CocoResult:
    """COCO's ten figures for a results list.

    ground_truth: COCO's JSON, of which every image is scored; predictions: COCO's results list, of which entries of
    other categories are passed over. `coco_truth.complete` fills in the fields that a person of the ground truth may
    lack. boxes, notes, where (the predictions) and truth_where only describe. Raises UserError when an annotation or a
    prediction lacks a field, is not finite, or names an image that the ground truth lacks, and when there is nothing to
    score. Suppresses pycocotools' output.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = checked_truth(ground_truth, truth_where)
    if not any(person["num_keypoints"] and not person["iscrowd"] for person in truth["annotations"]):
        raise UserError(
            "nobody in the ground truth has a labelled joint: there is nothing to score",
            where=truth_where,
            expected="a person with a joint whose visibility is 1 or 2",
        )
    every = checked_results(predictions, where)
    checked = results_of_people(every, ground_truth, where)
    if len(checked) < len(every):
        notes = (*notes, f"{len(every) - len(checked)} entries of other categories passed over")
    _require_images(checked, {image["id"] for image in truth["images"]}, where)
    if refinement:
        checked = refine(checked, refinement, where)
    # pycocotools computes a pose's area from its bbox, but looks for a bbox in the first prediction only.
    left_out = {"area"} if all("bbox" in p for p in checked) else {"area", "bbox"}
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        detected = reference.loadRes([{k: v for k, v in p.items() if k not in left_out} for p in checked])
        scoring = COCOeval(reference, detected, "keypoints")
        scoring.params.catIds = [PERSON]
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    stats = {name: None if value < 0 else float(value) for name, value in zip(STATS, scoring.stats, strict=True)}
    images, people = len(truth["images"]), sum(a["num_keypoints"] > 0 for a in truth["annotations"])
    return CocoResult(
        stats,
        Protocol(
            metric="COCO keypoint AP",
            unit="0..1",
            samples=len(checked),
            subjects=f"{people} people with keypoints in {images} images",
            joints="17, the labelled ones",
            stride="every image",
            alignment="none; OKS .50:.05:.95, at most 20 poses per image",
            boxes=boxes,
            notes=notes,
        ),
    )


def _require_images(predictions: Sequence[ResultEntry], images: set[int], where: object) -> None:
    for i, prediction in enumerate(predictions):
        if prediction["image_id"] not in images:
            raise UserError(
                f"prediction {i} is of image {prediction['image_id']}, which the ground truth lacks",
                where=where,
                expected="an image_id of the ground truth",
                hint="check that both files are of the same split",
            )
