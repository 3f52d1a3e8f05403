"""The readers, each on a tiny set in its own on-disk form, and on the real samples."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from sanpose.data.cameras import back_project, person_box, project
from sanpose.data.readers import coco, files, h36m, mpii, mpii_mat
from sanpose.data.readers.h36m_select import Selection, Video
from sanpose.data.readers.listing import Bad, Listing, validate
from sanpose.errors import UserError
from sanpose.metrics.coco_entries import checked_truth
from tests.sanpose import tiny_sets as tiny
from tests.sanpose.wrong_values import WRONG, everywhere

EVERY = Selection(train_stride=1, test_stride=1)


def valid(listing: Listing) -> Listing:
    return validate(listing, Bad()).used_images()


# COCO


def test_coco_drops_by_rule_and_clips_boxes(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=4)
    people = data["annotations"]
    people[0]["bbox"] = [-5.0, 40.0, 30.0, 90.0]
    people[1]["iscrowd"] = 1
    people[2]["keypoints"][5::3] = [0] * 16  # one labelled joint
    del people[3]["area"]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, Bad()))
    assert listing.dropped == {"crowd": 1, "fewer than 2 labelled joints": 1}
    assert listing.columns["box"].tolist() == [[0, 40, 25, 24], [8, 9, 40, 44]]
    assert listing.columns["annotation"].tolist() == [101, 104]
    assert listing.columns["area"].tolist() == pytest.approx([900, 0.53 * 40 * 44])
    assert listing.columns["train"].tolist() == [0, 0]
    assert [image.name for image in listing.images] == ["000000000001.jpg", "000000000004.jpg"]
    truth = json.loads(listing.extra["ground_truth"].item())
    assert "segmentation" not in truth["annotations"][0]


def test_coco_joins_the_splits_and_judges_only_the_evaluation_split(tmp_path: Path) -> None:
    tiny.coco(tmp_path, "person_keypoints_train2017.json", images=3, first=1)
    tiny.coco(tmp_path, "person_keypoints_val2017.json", images=2, first=11)
    listing = valid(coco.read(tmp_path, Bad()))
    assert listing.columns["train"].tolist() == [1, 1, 1, 0, 0]
    assert listing.columns["image"].tolist() == [0, 1, 2, 3, 4]
    assert listing.images[3].path == tmp_path / "val2017" / "000000000011.jpg"
    truth = json.loads(listing.extra["ground_truth"].item())
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
    listing = valid(coco.read(tmp_path, Bad()))
    assert listing.extra["detections"]["image"].tolist() == [2, 1]
    assert listing.extra["detections"]["score"].tolist() == [0.5, 0.25]
    thinner = listing.with_images(np.array([False, True, True]))
    assert thinner.extra["detections"]["image"].tolist() == [1, 0]
    assert thinner.columns["image"].tolist() == [0]
    assert len(json.loads(thinner.extra["ground_truth"].item())["annotations"]) == 1


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
def test_coco_bad_persons_are_errors_or_are_counted(tmp_path: Path, change, message: str) -> None:
    data = tiny.coco(tmp_path)
    change(data["annotations"][0])
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    with pytest.raises(UserError, match=message) as error:
        valid(coco.read(tmp_path, Bad()))
    assert "annotation 101" in str(error.value)
    bad = Bad(skip=True)
    assert len(validate(coco.read(tmp_path, bad), bad)) == 1
    assert sum(bad.kinds.values()) == len(bad.found) == 1


def test_coco_coordinates_of_unlabelled_joints_mean_nothing(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path)
    data["annotations"][0]["keypoints"][:3] = [None, None, 0]
    data["annotations"][1]["keypoints"][:3] = [float("nan"), 7.0, 0]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, Bad()))
    assert listing.columns["keypoints"][:, 0].tolist() == [[0, 0], [0, 7]]
    assert listing.columns["visible"][:, 0].tolist() == [0, 0]
    truth = checked_truth(json.loads(listing.extra["ground_truth"].item()), "here")
    assert [person["keypoints"][:3] for person in truth["annotations"]] == [[0, 0, 0], [0, 7, 0]]


def test_coco_entries_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path, images=3)
    data["images"][0]["width"] = None  # its person has no image then
    del data["annotations"][1]["id"]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    with pytest.raises(UserError, match=r"images\[0\]"):
        coco.read(tmp_path, Bad())
    bad = Bad(skip=True)
    listing = validate(coco.read(tmp_path, bad), bad).used_images()
    assert listing.columns["annotation"].tolist() == [103]
    assert bad.kinds == {"malformed entry": 3}
    assert [image["id"] for image in json.loads(listing.extra["ground_truth"].item())["images"]] == [3]


def test_coco_people_without_keypoints_are_dropped_by_rule(tmp_path: Path) -> None:
    data = tiny.coco(tmp_path)
    for name in ("keypoints", "num_keypoints"):
        del data["annotations"][0][name]
    tiny.write(tmp_path / "annotations" / "person_keypoints_val2017.json", data)
    listing = valid(coco.read(tmp_path, Bad()))
    assert listing.dropped == {"fewer than 2 labelled joints": 1}


def test_coco_broken_or_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"person_keypoints_\*\.json"):
        coco.read(tmp_path, Bad())
    path = tmp_path / "annotations" / "person_keypoints_val2017.json"
    tiny.coco(tmp_path)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(UserError, match="not valid JSON"):
        coco.read(tmp_path, Bad())
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match="no list 'annotations'"):
        coco.read(tmp_path, Bad())


# MPII


def test_mpii_moves_to_zero_based_pixels_and_boxes(tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path, "train.json")
    listing = valid(mpii.read(tmp_path, Bad()))
    assert listing.columns["keypoints"][1] == pytest.approx(np.array(persons[1]["joints"]) - 1, abs=1e-5)
    # centre 33, 30 -> 32, 29 + 15 * 0.2; side 0.2 * 200
    assert listing.columns["box"][0] == pytest.approx([12, 12, 40, 40])
    assert listing.columns["visible"][0].tolist() == [2] * 15 + [0]
    assert listing.columns["train"].tolist() == [1, 1, 1]
    assert np.isnan(listing.columns["headbox"]).all()


def test_mpii_gives_head_boxes_to_valid_in_its_order(tmp_path: Path) -> None:
    tiny.mpii(tmp_path, "train.json", count=2, first=10)
    tiny.mpii(tmp_path, "valid.json", count=3)
    heads = np.arange(12.0).reshape(2, 2, 3)
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": heads})
    listing = valid(mpii.read(tmp_path, Bad()))
    assert listing.columns["train"].tolist() == [1, 1, 0, 0, 0]
    assert np.isnan(listing.columns["headbox"][:2]).all()
    expected = [[*heads[0, :, n], *heads[1, :, n]] for n in range(3)]
    assert listing.columns["headbox"][2:] == pytest.approx(np.array(expected) - 1)
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": heads[..., :2]})
    with pytest.raises(UserError, match="2 head boxes for 3 persons"):
        mpii.read(tmp_path, Bad())


def test_mpii_wrong_joints_are_refused(tmp_path: Path) -> None:
    persons = tiny.mpii(tmp_path)
    persons[1]["joints"] = persons[1]["joints"][:15]
    persons[2].pop("scale")
    tiny.write(tmp_path / "annot" / "valid.json", persons)
    with pytest.raises(UserError, match=r"joints' has shape \(15, 2\)"):
        mpii.read(tmp_path, Bad())
    bad = Bad(skip=True)
    assert len(mpii.read(tmp_path, bad)) == 1
    assert bad.kinds == {"malformed entry": 2}


def test_mpii_official_mat_with_absent_and_empty_fields(tmp_path: Path) -> None:
    tiny.mpii_mat(tmp_path)
    listing = valid(mpii_mat.read(tmp_path, Bad()))
    assert [image.name for image in listing.images] == ["0.jpg"]
    assert listing.dropped == {"no joints annotated": 2}
    visible = listing.columns["visible"][0]
    assert {j: int(visible[j]) for j in np.flatnonzero(visible)} == {0: 2, 6: 1, 9: 2, 10: 2, 11: 2}
    assert listing.columns["keypoints"][0, 6].tolist() == [11, 21]
    assert listing.columns["headbox"][0].tolist() == [4, 5, 14, 15]
    assert listing.columns["box"][0] == pytest.approx([12, 12, 40, 40])


def test_mpii_mat_fields_that_are_missing(tmp_path: Path) -> None:
    tiny.mpii_mat(tmp_path)
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    whole = path.read_bytes()
    for field in (b"image\0", b"name\0", b"x\0", b"objpos\0", b"annopoints\0"):
        path.write_bytes(whole.replace(field, b"_" * (len(field) - 1) + b"\0"))
        bad = Bad(skip=True)
        assert not len(validate(mpii_mat.read(tmp_path, bad), bad))
    path.write_bytes(whole.replace(b"name\0", b"____\0"))
    with pytest.raises(UserError, match="the image has no name"):
        mpii_mat.read(tmp_path, Bad())


CUTS = (0, 1, 64, 127, 128, 140, 200, 300, 0.5, 0.99)  # bytes, or the share of them, that is left


def cut(path: Path, keep: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])


@pytest.mark.parametrize("keep", CUTS)
def test_mpii_mat_cut_short(tmp_path: Path, keep: float) -> None:
    tiny.mpii_mat(tmp_path)
    cut(tmp_path / "mpii_human_pose_v1_u12_1.mat", keep)
    with pytest.raises(UserError, match=r"mat file cannot be read"):
        mpii_mat.read(tmp_path, Bad())


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("keep", CUTS)
def test_head_boxes_cut_short(tmp_path: Path, keep: float, compressed: bool) -> None:
    tiny.mpii(tmp_path)
    path = tmp_path / "annot" / "gt_valid.mat"
    heads = np.random.default_rng(0).uniform(0, 50, (2, 2, 90))
    scipy.io.savemat(path, {"headboxes_src": heads}, do_compression=compressed)
    cut(path, keep)
    with pytest.raises(UserError, match=r"mat file cannot be read"):
        mpii.read(tmp_path, Bad())


def test_head_boxes_are_numbers_of_the_right_shape(tmp_path: Path) -> None:
    tiny.mpii(tmp_path)
    for wrong in (np.zeros((2, 3, 3)), np.array([["a", "b"]], dtype=object), np.array("text")):
        scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"headboxes_src": wrong})
        with pytest.raises(UserError, match=r"headboxes_src has shape"):
            mpii.read(tmp_path, Bad())
    scipy.io.savemat(tmp_path / "annot" / "gt_valid.mat", {"heads": np.zeros((2, 2, 3))})
    with pytest.raises(UserError, match="headboxes_src"):
        mpii.read(tmp_path, Bad())


def test_head_boxes_without_an_evaluation_split_are_refused(tmp_path: Path) -> None:
    tiny.mpii(tmp_path, "train.json")
    heads = tmp_path / "gt_valid.mat"
    scipy.io.savemat(heads, {"headboxes_src": np.zeros((2, 2, 3))})
    with pytest.raises(UserError, match="no file is"):
        mpii.read(tmp_path, Bad(), head_boxes=heads)
    assert len(mpii.read(tmp_path, Bad(), head_boxes=heads, split="val")) == 3


# Human3.6M


@pytest.mark.parametrize(("form", "note"), [("t", "t = -R T"), ("T", "the camera's centre")])
def test_posenet_tells_the_two_camera_conventions_apart(tmp_path: Path, form: str, note: str) -> None:
    tiny.posenet(tmp_path, form=form)
    listing = valid(h36m.read(tmp_path, Bad(), EVERY))
    points = tiny.in_camera(tiny.people(2, 1))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert listing.columns["keypoints"] == pytest.approx(project(points, tiny.F, tiny.C), abs=1e-3)
    assert listing.columns["box"] == pytest.approx(person_box(points[:, 0], tiny.F, tiny.C), abs=1e-3)
    assert listing.columns["visible"][0].tolist() == [2] * 16 + [1]
    assert listing.columns["frame"].tolist() == [0, 1]
    assert any(note in text for text in listing.notes)
    assert listing.extra["cameras"]["name"].tolist() == [b"S1.54138969"]


def test_posenet_refuses_cameras_that_see_nobody(tmp_path: Path) -> None:
    tiny.posenet(tmp_path)
    path = tmp_path / "annotations" / "Human36M_subject1_camera.json"
    camera = json.loads(path.read_text())
    camera["1"]["t"] = [0.0, 0.0, 90000.0]
    tiny.write(path, camera)
    with pytest.raises(UserError, match="in any known convention"):
        h36m.read(tmp_path, Bad(), EVERY)


def test_posenet_missing_and_misshapen_joints(tmp_path: Path) -> None:
    tiny.posenet(tmp_path, frames=4)
    path = tmp_path / "annotations" / "Human36M_subject1_joint_3d.json"
    joints = json.loads(path.read_text())
    joints["2"]["1"]["1"] = joints["2"]["1"]["1"][:16]
    joints["2"]["1"]["2"][5][1] = float("nan")
    del joints["2"]["1"]["3"]
    tiny.write(path, joints)
    with pytest.raises(UserError, match=r"shape \(16, 3\)"):
        h36m.read(tmp_path, Bad(), EVERY)
    bad = Bad(skip=True)
    assert len(validate(h36m.read(tmp_path, bad, EVERY), bad)) == 1
    assert bad.kinds == {"malformed entry": 2, "coordinates not finite": 1}


def test_posenet_entries_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    data = tiny.posenet(tmp_path, frames=5)
    data["images"][0]["frame_idx"] = "first"
    del data["annotations"][1]["image_id"]  # the image has no annotation then
    data["images"][2]["action_idx"] = 99
    path = tmp_path / "annotations" / "Human36M_subject1_data.json"
    tiny.write(path, data)
    bad = Bad(skip=True)
    assert validate(h36m.read(tmp_path, bad, EVERY), bad).columns["frame"].tolist() == [3, 4]
    assert bad.kinds == {"malformed entry": 4}
    with pytest.raises(UserError, match=r"annotations\[1\]"):
        h36m.read(tmp_path, Bad(), EVERY)


@pytest.mark.parametrize("action", [99, 1, 0, -2])
def test_posenet_actions_are_those_of_human36m(tmp_path: Path, action: int) -> None:
    tiny.posenet(tmp_path, action=action)
    with pytest.raises(UserError, match=f"no action {action} in") as error:
        h36m.read(tmp_path, Bad(), EVERY)
    assert "image 0" in str(error.value)


def test_mmpose_metres_become_millimetres(tmp_path: Path) -> None:
    points = tiny.mmpose(tmp_path)
    listing = valid(h36m.read(tmp_path, Bad(), EVERY))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert listing.columns["keypoints"] == pytest.approx(project(points, tiny.F, tiny.C, tiny.K, tiny.P), abs=1e-3)
    assert listing.columns["action"].tolist() == [2, 2]
    assert listing.columns["subject"].tolist() == [1, 1]
    assert listing.images[0].path.is_file()


@pytest.mark.parametrize("harm", [*CUTS, "overwritten"])
def test_mmpose_damaged_archives(tmp_path: Path, harm: float | str) -> None:
    tiny.mmpose(tmp_path, frames=40)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **arrays)
    if isinstance(harm, str):
        data = bytearray(path.read_bytes())
        data[80:120] = b"\xff" * 40  # within the compressed bytes, which zlib then refuses
        path.write_bytes(data)
    else:
        cut(path, harm)
    with pytest.raises(UserError, match=r"npz file cannot be read"):
        h36m.read(tmp_path, Bad(), EVERY)


def test_mmpose_names_that_cannot_be_understood_are_bad(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path, frames=4)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    names = arrays["imgname"].astype("U99")
    names[1], names[2] = "odd.jpg", names[2].replace("Directions", "Juggling")
    np.savez(path, **{**arrays, "imgname": names})
    with pytest.raises(UserError, match=r"'odd.jpg' is not as expected") as error:
        h36m.read(tmp_path, Bad(), EVERY)
    assert "sample 1" in str(error.value)
    bad = Bad(skip=True)
    listing = validate(h36m.read(tmp_path, bad, EVERY), bad)
    assert listing.columns["annotation"].tolist() == listing.columns["frame"].tolist() == [0, 3]
    assert bad.kinds == {"malformed entry": 2}
    assert "sample 2: 'Juggling_1' is not an action" in bad.found[1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [("imgname", np.array("a"), "imgname has shape"), ("S", np.full((2, 17, 4), "a"), "S is of")],
)
def test_mmpose_wrong_arrays(tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
    tiny.mmpose(tmp_path)
    path = tmp_path / "h36m_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: values})
    with pytest.raises(UserError, match=message):
        h36m.read(tmp_path, Bad(), EVERY)


def test_damaged_pickles(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path)
    path = tmp_path / "cameras.pkl"
    whole = path.read_bytes()
    too_long = b"\x80\x04\x8d" + b"\xff" * 8 + b"."  # a text of 2^64 - 1 bytes
    for data in (*(whole[:keep] for keep in (0, 1, 64, 300, len(whole) - 1)), too_long):
        path.write_bytes(data)
        with pytest.raises(UserError, match="the pickle is refused"):
            files.read_pickle(path)


class _Harm:
    def __reduce__(self):  # what an unpickler that trusts its input would run
        return os.mkdir, (str(Path("harm")),)


def test_pickles_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.mmpose(tmp_path)
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "54138969"): _Harm()}))
    with pytest.raises(UserError, match=r"\.mkdir, which is not a numpy array"):
        h36m.read(tmp_path, Bad(), EVERY)
    np.savez(tmp_path / "h36m_train.npz", imgname=np.array(["a", None], dtype=object), part=1, S=1)
    tiny_cameras = {("S1", "54138969"): {"f": tiny.F, "c": tiny.C, "k": tiny.K, "p": tiny.P, "w": 64, "h": 64}}
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps(tiny_cameras))
    with pytest.raises(UserError, match=r"npz file cannot be read"):
        h36m.read(tmp_path, Bad(), EVERY)
    assert not (tmp_path / "harm").exists()


def test_official_features_and_frames(tmp_path: Path) -> None:
    points = tiny.official(tmp_path)
    (tmp_path / "frames/S1/Directions 1.54138969/000002.jpg").unlink()  # frames may be a subset
    listing = valid(h36m.read(tmp_path, Bad(), EVERY))
    assert listing.columns["frame"].tolist() == [0, 2, 3]
    assert listing.columns["keypoints3d"] == pytest.approx(points[[0, 2, 3]], abs=1e-2)
    pixels = project(points, tiny.F, tiny.C, tiny.K, tiny.P)[[0, 2, 3]]
    assert listing.columns["keypoints"] == pytest.approx(pixels, abs=1e-3)
    assert listing.images[1].path.name == "000003.jpg"


def test_official_world_coordinates_need_and_get_the_extrinsics(tmp_path: Path) -> None:
    points = tiny.official(tmp_path, kind="world")
    listing = valid(h36m.read(tmp_path, Bad(), EVERY))
    assert listing.columns["keypoints3d"] == pytest.approx(points, abs=1e-2)
    assert any("R (X - T)" in note for note in listing.notes)


def test_official_frames_named_with_underscores_and_prefix(tmp_path: Path) -> None:
    tiny.official(tmp_path)
    old = tmp_path / "frames/S1/Directions 1.54138969"
    new = tmp_path / "images/S1/S1_Directions_1.54138969"
    new.mkdir(parents=True)
    for path in old.iterdir():
        path.rename(new / f"S1_Directions_1.54138969_{path.name}")
    assert valid(h36m.read(tmp_path, Bad(), EVERY)).columns["frame"].tolist() == [0, 1, 2, 3]


def test_official_bad_files(tmp_path: Path) -> None:
    tiny.official(tmp_path)
    path = tmp_path / "S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(UserError, match=r"cdf cannot be read"):
        h36m.read(tmp_path, Bad(), EVERY)
    path.unlink()
    tiny.cdf(path, np.zeros((4, 64)))
    with pytest.raises(UserError, match="Pose has shape"):
        h36m.read(tmp_path, Bad(), EVERY)
    path.write_bytes(whole)
    (tmp_path / "metadata.xml").unlink()
    with pytest.raises(UserError, match=r"metadata\.xml"):
        h36m.read(tmp_path, Bad(), EVERY)


def test_h36m_folder_of_no_known_form(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MyPoseFeatures"):
        h36m.detect(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        h36m.detect(tmp_path / "nowhere")


def test_selection_of_frames_by_protocol() -> None:
    frame = np.arange(0, 130)
    kept = {s: np.flatnonzero(Selection().frames(np.full(130, s), frame)).tolist() for s in (1, 9, 11)}
    assert kept[1] == list(range(0, 130, 5))
    assert kept[9] == kept[11] == [0, 64, 128]
    both = np.flatnonzero(Selection(protocol="both").frames(np.full(130, 9), frame)).tolist()
    assert both == sorted({*range(0, 130, 5), 0, 64, 128})
    assert not Selection(subjects=(5,)).frames(np.full(130, 1), frame).any()


def test_frames_farther_apart_than_asked_are_told() -> None:
    subject = np.repeat([1, 9], 400)
    every, fifth = np.tile(np.arange(400), 2), np.tile(np.arange(400) * 5, 2)

    def notes(select: Selection, frame: np.ndarray) -> list[str]:
        kept = select.frames(subject, frame)
        return select.spacing(subject[kept], frame[kept])

    assert notes(Selection(), every) == []
    [note] = notes(Selection(), fifth)
    assert note.startswith("test frames are 320 apart, not 64 as asked")
    assert notes(Selection(test_stride=65), fifth) == []
    assert notes(Selection(train_stride=1, test_stride=1), fifth) == []  # every frame that is there
    assert notes(Selection(protocol="both"), every) == []
    assert "320 apart" in notes(Selection(protocol="both"), fifth)[0]
    [training, _] = notes(Selection(train_stride=3), fifth + 4)
    assert training.startswith("training frames are 15 apart, not 3")
    assert Selection().spacing(subject[:0], fifth[:0]) == []
    assert Selection().spacing(subject[:1], fifth[:1]) == []


def test_mmpose_frames_that_were_extracted_sparsely(tmp_path: Path) -> None:
    tiny.mmpose(tmp_path, frames=14, step=5)
    assert not any("apart" in note for note in h36m.read(tmp_path, Bad(), Selection()).notes)
    notes = h36m.read(tmp_path, Bad(), Selection(train_stride=3)).notes
    assert any("training frames are 15 apart, not 3 as asked" in note for note in notes)


def test_options_that_a_form_does_not_read_are_refused(tmp_path: Path) -> None:
    two = (tmp_path / "a", tmp_path / "b")
    tiny.posenet(tmp_path / "posenet")
    with pytest.raises(UserError, match="reads no --cameras"):
        h36m.read(tmp_path / "posenet", Bad(), EVERY, cameras=two[0])
    with pytest.raises(UserError, match="reads one --annotations"):
        h36m.read(tmp_path / "posenet", Bad(), EVERY, annotations=two)
    tiny.official(tmp_path / "official")
    with pytest.raises(UserError, match="reads no --annotations"):
        h36m.read(tmp_path / "official", Bad(), EVERY, annotations=two[:1])


def test_known_faults_by_number_and_by_name() -> None:
    select = Selection(skip_s9_shifted=True)
    assert select.fault(Video(11, 2, 2, 1)) and select.fault(Video(11, 2, 0, 1, "Directions"))
    assert not select.fault(Video(11, 2, 1, 1)) and not select.fault(Video(11, 2, 0, 1, "Directions 1"))
    assert select.fault(Video(9, 13, 0, 3, "Waiting_1")) and not select.fault(Video(9, 13, 0, 3, "Waiting"))
    assert not Selection().fault(Video(9, 5, 2, 3)) and not Selection(skip_known=False).fault(Video(11, 2, 2, 1))


def test_back_projection_undoes_projection() -> None:
    points = tiny.in_camera(tiny.people(3))
    pixels = project(points, tiny.F, tiny.C)
    assert back_project(pixels, points[..., 2], tiny.F, tiny.C) == pytest.approx(points)


# The real samples


@pytest.mark.real
def test_real_samples(real_data: Path) -> None:
    people = valid(coco.read(real_data / "coco", Bad()))
    assert (len(people), len(people.images), len(people.extra["detections"])) == (12, 4, 118)
    assert people.dropped == {"fewer than 2 labelled joints": 2}
    sports = valid(mpii.read(real_data / "mpii", Bad()))
    assert sports.columns["box"][0] == pytest.approx([493.1512, -62.07148, 943.6976, 943.6976], abs=1e-3)
    studio = valid(h36m.read(real_data / "h36m", Bad(), Selection()))
    assert studio.columns["subject"].tolist() == [1, 5, 7, 8]
    assert studio.columns["frame"].tolist() == [0, 2060, 395, 25]
    camera = studio.extra["cameras"][studio.columns["camera"]][:, None]
    points = studio.columns["keypoints3d"].astype(np.float64)
    own = project(points, camera["f"], camera["c"], camera["k"], camera["p"]) - studio.columns["keypoints"]
    bare = project(points, camera["f"], camera["c"]) - studio.columns["keypoints"]
    assert np.linalg.norm(own, axis=-1).max() < 0.2
    assert np.linalg.norm(bare, axis=-1).mean(-1) == pytest.approx([0.8] * 4, abs=0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # 1e300 overflows, and is then refused
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize(
    ("make", "read"),
    [(tiny.coco, coco.read), (tiny.mpii, mpii.read), (tiny.posenet, lambda src, bad: h36m.read(src, bad, EVERY))],
    ids=["coco", "mpii", "posenet"],
)
def test_any_wrong_value_anywhere_is_refused_or_harmless(tmp_path: Path, make, read, wrong: Any) -> None:
    """Never anything but a UserError, and never a coordinate that is not finite, whatever value is put wherever."""
    make(tmp_path)
    for file in sorted(tmp_path.rglob("*.json")):
        whole = file.read_text()
        for text in everywhere(whole, wrong):
            file.write_text(text)
            for skip in (False, True):
                bad = Bad(skip=skip)
                try:
                    listing = validate(read(tmp_path, bad), bad)
                except UserError:
                    continue
                assert np.isfinite(listing.columns["keypoints"]).all()
                if "ground_truth" in listing.extra:  # what is packed can be scored
                    checked_truth(json.loads(listing.extra["ground_truth"].item()), file)
        file.write_text(whole)
