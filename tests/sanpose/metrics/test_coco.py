"""COCO: OKS by hand, NMS, rescoring, AP of hand-made people, and the golden values of the real annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanpose.errors import UserError
from sanpose.metrics import coco, oks

CATEGORIES = [{"id": 1, "name": "person"}]
GOLDEN = [0.681998, 1, 1, 0.720792, 0.665111, 0.716667, 1, 1, 0.72, 0.714286]


def person(image: int, annotation: int, side: float, visible: int = 17) -> dict[str, Any]:
    """One person whose joints lie on a diagonal across a square box of the given side, px; area side^2."""
    line = np.linspace(0, side, 17) + 10
    keypoints = np.stack([line, line, np.where(np.arange(17) < visible, 2, 0)], 1)
    return {
        "id": annotation, "image_id": image, "category_id": 1, "iscrowd": 0, "area": side**2,
        "bbox": [10, 10, side, side], "num_keypoints": visible, "keypoints": keypoints.ravel().tolist(),
    }  # fmt: skip


def truth(*people: dict[str, Any]) -> dict[str, Any]:
    images = [{"id": i} for i in sorted({p["image_id"] for p in people})]
    return {"images": images, "annotations": list(people), "categories": CATEGORIES}


def shifted(annotation: dict[str, Any], similarity: float, score: float = 1.0) -> dict[str, Any]:
    """A result whose OKS with the annotation is as given: each joint is off by what its own constant calls for."""
    keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
    keypoints[:, 0] += np.sqrt(-np.log(similarity) * 2 * annotation["area"]) * 2 * oks.SIGMAS
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "keypoints": keypoints.ravel().tolist(),
        "score": score,
    }


def test_perfect_people_have_ten_ones() -> None:
    people = [person(1, 1, 60), person(1, 2, 200), person(2, 3, 150)]
    stats = coco.evaluate(truth(*people), [shifted(p, 1.0) for p in people]).stats
    assert list(stats.values()) == pytest.approx([1.0] * 10)


def test_ap_of_a_known_similarity() -> None:
    # OKS 0.72 passes the thresholds .50, .55, .60, .65, .70: five of ten.
    people = [person(1, 1, 200), person(2, 2, 200)]
    stats = coco.evaluate(truth(*people), [shifted(p, 0.72) for p in people]).stats
    assert stats["AP"] == pytest.approx(0.5, abs=1e-6)
    assert stats["AP50"] == pytest.approx(1.0)
    assert stats["AP75"] == 0.0
    assert stats["AP_L"] == pytest.approx(0.5, abs=1e-6)
    assert stats["AP_M"] is None
    assert stats["AR"] == pytest.approx(0.5)


def test_a_better_scored_wrong_pose_costs_precision() -> None:
    people = [person(1, 1, 200)]
    wrong = shifted(people[0], 0.01, score=0.9)
    stats = coco.evaluate(truth(*people), [wrong, shifted(people[0], 1.0, score=0.5)]).stats
    assert stats["AP"] == pytest.approx(0.5)
    assert stats["AR"] == pytest.approx(1.0)


def test_what_annotations_may_lack_is_filled_in() -> None:
    full = person(1, 1, 200)
    bare = {k: v for k, v in full.items() if k not in ("area", "iscrowd", "num_keypoints")}
    # 0.53 of the area: the same offsets give OKS 0.72 ** (1 / 0.53) = 0.538, which passes one threshold.
    assert coco.evaluate(truth(bare), [shifted(full, 0.72)]).stats["AP"] == pytest.approx(0.1, abs=1e-6)
    assert "area" not in bare
    unlabelled = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}
    assert coco.evaluate(truth(full, unlabelled), [shifted(full, 1.0)]).stats["AP"] == pytest.approx(1.0)
    boxless = {k: v for k, v in full.items() if k not in ("bbox", "category_id")}
    assert coco.evaluate(truth(boxless), [shifted(full, 0.72)]).stats["AP"] == pytest.approx(0.5, abs=1e-6)


def test_ids_of_annotations_do_not_matter() -> None:
    # pycocotools takes one that is matched by number 0 for not matched, and of two with one id only the last.
    for ids in ((0, 1), (7, 7), (-3, 0)):
        people = [person(n + 1, i, 200) for n, i in enumerate(ids)]
        before = json.dumps(people)
        stats = coco.evaluate(truth(*people), [shifted(p, 1.0) for p in people]).stats
        assert stats["AP"] == stats["AR"] == pytest.approx(1.0)
        assert json.dumps(people) == before
    nameless = [{k: v for k, v in p.items() if k != "id"} for p in people]
    assert coco.evaluate(truth(*nameless), [shifted(p, 1.0) for p in people]).stats["AP"] == pytest.approx(1.0)


def test_unlabelled_coordinates_and_other_categories_mean_nothing() -> None:
    full = person(1, 1, 200, visible=16)
    reference = coco.evaluate(truth(full), [shifted(full, 0.72)]).stats
    loose = {**full, "keypoints": [*full["keypoints"][:48], None, float("nan"), None]}
    dog = {"id": 2, "image_id": 1, "category_id": 18, "keypoints": [1, 2, 3]}
    assert coco.evaluate(truth(loose, dog), [shifted(full, 0.72)]).stats == reference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [0] * 48}, r"'keypoints' has shape \(48,\)"),
        ({"keypoints": [float("nan"), *[2] * 50]}, "not finite: nose"),
        ({"keypoints": [2, 2, 2, None, *[2] * 47]}, "not finite: left_eye"),
        ({"keypoints": "many"}, "rows of numbers"),
        ({"area": None, "bbox": None}, "neither 'area' nor 'bbox'"),
        ({"keypoints": None, "bbox": None}, "neither 'bbox' nor a labelled joint"),
        ({"bbox": [1, 2, 3]}, "'bbox' has shape"),
        ({"bbox": [1, 2, 3, float("inf")]}, "'bbox' is not finite"),
        ({"area": float("nan")}, "'area' is not finite"),
        ({"area": -1.0}, "the area is -1 px"),
        ({"iscrowd": "no"}, "'iscrowd' is 'no'"),
        ({"num_keypoints": 2.5}, "'num_keypoints' is 2.5"),
        ({"image_id": "1"}, "'image_id' is '1'"),
        ({"image_id": 3}, "image_id 3 is not among the images"),
        ({"category_id": "person"}, "'category_id' is 'person'"),
    ],
)
def test_bad_ground_truth_is_named(change: dict[str, Any], message: str) -> None:
    good = person(1, 1, 60)
    with pytest.raises(UserError, match=message) as error:
        coco.evaluate({**truth(good), "annotations": [good, {**good, **change}]}, [shifted(good, 1.0)])
    assert "the ground truth, annotations[1]" in str(error.value)


def test_bad_images_of_the_ground_truth_are_named() -> None:
    good = person(1, 1, 60)
    for image in ({}, {"id": "1"}, None, 3):
        with pytest.raises(UserError, match=r"val.json, images\[1\]"):
            coco.evaluate({**truth(good), "images": [{"id": 1}, image]}, [shifted(good, 1.0)], truth_where="val.json")


def test_oks_by_hand_and_only_over_labelled_joints() -> None:
    reference = np.zeros((1, 17, 2))
    other = reference.copy()
    other[0, 0] = [3.0, 4.0]  # the nose, 5 px off
    expected = np.exp(-25 / (2 * 1000 * (2 * 0.026) ** 2))
    assert oks.oks(reference, other, np.array([1000.0])) == pytest.approx(np.array([[(16 + expected) / 17]]))
    nose = np.arange(17)[None] == 0
    assert oks.oks(reference, other, np.array([1000.0]), nose) == pytest.approx(np.array([[expected]]))
    assert oks.oks(reference, other, np.array([1000.0]), nose & False) == pytest.approx(np.array([[0.0]]))


def test_the_constants_are_those_of_pycocotools() -> None:
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(oks.SIGMAS, Params("keypoints").kpt_oks_sigmas, rtol=1e-12)


def test_nms_keeps_the_best_of_near_copies_and_all_others() -> None:
    one = np.array(person(1, 1, 200)["keypoints"]).reshape(17, 3)[:, :2]
    poses = np.stack([one, one + 0.5, one + 80])
    kept = oks.oks_nms(poses, np.array([0.3, 0.9, 0.1]), np.full(3, 200.0**2))
    assert kept.tolist() == [1, 2]
    assert oks.oks_nms(poses, np.array([0.3, 0.9, 0.1]), np.full(3, 200.0**2), threshold=1.0).tolist() == [1, 0, 2]


def test_rescoring_takes_the_mean_of_the_joints_above_0_2() -> None:
    joints = np.zeros((2, 17))
    joints[0, :3] = [0.4, 0.8, 0.2]
    assert oks.rescore(np.array([0.5, 0.5]), joints) == pytest.approx([0.3, 0.0])


def test_refine_works_per_image_and_keeps_the_order() -> None:
    a = person(1, 1, 200)
    copies = [shifted(a, 0.99, 0.2), {**shifted(a, 1.0, 0.9), "image_id": 2}, shifted(a, 1.0, 0.8)]
    kept = coco.refine(copies, coco.Refinement(nms=0.9))
    assert [(r["image_id"], r["score"]) for r in kept] == [(2, 0.9), (1, 0.8)]
    rescored = coco.refine(copies, coco.Refinement(rescoring=True))
    assert [r["score"] for r in rescored] == pytest.approx([0.4, 1.8, 1.6])  # the joints' scores are all 2 here


def test_results_round_trip_through_evaluate() -> None:
    people = [person(7, 1, 200), person(8, 2, 90)]
    keypoints = np.array([p["keypoints"] for p in people]).reshape(2, 17, 3)[..., :2]
    made = coco.results(keypoints, np.full((2, 17), 0.5), np.array([7, 8]), np.array([0.9, 0.8]))
    assert json.loads(json.dumps(made)) == made
    assert coco.evaluate(truth(*people), made).stats["AP"] == pytest.approx(1.0)
    with pytest.raises(UserError, match="shape"):
        coco.results(keypoints[:, :16], np.ones((2, 17)), np.array([7, 8]), np.ones(2))


def test_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    coco.evaluate(truth(person(1, 1, 60)), [shifted(person(1, 1, 60), 1.0)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [0.0] * 48}, r"'keypoints' has shape \(48,\)"),
        ({"keypoints": [float("nan")] * 51}, "'keypoints' is not finite"),
        ({"keypoints": [None] * 51}, "'keypoints' is not finite"),
        ({"keypoints": ["x"] * 51}, "rows of numbers"),
        ({"score": float("inf")}, "'score' is not finite"),
        ({"score": None}, "'score' is not finite"),
        ({"bbox": []}, "'bbox' has shape"),
        ({"bbox": [1, 2, 3, "w"]}, "rows of numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "'bbox' is not finite"),
        ({"area": "large"}, "rows of numbers"),
        ({"image_id": 99}, "prediction 1 is of image 99"),
        ({"image_id": "1"}, "'image_id' is '1'"),
        ({"image_id": [1]}, r"'image_id' is \[1\]"),
        ({"category_id": None}, "'category_id' is None"),
    ],
)
def test_bad_predictions_are_named(change: dict[str, Any], message: str) -> None:
    good = shifted(person(1, 1, 60), 1.0)
    with pytest.raises(UserError, match=message) as error:
        coco.evaluate(truth(person(1, 1, 60)), [good, {**good, **change}])
    assert "prediction 1" in str(error.value)


def test_predictions_that_lack_something_are_named() -> None:
    good = shifted(person(1, 1, 60), 1.0)
    with pytest.raises(UserError, match="no predictions"):
        coco.evaluate(truth(person(1, 1, 60)), [])
    for name in ("image_id", "category_id", "keypoints", "score"):
        with pytest.raises(UserError, match=rf"lacks '{name}'\n.*pred.json, prediction 0"):
            lacking = {k: v for k, v in good.items() if k != name}
            coco.refine([lacking], coco.Refinement(rescoring=True), where="pred.json")


def test_null_fields_count_as_missing() -> None:
    [entry] = coco.refine([{**shifted(person(1, 1, 60), 1.0), "bbox": None}], coco.Refinement(nms=0.9))
    assert "bbox" not in entry


@pytest.mark.real
def test_golden_values_of_the_real_annotations(real_data: Path) -> None:
    reference = json.loads((real_data / "coco" / "test_coco.json").read_text())
    exact, noisy, noise = [], [], np.random.RandomState(0)
    for annotation in reference["annotations"]:
        if annotation["num_keypoints"] > 0:
            keypoints = np.array(annotation["keypoints"], float).reshape(17, 3)
            moved = keypoints.copy()
            moved[:, :2] += noise.randn(17, 2) * 0.05 * np.sqrt(annotation["area"])
            same = {"image_id": annotation["image_id"], "category_id": 1, "score": 1.0}
            exact.append({**same, "keypoints": keypoints.ravel().tolist()})
            noisy.append({**same, "keypoints": moved.ravel().tolist()})
    assert list(coco.evaluate(reference, exact).stats.values()) == pytest.approx([1.0] * 10)
    result = coco.evaluate(reference, noisy)
    assert list(result.stats.values()) == pytest.approx(GOLDEN, abs=1e-6)
    assert "12 people with keypoints in 4 images" in result.protocol.text()
