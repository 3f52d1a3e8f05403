"""Annotations that are valid numbers of another meaning: `prepare` and `check` say so; right data raise no doubt."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.io import savemat

from sanpose.cli.data import data as command
from sanpose.data import packed
from sanpose.data.check import examine
from sanpose.data.doubts import of_corner_boxes
from sanpose.data.readers import coco, h36m, mpii
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.data.readers.reading import EVERY, valid

VAL = "person_keypoints_val2017.json"


def prepared(kind: str, folder: Path, *options: object) -> tuple[str, packed.Packed]:
    """The output of `data prepare`, and the file."""
    out = folder / f"{kind}.h5"
    done = CliRunner().invoke(command, ["prepare", kind, "--src", str(folder), "--out", str(out), *map(str, options)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output, packed.read(out)


def test_coordinates_from_0_to_1(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    for person in data["annotations"]:
        person["keypoints"] = [v if n % 3 == 2 else v / tiny.SIZE for n, v in enumerate(person["keypoints"])]
        person["bbox"] = [v / tiny.SIZE for v in person["bbox"]]
    tiny.write(tmp_path / "annotations" / VAL, data)
    output, file = prepared("coco", tmp_path)
    assert "note: doubtful: 3 samples: all labelled joints lie within 2 px of the image's corner" in output
    assert any("fractions of the image instead of px?" in problem for problem in examine(file).problems)


def test_boxes_of_two_corners(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    for person in data["annotations"]:
        person["bbox"] = [20.0, 10.0, 60.0, 60.0]
    tiny.write(tmp_path / "annotations" / VAL, data)
    boxes = [{"image_id": n, "bbox": [20, 10, 60, 60], "score": 1.0} for n in (1, 2)]
    tiny.write(tmp_path / "annotations" / "val_det.json", boxes)
    output, _ = prepared("coco", tmp_path)
    assert f"note: doubtful: {VAL}: 3 of 3 boxes end outside their image, and all fit as x1, y1, x2, y2" in output
    assert "doubtful: 2 of 2 detected boxes end outside their image" in output


def test_right_boxes_raise_no_doubt() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 80, (500, 2))
    boxes = np.concatenate([low, random.uniform(5, 100 - low)], 1)
    sizes = np.full((500, 2), 100.0)
    assert of_corner_boxes(boxes, sizes, "boxes") is None
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    assert of_corner_boxes(corners, sizes, "boxes") is not None
    assert of_corner_boxes(boxes[:0], sizes[:0], "boxes") is None


def test_head_boxes_that_are_missing_or_have_no_size(tmp_path: Path) -> None:
    people = tiny.mpii(tmp_path, count=4)
    boxes = np.tile(np.array([[5.0, 6.0], [25.0, 26.0]])[..., None], (1, 1, len(people)))
    boxes[:, :, 1], boxes[:, :, 2] = np.nan, 7.0
    savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": boxes})
    output, file = prepared("mpii", tmp_path)
    doubt = "of 4 people of the evaluation split, 1 have no head box and 1 have a head box of no size: PCKh leaves"
    assert doubt in output
    assert any(problem.startswith(doubt) for problem in examine(file).problems)


@pytest.mark.parametrize("labels", ["stored", "turned"])
def test_images_that_an_exif_mark_turns(tmp_path: Path, labels: str) -> None:
    data = tiny.coco(tmp_path, images=2)
    mark = Image.Exif()
    mark[0x0112] = 6
    turned = io.BytesIO()
    Image.new("RGB", (80, tiny.SIZE)).save(turned, "JPEG", exif=mark)
    (tmp_path / "val2017" / "000000000001.jpg").write_bytes(turned.getvalue())
    size = {"width": 80, "height": tiny.SIZE} if labels == "stored" else {"width": tiny.SIZE, "height": 80}
    data["images"][0].update(size)
    tiny.write(tmp_path / "annotations" / VAL, data)
    if labels == "turned":
        bad = BadSamples(skip=True)
        arguments = ["prepare", "coco", "--src", str(tmp_path), "--out", str(tmp_path / "coco.h5")]
        done = CliRunner().invoke(command, arguments)
        assert "an EXIF mark turns the image, and the labels are of the turned image" in str(done.exception)
        assert len(coco.read(tmp_path, bad)) == 2
        return
    _, file = prepared("coco", tmp_path)
    report = examine(file)
    assert report.problems == []
    assert (
        "1 of 2 images examined have an EXIF mark that turns them (first: image 0, 000000000001.jpg)" in report.notes[0]
    )
    done = CliRunner().invoke(command, ["check", str(file.path)])
    assert done.exit_code == 0 and "note: 1 of 2 images examined have an EXIF mark" in done.output


def test_frames_that_count_from_0_and_frames_that_a_stride_leaves_out(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path, frames=10)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    one_based = h36m.read(tmp_path, BadSamples(), EVERY)
    names = [str(name) for name in arrays["imgname"]]
    numbers = [int(Path(name).stem.rsplit("_", 1)[1]) for name in names]
    shifted = [name.replace(f"_{n:06}.", f"_{n - min(numbers):06}.") for name, n in zip(names, numbers, strict=True)]
    np.savez(path, **{**arrays, "imgname": np.array(shifted)})
    zero_based = h36m.read(tmp_path, BadSamples(), EVERY)
    assert zero_based.columns["frame"].min() == 0 <= one_based.columns["frame"].min()
    assert any("frames are counted from 0" in note for note in zero_based.notes)
    assert not any("frames are counted from 0" in note for note in one_based.notes)
    thin = h36m.read(tmp_path, BadSamples(), FrameSelection(train_stride=50, test_stride=50))
    assert thin.dropped == {"frame that the stride leaves out": len(zero_based) - len(thin)}


@pytest.mark.parametrize(
    ("name", "training", "evaluation"),
    [
        ("person_keypoints_train2017", True, False),
        ("trainval", True, False),
        ("myTrainSet", True, False),
        ("conSTRAINed", False, False),
        ("constrained_val", False, True),
        ("interval", False, False),
        ("validation_1", False, True),
        ("approval", False, False),
        ("person_keypoints_val2017", False, True),
        ("terrain", False, False),
    ],
)
def test_a_split_is_a_whole_word(tmp_path: Path, name: str, training: bool, evaluation: bool) -> None:
    tiny.coco(tmp_path, f"{name}.json", images=1)
    assert coco.read(tmp_path, BadSamples()).columns["train"].tolist() == [int(training)]
    people = tiny.mpii(tmp_path / "m", count=1)
    file = tmp_path / "m" / f"{name}.json"
    file.write_text(json.dumps(people))
    read = mpii.read(tmp_path / "m", BadSamples(), annotations=[file])
    assert read.columns["train"].tolist() == [int(not evaluation)]


@pytest.mark.real
def test_real_samples_raise_no_doubt(real_data: Path) -> None:
    for kind, listing in (
        ("coco", coco.read(real_data / "coco", BadSamples(), split="val")),
        ("mpii", mpii.read(real_data / "mpii", BadSamples())),
        ("h36m", h36m.read(real_data / "h36m", BadSamples(), EVERY)),
    ):
        assert not [note for note in valid(listing).notes if "doubtful" in note], kind
