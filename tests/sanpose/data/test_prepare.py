"""Packing: what is in the file, taking up an interrupted call, and bad input, through the command's own entry."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sanpose.cli import main
from sanpose.data import crop, packed, parts
from sanpose.data.packed import COLUMNS
from tests.sanpose import tiny_sets as tiny

Prepare = Callable[..., int]  # the exit code of `sanpose data prepare SOURCE ...`


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `sanpose data prepare ...`."""
    monkeypatch.setattr(sys, "argv", ["sanpose", "data", "prepare", *map(str, words)])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prepare:
    def call(source: str, *words: object) -> int:
        return run(monkeypatch, source, "--src", tmp_path / "src", "--out", tmp_path / "out" / "a.h5", *words)

    return call


def left_over(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir()) if (tmp_path / "out").is_dir() else []


def test_coco_round_trip(prepare: Prepare, tmp_path: Path) -> None:
    data = tiny.coco(tmp_path / "src", images=3)
    assert prepare("coco") == 0
    file = packed.read(tmp_path / "out" / "a.h5")
    assert (len(file), file.synthetic, file.source) == (3, False, "coco")
    for n, image in enumerate(data["images"]):
        assert file.image_name[n] == image["file_name"]
        assert file.jpeg(n).tobytes() == (tmp_path / "src" / "val2017" / image["file_name"]).read_bytes()
    points = np.array(data["annotations"][1]["keypoints"]).reshape(17, 3)
    assert file.columns["keypoints"][1] == pytest.approx(points[:, :2], abs=1e-4)
    assert json.loads(file.extra["ground_truth"])["annotations"][0]["id"] == 101
    assert len(file.extra["detections"]) == 0
    assert left_over(tmp_path) == ["a.h5"]


@pytest.mark.parametrize(
    ("source", "make", "options"),
    [
        ("coco", tiny.coco, ()),
        ("mpii", tiny.mpii, ()),
        ("mpii", tiny.mpii_mat, ()),
        ("h36m", tiny.posenet, ("--stride", 1)),
        ("h36m", tiny.mmpose, ("--stride", 1)),
        ("h36m", tiny.official, ("--stride", 1)),
    ],
)
def test_every_form_gives_all_columns_and_the_same_file_twice(
    prepare: Prepare, tmp_path: Path, source: str, make: Callable[[Path], object], options: tuple[object, ...]
) -> None:
    (tmp_path / "src").mkdir()
    make(tmp_path / "src")
    assert prepare(source, *options) == 0
    out = tmp_path / "out" / "a.h5"
    file = packed.read(out)
    assert set(file.columns) == {name for name, spec in COLUMNS.items() if source in spec[2]}
    assert file.image_size.tolist() == [[tiny.SIZE, tiny.SIZE]] * len(file.image_end)
    assert crop.decode(file.jpeg(0)).shape == (tiny.SIZE, tiny.SIZE, 3)
    first = out.read_bytes()
    assert prepare(source, *options, "--force", "--workers", 1) == 0
    assert out.read_bytes() == first


def test_synthetic_mark_limit_and_stride(prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.posenet(tmp_path / "src", frames=11)
    tiny.posenet(tmp_path / "src", subject=9, frames=3)
    (tmp_path / "src" / "SYNTHETIC").write_text("made by a test")
    assert prepare("h36m") == 0
    assert "apart" not in capsys.readouterr().out
    file = packed.read(tmp_path / "out" / "a.h5")
    assert file.synthetic
    assert list(zip(file.columns["subject"].tolist(), file.columns["frame"].tolist(), strict=True)) == [
        (1, 0), (1, 5), (1, 10), (9, 0),
    ]  # fmt: skip
    assert prepare("h36m", "--force", "--limit", 2) == 0
    assert len(packed.read(tmp_path / "out" / "a.h5").image_end) == 2
    assert prepare("h36m", "--force", "--subjects", "S9", "--stride", 2) == 0
    assert packed.read(tmp_path / "out" / "a.h5").columns["frame"].tolist() == [0, 2]
    assert prepare("h36m", "--force", "--subjects", "nine") == 2


def test_a_finished_file_is_left_alone_and_another_is_not_overwritten(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.mpii(tmp_path / "src")
    assert prepare("mpii") == 0
    out = tmp_path / "out" / "a.h5"
    before = out.stat().st_mtime_ns
    shutil.rmtree(tmp_path / "src" / "images")  # nothing is read again
    assert prepare("mpii") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert out.stat().st_mtime_ns == before
    assert prepare("mpii", "--split", "train") == 2
    assert "other data or with other options" in capsys.readouterr().err
    out.write_bytes(out.read_bytes()[:2000])
    assert prepare("mpii") == 2
    assert "--force" in capsys.readouterr().err


def test_a_file_that_lacks_bad_images_says_so(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    persons = tiny.mpii(tmp_path / "src", count=4)
    missing = [tmp_path / "src" / "images" / persons[n]["image"] for n in (1, 3)]
    data = [path.read_bytes() for path in missing]
    for path in missing:
        path.unlink()
    assert prepare("mpii", "--skip-bad") == 0
    before = (tmp_path / "out" / "a.h5").read_bytes()
    capsys.readouterr()
    assert prepare("mpii", "--skip-bad") == 0
    out = capsys.readouterr().out
    assert "nothing to do" not in out and "except the bad samples (--force reads them again)" in out
    assert "left out as bad: 2 (missing image)" in out and "can be read now" not in out
    missing[0].write_bytes(data[0])
    assert prepare("mpii", "--skip-bad") == 0
    assert "1 of the images left out as bad can be read now; --force packs them" in capsys.readouterr().out
    missing[1].write_bytes(data[1])
    assert prepare("mpii") == 0
    assert "2 of the images left out" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.h5").read_bytes() == before
    assert prepare("mpii", "--force") == 0
    assert len(packed.read(tmp_path / "out" / "a.h5")) == 4
    assert prepare("mpii") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_options_that_would_be_ignored_are_refused(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    tiny.mpii_mat(src)
    official = src / "mpii_human_pose_v1_u12_1.mat"
    assert prepare("mpii", "--format", "mat", "--head-boxes", official) == 2
    assert "--head-boxes is not read" in capsys.readouterr().err
    assert prepare("mpii", "--head-boxes", official) == 2  # the form is detected
    assert "--head-boxes is not read" in capsys.readouterr().err
    assert prepare("mpii", "--annotations", official, "--annotations", official) == 2
    assert "expected: one --annotations" in capsys.readouterr().err
    tiny.posenet(src)
    for option, value in (("--train-stride", 5), ("--test-stride", 64)):
        assert prepare("h36m", "--stride", 1, option, value) == 2
        assert f"--stride sets both strides, and {option} sets one of them" in capsys.readouterr().err
    assert prepare("h36m", "--cameras", official) == 2
    assert "reads no --cameras" in capsys.readouterr().err
    assert left_over(tmp_path) == []
    assert prepare("h36m", "--train-stride", 1, "--test-stride", 1) == 0
    assert packed.read(tmp_path / "out" / "a.h5").provenance["options"]["strides"] == [1, 1]


def test_png_images_are_re_encoded(prepare: Prepare, tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path / "src", count=1)
    image = cv2.imread(str(tmp_path / "src" / "images" / persons[0]["image"]))
    persons[0]["image"] = "a.png"
    cv2.imwrite(str(tmp_path / "src" / "images" / "a.png"), image)
    tiny.write(tmp_path / "src" / "annot" / "valid.json", persons)
    assert prepare("mpii") == 0
    back = crop.decode(packed.read(tmp_path / "out" / "a.h5").jpeg(0))[..., ::-1]
    assert np.abs(back.astype(int) - image).mean() < 4


def test_an_interrupted_call_is_taken_up_again(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "IMAGES_PER_PART", 2)
    persons = tiny.mpii(tmp_path / "src", count=6)
    broken = tmp_path / "src" / "images" / persons[3]["image"]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert prepare("mpii", "--workers", 1) == 2
    assert broken.name in capsys.readouterr().err
    assert left_over(tmp_path) == ["a.h5.parts"]  # no half-written file, but what was read
    broken.write_bytes(whole)
    for n in (0, 1):  # the first part was whole, so its images are not needed again
        (tmp_path / "src" / "images" / persons[n]["image"]).unlink()
    read: list[str] = []
    load = parts.jpeg_files.load
    monkeypatch.setattr(parts.jpeg_files, "load", lambda path, size: read.append(path.name) or load(path, size))
    assert prepare("mpii", "--workers", 1) == 0
    assert not {persons[0]["image"], persons[1]["image"]} & set(read)
    assert {persons[2]["image"], persons[3]["image"]} <= set(read)
    file = packed.read(tmp_path / "out" / "a.h5")
    assert file.jpeg(3).tobytes() == whole
    assert left_over(tmp_path) == ["a.h5"]


def test_parts_of_other_data_are_not_taken_up(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "IMAGES_PER_PART", 1)
    persons = tiny.mpii(tmp_path / "src", count=2)
    missing = tmp_path / "src" / "images" / persons[1]["image"]
    data = missing.read_bytes()
    missing.unlink()
    assert prepare("mpii", "--workers", 1) == 2
    folder = tmp_path / "out" / "a.h5.parts"
    assert (folder / "part-00000.npz").is_file()
    (folder / "part-00000.bin").write_bytes(b"stale")
    persons[0]["scale"] = 0.3  # another listing
    tiny.write(tmp_path / "src" / "annot" / "valid.json", persons)
    missing.write_bytes(data)
    assert prepare("mpii") == 0
    file = packed.read(tmp_path / "out" / "a.h5")
    assert file.jpeg(0).tobytes() == (tmp_path / "src" / "images" / persons[0]["image"]).read_bytes()


def test_frames_that_are_sparser_than_the_stride_are_noted(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.mmpose(tmp_path / "src", frames=7, step=5)
    assert prepare("h36m", "--train-stride", 2) == 0
    assert "note: training frames are 10 apart, not 2 as requested" in capsys.readouterr().out


def test_coordinates_of_unlabelled_joints_are_0(prepare: Prepare, tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path / "src", count=2)
    persons[1]["joints"][15] = [float("nan"), 9.0]  # joints_vis says that it is not labelled
    tiny.write(tmp_path / "src" / "annot" / "valid.json", persons)
    assert prepare("mpii") == 0
    assert packed.read(tmp_path / "out" / "a.h5").columns["keypoints"][1, 15].tolist() == [0, 8]


def test_labels_of_another_skeleton_are_not_bad_samples(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny.coco(tmp_path / "src", images=3)
    for annotation in data["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][: 13 * 3]
    tiny.write(next((tmp_path / "src" / "annotations").glob("person_keypoints_*.json")), data)
    assert prepare("coco") == 2
    error = capsys.readouterr().err
    assert "'keypoints' has shape (39,)" in error and "COCO's 17 joints" in error and "--skip-bad" not in error


def test_a_folder_of_another_data_set(prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    assert prepare("h36m") == 2
    assert "'Your own data' in docs/data.md" in capsys.readouterr().err


BAD_IMAGES = [
    (lambda path: path.unlink(), "cannot be read"),
    (lambda path: path.write_bytes(b""), "not an image"),
    (lambda path: path.write_text("<html>404</html>"), "not an image"),
    (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cut short"),
    (lambda path: tiny.image(path, size=(32, 48)), "32 x 48 px, the annotations say 64 x 64 px"),
]


@pytest.mark.parametrize(("harm", "message"), BAD_IMAGES, ids=["missing", "empty", "text", "cut", "size"])
def test_bad_images(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], object], message: str
) -> None:
    data = tiny.coco(tmp_path / "src", images=3)
    path = tmp_path / "src" / "val2017" / data["images"][1]["file_name"]
    found = [{"bbox": [1, 2, 30, 40], "image_id": n, "score": 0.5} for n in (3, 2, 1)]
    tiny.write(tmp_path / "src" / "annotations" / "det.json", found)
    harm(path)
    assert prepare("coco") == 2
    error = capsys.readouterr().err
    assert message in error and path.name in error and "--skip-bad" in error
    assert left_over(tmp_path) == []
    assert prepare("coco", "--skip-bad") == 0
    out = capsys.readouterr().out
    assert "left out as bad: 1" in out and path.name in out
    file = packed.read(tmp_path / "out" / "a.h5")
    assert file.columns["annotation"].tolist() == [101, 103]
    assert file.columns["image"].tolist() == [0, 1]
    assert file.extra["detections"]["image"].tolist() == [1, 0]
    assert [image["id"] for image in json.loads(file.extra["ground_truth"])["images"]] == [1, 3]
    assert sum(file.provenance["bad"].values()) == 2  # the image, and the sample in it
    assert path.name in file.provenance["bad_samples"][0]
    assert left_over(tmp_path) == ["a.h5"]


def test_bad_annotations(prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    persons = tiny.mpii(tmp_path / "src", count=4)
    persons[0]["joints"][4][0] = float("nan")
    persons[1]["scale"] = 0.0
    persons[2]["joints_vis"] = [0] * 16
    tiny.write(tmp_path / "src" / "annot" / "valid.json", persons)
    assert prepare("mpii") == 2
    assert "not finite: left_knee" in capsys.readouterr().err
    assert prepare("mpii", "--skip-bad") == 0
    file = packed.read(tmp_path / "out" / "a.h5")
    assert len(file) == len(file.image_end) == 1
    assert file.provenance["bad"] == {
        "coordinates not finite": 1,
        "box not finite or without area": 1,
        "no labelled joint": 1,
    }


def test_nothing_left_and_nothing_there(prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("coco") == 2
    assert "does not exist" in capsys.readouterr().err
    persons = tiny.mpii(tmp_path / "src", count=1)
    persons[0]["joints_vis"] = [0] * 16
    tiny.write(tmp_path / "src" / "annot" / "valid.json", persons)
    assert prepare("mpii", "--skip-bad") == 2
    assert "no sample remains" in capsys.readouterr().err
    (tmp_path / "src" / "annot" / "valid.json").write_text("[{")
    assert prepare("mpii") == 2
    assert "broken JSON" in capsys.readouterr().err
    assert left_over(tmp_path) == []


@pytest.mark.real
@pytest.mark.parametrize(("source", "samples", "images"), [("coco", 12, 4), ("mpii", 5, 5), ("h36m", 4, 4)])
def test_real_sets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, real_data: Path, source: str, samples: int, images: int
) -> None:
    assert run(monkeypatch, source, "--src", real_data / source, "--out", tmp_path / "a.h5") == 0
    file = packed.read(tmp_path / "a.h5")
    assert (len(file), len(file.image_end)) == (samples, images)
    assert all(crop.decode(file.jpeg(n)).shape[1::-1] == tuple(file.image_size[n]) for n in range(images))
