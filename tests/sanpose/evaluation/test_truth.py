"""What is scored: everything that the data set counts, by one rule in JSON, in packed files, and in `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sanpose.cli.data import data as data_command
from sanpose.cli.metrics import metrics
from sanpose.config.compose import compose
from sanpose.data import packed, sources
from sanpose.data.prepare import prepare
from sanpose.data.readers import coco
from sanpose.data.readers.listing import BadSamples
from sanpose.data.synth.generate import generate
from sanpose.data.synth.options import Options, SetName
from sanpose.errors import UserError
from sanpose.evaluation.measure import coco_results, measure
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.evaluation.perfect import labels

VAL, TRAIN = "person_keypoints_val2017.json", "person_keypoints_train2017.json"
Json = dict[str, Any]


def pack(folder: Path, *, skip: bool = False) -> Path:
    bad = BadSamples(skip=skip)
    prepare(coco.read(folder, bad), folder / "coco.h5", bad)
    return folder / "coco.h5"


def write(folder: Path, data: Json, name: str = VAL) -> Path:
    tiny.write(folder / "annotations" / name, data)
    return folder / "annotations" / name


def results(data: Json, off: float = 0.0) -> list[Json]:
    """Predictions `off` px from the labels of everyone in the data."""
    entries = []
    for person in data["annotations"]:
        points = np.array(person["keypoints"], float).reshape(-1, 3) + np.array([off, 0, 0])
        entries.append(
            {"image_id": person["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(), "score": 1.0}
        )
    return entries


def call(command: click.Command, *arguments: object) -> tuple[int, str]:
    """The command's exit code and output, or 2 and the error for people."""
    done = CliRunner().invoke(command, [str(a) for a in arguments])
    if isinstance(done.exception, UserError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def figures(truth: Path, predictions: list[Json]) -> Json:
    """The document of `sanpose metrics coco`."""
    pred = truth.parent / "pred.results"
    pred.write_text(json.dumps(predictions))
    code, output = call(metrics, "coco", "--gt", truth, "--pred", pred, "--json")
    assert code == 0, output
    document: Json = json.loads(output)
    return document


def evaluated(file: Path, *more: str) -> Json:
    """The figures of the labels as predictions, through the code of `sanpose evaluate`."""
    config = compose(["preset=smoke", f"data.sources.coco.file={file}", *more])
    return measure(config, labels(sources.predicted(config, "coco", packed.read(file)), config)).as_dict()


@pytest.mark.parametrize(("name", "figure", "perfect"), [("h36m", "", 0.0), ("mpii", "", 100.0), ("coco", "AP", 1.0)])
def test_labels_as_predictions_are_perfect_on_every_drawn_set(
    tmp_path: Path, name: SetName, figure: str, perfect: float
) -> None:
    drawn = Options(subjects=(1, 9), h36m_frames=1, mpii_train=8, mpii_val=30, coco_train=8, coco_val=40, scale=0.2)
    generate(tmp_path, drawn, only=(name,))
    code, output = call(data_command, "prepare", name, "--src", tmp_path / name, "--out", tmp_path / f"{name}.h5")
    assert code == 0, output
    config = compose(["preset=smoke"])
    document = measure(
        config, labels(sources.predicted(config, name, packed.read(tmp_path / f"{name}.h5")), config)
    ).as_dict()
    if name == "h36m":
        assert document["mpjpe"]["mean_over_frames"] == pytest.approx(perfect, abs=0.01)  # type: ignore[index]
    elif name == "mpii":
        assert document["pckh@0.5"]["Mean"] == perfect  # type: ignore[index]
    else:
        assert document[figure] == pytest.approx(perfect)


def one_joint(person: Json) -> None:
    """Only the person's nose is labelled."""
    person["keypoints"][5::3] = [0] * 16
    person["num_keypoints"] = 1


def test_a_person_with_one_labelled_joint_is_evaluated_but_not_trained_on(tmp_path: Path) -> None:
    for name in (TRAIN, VAL):
        data = tiny.coco(tmp_path, name, images=3, first=1 if name == TRAIN else 11)
        one_joint(data["annotations"][0])
        path = write(tmp_path, data, name)
    file = pack(tmp_path)
    read = packed.read(file)
    assert read.columns["train"].tolist() == [1, 1, 0, 0, 0]
    assert read.provenance["dropped"] == {"fewer than 2 labelled joints, for training": 1}
    assert evaluated(file)["AP"] == pytest.approx(1.0)
    missing = results(data)[1:]
    assert figures(path, missing)["AP"] == figures(file, missing)["AP"] < 0.7


def test_images_without_samples_stay_in_the_ground_truth(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    nobody = data["annotations"].pop(0)
    path = write(tmp_path, data)
    file = pack(tmp_path)
    assert packed.read(file).image_name.tolist() == ["000000000002.jpg", "000000000003.jpg"]
    wrong = [*results(data), {**results({"annotations": [nobody]})[0], "score": 2.0}]
    assert figures(path, wrong)["AP"] == figures(file, wrong)["AP"] == pytest.approx(0.67, abs=0.01)


def test_ids_and_names_count_within_their_own_file(tmp_path: Path) -> None:
    train = tiny.coco(tmp_path, TRAIN, images=2)
    data = tiny.coco(tmp_path, VAL, images=3)  # the same ids and names as in the training file
    train["annotations"] = train["annotations"][1:]
    train["annotations"][0].update(bbox=[5, 5, 0, 20], id=101)  # a bad person, whose id is a good person's
    write(tmp_path, train, TRAIN)
    tiny.coco(tmp_path, "person_keypoints_train2018.json", images=1, first=50)
    file = pack(tmp_path, skip=True)
    assert packed.read(file).provenance["bad"] == {"box not finite or without area": 1}
    for predictions in (results(data), results(data)[:2]):
        expected = figures(tmp_path / "annotations" / VAL, predictions)["AP"]
        assert figures(file, predictions)["AP"] == expected
    assert evaluated(file)["AP"] == pytest.approx(1.0)


def test_two_evaluation_files_with_the_same_ids_are_kept_apart(tmp_path: Path) -> None:
    tiny.coco(tmp_path, VAL, images=2)
    other = tiny.coco(tmp_path, "person_keypoints_val2018.json", images=2)
    for person in other["annotations"]:  # the same poses: NMS would remove one of two in one image
        person["keypoints"][0::3] = [x + 0.01 for x in person["keypoints"][0::3]]
    write(tmp_path, other, "person_keypoints_val2018.json")
    file = pack(tmp_path)
    read = packed.read(file)
    assert read.columns["image_id"].tolist() == [1, 2, 3, 4]
    assert any("image ids shifted by 2" in note for note in read.provenance["notes"])
    truth = json.loads(read.extra["ground_truth"])
    assert [(image["id"], image["file_name"][-5]) for image in truth["images"]] == [
        (1, "1"), (2, "2"), (3, "1"), (4, "2"),
    ]  # fmt: skip
    assert evaluated(file)["AP"] == pytest.approx(1.0)
    tiny.write(tmp_path / "annotations" / "val_det.json", [{"bbox": [1, 2, 3, 4], "image_id": 1, "score": 0.5}])
    with pytest.raises(UserError, match="two evaluation files have an image of that id"):
        coco.read(tmp_path, BadSamples())


def test_two_images_of_one_id_in_a_file_are_refused(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    data["images"][2]["id"] = 1
    path = write(tmp_path, data)
    with pytest.raises(UserError, match="two images have the id 1: entries 0 and 2"):
        coco.read(tmp_path, BadSamples(skip=True))
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps(results(data)[:2]))
    code, output = call(metrics, "coco", "--gt", path, "--pred", pred)
    assert code == 2 and "two images have the id 1: entries 0 and 2" in output


@pytest.mark.parametrize("off", [0.0, 1.0])
@pytest.mark.parametrize(
    "change",
    [
        lambda person: person.update(area=0),
        lambda person: person.pop("area"),
        lambda person: person.update(num_keypoints=0),
        lambda person: person.update(num_keypoints=3),
        lambda person: person.update(category_id=None),
    ],
    ids=["area 0", "no area", "num_keypoints 0", "num_keypoints 3", "category null"],
)
def test_doubtful_fields_count_by_one_rule(tmp_path: Path, change: Callable[[Json], object], off: float) -> None:
    data = tiny.coco(tmp_path, images=3)
    for person in data["annotations"]:
        change(person)
    path = write(tmp_path, data)
    by_json, by_file = (figures(truth, results(data, off)) for truth in (path, pack(tmp_path)))
    assert by_json["AP"] == by_file["AP"] and by_json["AP"] > 0.5
    assert by_json["protocol"]["subjects"] == "3 people with keypoints in 3 images"


def test_results_of_other_categories_are_said_or_refused(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    path = write(tmp_path, data)
    mixed = results(data)
    mixed[0]["category_id"] = 0
    document = figures(path, mixed)
    assert "1 entries of other categories passed over" in document["protocol"]["notes"] and document["AP"] < 0.7
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps([{**entry, "category_id": 0} for entry in mixed]))
    code, output = call(metrics, "coco", "--gt", path, "--pred", pred)
    assert code == 2 and "no prediction is of a person: their category_id is 0" in output


def test_no_figure_is_an_error(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=2)
    predictions = results(data)
    for person in data["annotations"]:
        person["keypoints"][2::3] = [0] * 17
    path = write(tmp_path, data)
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps(predictions))
    code, output = call(metrics, "coco", "--gt", path, "--pred", pred)
    assert code == 2 and "nobody in the ground truth has a labelled joint" in output


def test_the_person_is_the_category_of_that_name(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    data["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "Person"}]
    for person in data["annotations"][1:]:
        person["category_id"] = 2
    path = write(tmp_path, data)
    file = pack(tmp_path)
    read = packed.read(file)
    assert read.columns["annotation"].tolist() == [102, 103]
    assert read.provenance["dropped"] == {"not a person": 1}
    config = compose(["preset=smoke", f"data.sources.coco.file={file}"])
    own = coco_results(config, labels(sources.predicted(config, "coco", read), config))
    assert {entry["category_id"] for entry in own} == {2} and "bbox" not in own[0]
    entries = [dict(entry) for entry in own]
    assert figures(path, entries)["AP"] == figures(file, entries)["AP"] == pytest.approx(1.0)


JOINTS = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
          "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
          "right_ankle"]  # fmt: skip


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1, "name": "person", "keypoints": JOINTS}], None),
        ([{"id": 1, "name": "person", "keypoints": [*JOINTS, "head", "neck", "hip"]}], None),
        ([{"id": 1, "name": "person"}], None),
        ([], None),
        ([{"id": 1}], None),
        ([{"id": 1, "name": "person", "keypoints": [*JOINTS[:5], *JOINTS[6:], "hip"]}], "joint 6 .* right_shoulder"),
        ([{"id": 1, "name": "person", "keypoints": JOINTS[:14]}], "joint 15 of the category is missing"),
        ([{"id": 1, "keypoints": ["head", *JOINTS[1:]]}], "joint 1 of the category is head, where COCO has nose"),
        ([{"id": 1, "name": "horse", "keypoints": JOINTS}], "no category is named person"),
        ([{"id": 1, "name": "person"}, {"id": 2, "name": "person"}], "2 categories are named person"),
    ],
)
def test_other_skeletons_are_refused(tmp_path: Path, categories: list[Json], message: str | None) -> None:
    data = tiny.coco(tmp_path, images=2)
    path = write(tmp_path, {**data, "categories": categories})
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps(results(data)))
    code, output = call(metrics, "coco", "--gt", path, "--pred", pred)
    if message is None:
        assert len(coco.read(tmp_path, BadSamples())) == 2 and code == 0
        return
    with pytest.raises(UserError, match=message) as error:
        coco.read(tmp_path, BadSamples(skip=True))
    assert VAL in str(error.value) and error.value.what in output and code == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_of_json_are_read_alike(tmp_path: Path, encoding: str) -> None:
    data = tiny.coco(tmp_path, images=2)
    path, pred = tmp_path / "annotations" / VAL, tmp_path / "pred.json"
    path.write_text(json.dumps(data), encoding=encoding)
    pred.write_text(json.dumps(results(data)), encoding=encoding)
    code, output = call(metrics, "coco", "--gt", path, "--pred", pred, "--json")
    assert code == 0 and json.loads(output)["AP"] == pytest.approx(1.0)
    assert evaluated(pack(tmp_path))["AP"] == pytest.approx(1.0)
    boxes = [{"image_id": 1, "bbox": [1, 2, 30, 40], "score": 1.0}]
    (tmp_path / "annotations" / "val_det.json").write_text(json.dumps(boxes), encoding=encoding)
    assert len(coco.read(tmp_path, BadSamples()).extra["detections"]) == 1


def test_detections_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    tiny.coco(tmp_path, images=3)
    box = {"bbox": [1, 2, 30, 40], "score": 0.5}
    detected = [{**box, "image_id": 1, "category_id": c} for c in (1, 0, 18)] + [{**box, "image_id": 99}]
    tiny.write(tmp_path / "annotations" / "val_det.json", detected)
    notes = coco.read(tmp_path, BadSamples()).notes
    assert (
        "1 persons; 2 passed over, of another category; 1 passed over, of an image that is not evaluated" in notes[-1]
    )
    tiny.write(tmp_path / "annotations" / "val_det.json", detected[1:3])
    with pytest.raises(UserError, match="no detection is of a person in an evaluation image"):
        coco.read(tmp_path, BadSamples())
