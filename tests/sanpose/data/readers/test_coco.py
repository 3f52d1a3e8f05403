"""Reading COCO: its JSON, its detections, what it drops and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanpose.data.readers import coco
from sanpose.data.readers.listing import BadSamples, validate
from sanpose.errors import UserError
from sanpose.metrics.coco_entries import checked_truth
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import valid


def test_coco_drops_by_rule_and_clips_boxes(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=4)
    people = data["annotations"]
    people[0]["bbox"] = [-5.0, 40.0, 30.0, 90.0]
    people[1]["iscrowd"] = 1
    people[2]["keypoints"][2::3] = [0] * 17
    del people[3]["area"]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, BadSamples()))
    assert listing.dropped == {"crowd": 1, "no labelled joint": 1}
    assert listing.columns["box"].tolist() == [[0, 40, 25, 24], [8, 9, 40, 44]]
    assert listing.columns["annotation"].tolist() == [101, 104]
    assert listing.columns["area"].tolist() == pytest.approx([900, 0.53 * 40 * 44])
    assert listing.columns["train"].tolist() == [0, 0]
    assert [image.name for image in listing.images] == ["000000000001.jpg", "000000000004.jpg"]
    truth = json.loads(listing.stored_extra["ground_truth"].item())
    assert "segmentation" not in truth["annotations"][0]


def test_coco_joins_the_splits_and_judges_only_the_evaluation_split(tmp_path: Path) -> None:
    tiny.coco(tmp_path, "person_keypoints_train2017.json", images=3, first=1)
    tiny.coco(tmp_path, "person_keypoints_val2017.json", images=2, first=11)
    listing = valid(coco.read(tmp_path, BadSamples()))
    assert listing.columns["train"].tolist() == [1, 1, 1, 0, 0]
    assert listing.columns["image"].tolist() == [0, 1, 2, 3, 4]
    assert listing.images[3].path == tmp_path / "val2017" / "000000000011.jpg"
    truth = json.loads(listing.stored_extra["ground_truth"].item())
    assert [image["id"] for image in truth["images"]] == [11, 12]


def test_coco_keeps_person_detections_and_their_images(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    data["annotations"] = data["annotations"][:2]  # the third image has a detection only
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    found = [
        {"bbox": [1, 2, 30, 40], "category_id": 1, "image_id": 3, "score": 0.5},
        {"bbox": [1, 2, 30, 40], "category_id": 18, "image_id": 1, "score": 0.9},
        {"bbox": [3, 4, 30, 40], "category_id": 1, "image_id": 2, "score": 0.25},
        {"bbox": [3, 4, 30, 40], "category_id": 1, "image_id": 999, "score": 0.25},
    ]
    tiny.write(tmp_path / "annotations" / "val_det.json", found)
    listing = valid(coco.read(tmp_path, BadSamples()))
    assert listing.extra["detections"]["image"].tolist() == [2, 1]
    assert listing.extra["detections"]["score"].tolist() == [0.5, 0.25]
    thinner = listing.without_images(np.array([True, False, False]))
    assert thinner.extra["detections"]["image"].tolist() == [1, 0]
    assert thinner.columns["image"].tolist() == [0]
    assert len(json.loads(thinner.stored_extra["ground_truth"].item())["annotations"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(keypoints=p["keypoints"][:48]), r"keypoints' has shape \(48,\)"),
        (lambda p: p["keypoints"].__setitem__(0, float("nan")), "not finite: nose"),
        (lambda p: p.update(bbox=[5, 5, 0, 20]), "no area"),
        (lambda p: p.update(bbox=[70, 5, 10, 20]), "no area"),
        (lambda p: p.update(image_id=77), "not among the images"),
        (lambda p: p.update(area=float("nan")), "'area' is not finite"),
        (lambda p: p.update(iscrowd=1, bbox=[5, 5, float("nan"), 20]), "'bbox' is not finite"),
        (lambda p: p.update(iscrowd=1, keypoints=[0] * 48), r"keypoints' has shape \(48,\)"),
        (lambda p: p.update(num_keypoints="17"), "'num_keypoints' is '17'"),
    ],
)
def test_coco_bad_persons_are_errors_or_are_counted(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    data = tiny.coco(tmp_path)
    change(data["annotations"][0])
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    with pytest.raises(UserError, match=message) as error:
        valid(coco.read(tmp_path, BadSamples()))
    assert "annotation 101" in str(error.value)
    bad = BadSamples(skip=True)
    assert len(validate(coco.read(tmp_path, bad), bad)) == 1
    assert sum(bad.kinds.values()) == len(bad.messages) == 1


def test_coco_coordinates_of_unlabelled_joints_mean_nothing(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path)
    data["annotations"][0]["keypoints"][:3] = [None, None, 0]
    data["annotations"][1]["keypoints"][:3] = [float("nan"), 7.0, 0]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, BadSamples()))
    assert listing.columns["keypoints"][:, 0].tolist() == [[0, 0], [0, 7]]
    assert listing.columns["visible"][:, 0].tolist() == [0, 0]
    truth = checked_truth(json.loads(listing.stored_extra["ground_truth"].item()), "here")
    assert [person["keypoints"][:3] for person in truth["annotations"]] == [[0, 0, 0], [0, 7, 0]]


def test_coco_entries_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    data["images"][0]["width"] = None  # its person has no image then
    del data["annotations"][1]["id"]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    with pytest.raises(UserError, match=r"images\[0\]"):
        coco.read(tmp_path, BadSamples())
    bad = BadSamples(skip=True)
    listing = validate(coco.read(tmp_path, bad), bad).used_images()
    assert listing.columns["annotation"].tolist() == [103]
    assert bad.kinds == {"malformed entry": 3}
    assert [image["id"] for image in json.loads(listing.stored_extra["ground_truth"].item())["images"]] == [2, 3]


def test_coco_people_without_keypoints_are_dropped_by_rule(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path)
    for name in ("keypoints", "num_keypoints"):
        del data["annotations"][0][name]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, BadSamples()))
    assert listing.dropped == {"no labelled joint": 1}


def test_coco_broken_or_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"person_keypoints_\*\.json"):
        coco.read(tmp_path, BadSamples())
    path = tmp_path / "annotations" / "person_keypoints_val2017.json"
    tiny.coco(tmp_path)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(UserError, match="broken JSON"):
        coco.read(tmp_path, BadSamples())
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match="no list 'annotations'"):
        coco.read(tmp_path, BadSamples())
