"""The synthetic sets: the same from the same options, in the data sets' own forms."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from sanpose.cli.data_synth import synth
from sanpose.data.actions import ACTIONS
from sanpose.data.packed import read as read_packed
from sanpose.data.synth import h36m_set
from sanpose.data.synth.generate import MANIFEST, generate
from sanpose.data.synth.options import MARK, PRESETS, Options
from sanpose.errors import UserError
from sanpose.pose.cameras import project
from sanpose.pose.joints import COCO17

TINY = Options(
    subjects=(1, 9), h36m_frames=1, h36m_test_frames=1, mpii_train=21, mpii_val=6, coco_train=21, coco_val=6, scale=0.2
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    assert generate(out, TINY) == {"h36m": True, "mpii": True, "coco": True}
    return out


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_images_that_the_readme_names_are_made(made: Path) -> None:
    named = re.findall(r"data/synth/(\S+\.jpg)", (Path(__file__).parents[4] / "README.md").read_text())
    assert named and all((made / name).is_file() for name in named)


def test_the_same_options_give_the_same_files_in_any_number_of_processes(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "two", TINY, workers=2)
    assert _hashes(tmp_path / "two") == _hashes(made)


def test_another_seed_gives_other_pictures(made: Path, tmp_path: Path) -> None:
    generate(tmp_path, replace(TINY, seed=1), only=("mpii",))
    ours, theirs = _hashes(made / "mpii" / "images"), _hashes(tmp_path / "mpii" / "images")
    assert ours.keys() == theirs.keys() and not set(ours.values()) & set(theirs.values())


def test_a_finished_set_is_left_alone_and_a_different_one_is_refused(made: Path) -> None:
    before = (made / "coco" / MANIFEST).stat().st_mtime_ns
    assert generate(made, TINY, only=("coco",)) == {"coco": False}
    with pytest.raises(UserError, match="other options"):
        generate(made, replace(TINY, seed=5), only=("coco",))
    assert (made / "coco" / MANIFEST).stat().st_mtime_ns == before
    # What only another set depends on does not matter.
    assert generate(made, replace(TINY, mpii_train=99), only=("coco",)) == {"coco": False}


def test_what_was_not_made_here_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mpii").mkdir()
    (tmp_path / "mpii" / "precious.json").write_text("{}")
    with pytest.raises(UserError, match="not made by"):
        generate(tmp_path, TINY, only=("mpii",), force=True)
    assert (tmp_path / "mpii" / "precious.json").is_file()


def test_nothing_half_made_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, __: bytes) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        generate(tmp_path / "out", TINY, only=("mpii",))
    assert list((tmp_path / "out").iterdir()) == []


def test_human36m_files(made: Path) -> None:
    folder = made / "h36m"
    assert (folder / MARK).read_text().count("\n") == 1
    for subject in TINY.subjects:
        data, cameras, world = (
            json.loads((folder / "annotations" / f"Human36M_subject{subject}_{kind}.json").read_text())
            for kind in ("data", "camera", "joint_3d")
        )
        assert len(data["images"]) == len(data["annotations"]) == 15 * 4
        for image, annotation in zip(data["images"], data["annotations"], strict=True):
            picture = cv2.imread(str(folder / "images" / image["file_name"]))
            assert picture is not None and picture.shape == (image["height"], image["width"], 3)
            assert image["frame_idx"] % 5 == 0 and image["frame_idx"] % 64 == 0
            assert image["file_name"].endswith(f"_{image['frame_idx'] + 1:06d}.jpg")
            assert ACTIONS[image["action_idx"]] == image["action_name"] and annotation["image_id"] == image["id"]
            camera = {key: np.array(value) for key, value in cameras[str(image["cam_idx"])].items()}
            points = np.array(world[str(image["action_idx"])]["1"][str(image["frame_idx"])])
            assert points.shape == (17, 3)
            pixels = project(points @ camera["R"].T + camera["t"], *(camera[key] for key in "fckp"))
            x, y, w, h = annotation["bbox"]
            assert np.allclose([x, y, x + w, y + h], [*pixels.min(0), *pixels.max(0)], atol=0.02)
            assert points[:, 2].min() > -20  # nobody sinks into the floor


def test_mpii_files(made: Path) -> None:
    folder = made / "mpii"
    train, valid = (json.loads((folder / "annot" / f"{name}.json").read_text()) for name in ("train", "valid"))
    truth = scipy.io.loadmat(folder / "annot" / "gt_valid.mat")
    assert truth["jnt_missing"].shape == (16, len(valid)) and truth["headboxes_src"].shape == (2, 2, len(valid))
    names = [str(name[0]) for name in truth["dataset_joints"][0]]
    assert len(names) == 16 and {"head", "lsho", "rank", "rwri"} <= set(names)
    for person in [*train, *valid]:
        picture = cv2.imread(str(folder / "images" / person["image"]))
        assert picture is not None
        height, width = picture.shape[:2]
        points, visible = np.array(person["joints"]), np.array(person["joints_vis"]) > 0
        assert points.shape == (16, 2) and visible.sum() >= 6
        assert (points[~visible] == -1).all()
        assert (points[visible] > 0).all() and (points[visible] < (width + 1.5, height + 1.5)).all()
        # The square that readers make of centre and scale holds every labelled joint.
        middle = np.array(person["center"]) + np.array([0, 15 * person["scale"]])
        assert np.abs(points[visible] - middle).max() <= 100 * person["scale"] * 1.25
    for n, person in enumerate(valid):
        assert np.allclose(truth["pos_gt_src"][:, :, n], person["joints"])
        low, high = truth["headboxes_src"][0, :, n], truth["headboxes_src"][1, :, n]
        assert (high > low).all()
        if person["joints_vis"][9]:  # the crown lies in the head's box, or nearly
            assert (np.array(person["joints"][9]) > low - 6).all() and (np.array(person["joints"][9]) < high + 6).all()


def test_coco_files(made: Path) -> None:
    folder = made / "coco"
    for split in ("train", "val"):
        table = json.loads((folder / "annotations" / f"person_keypoints_{split}2017.json").read_text())
        assert table["categories"][0]["keypoints"] == list(COCO17.joints)
        images = {image["id"]: image for image in table["images"]}
        assert len({person["id"] for person in table["annotations"]}) == len(table["annotations"])
        for person in table["annotations"]:
            image = images[person["image_id"]]
            keypoints = np.array(person["keypoints"]).reshape(17, 3)
            labelled = keypoints[:, 2] > 0
            assert set(keypoints[:, 2]) <= {0, 1, 2} and person["num_keypoints"] == labelled.sum()
            assert (keypoints[~labelled] == 0).all()
            x, y, w, h = person["bbox"]
            assert x >= 0 and y >= 0 and x + w <= image["width"] and y + h <= image["height"]
            assert 0 < person["area"] <= w * h + 1
            plain = keypoints[keypoints[:, 2] == 2, :2]
            assert (plain >= (x - 1.5, y - 1.5)).all() and (plain <= (x + w + 1.5, y + h + 1.5)).all()
        for image in images.values():
            assert (folder / f"{split}2017" / image["file_name"]).is_file()
    found = json.loads((folder / "person_detection_results" / "detections_val.json").read_text())
    assert {d["image_id"] for d in found} <= set(images) and all(0 < d["score"] <= 1 for d in found)
    assert all(min(d["bbox"][2:]) > 0 and d["category_id"] == 1 for d in found)


def test_prepare_reads_what_was_made(made: Path, tmp_path: Path) -> None:
    from sanpose.cli.data_prepare import prepare

    for name, count in (("h36m", 2 * 15 * 4), ("mpii", None), ("coco", None)):
        result = CliRunner().invoke(
            prepare, [name, "--src", str(made / name), "--out", str(tmp_path / f"{name}.h5")], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        file = read_packed(tmp_path / f"{name}.h5")
        assert file.synthetic and (count is None or len(file.columns["image"]) == count)


def test_the_command(tmp_path: Path) -> None:
    arguments = ["--preset", "smoke", "--out", str(tmp_path), "--subjects", "11", "--scale", "0.1", "--only", "h36m"]
    first = CliRunner().invoke(synth, [*arguments, "--workers", "1"], catch_exceptions=False)
    again = CliRunner().invoke(synth, [*arguments, "--workers", "1"], catch_exceptions=False)
    assert "h36m: made" in first.output and "h36m: already exists" in again.output
    assert not (tmp_path / "mpii").exists()


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": float("nan")}, {"subjects": (2,)}, {"subjects": (1, 1)},
                                   {"mpii_val": 0}, {"seed": -1}])  # fmt: skip
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        replace(TINY, **wrong)


def test_the_quick_preset_has_the_sizes_that_the_ablation_counts_on() -> None:
    quick = PRESETS["quick"]
    jobs = h36m_set.jobs(quick)
    train = sum(h36m_set.pictures(quick, job) for job in jobs if job[0] not in (9, 11))
    test = sum(h36m_set.pictures(quick, job) for job in jobs if job[0] in (9, 11))
    assert (train, test) == (3600, 600) and (quick.mpii_train, quick.coco_train) == (2000, 2000)
