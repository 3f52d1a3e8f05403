"""Synthetic people: anatomy, geometry, and the forms of the files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from sanpose.cli.synth import synth
from sanpose.data.actions import ACTIONS
from sanpose.data.cameras import project
from sanpose.data.packed import read as read_packed
from sanpose.data.synth import h36m_set, motions, skeleton, studio, wild
from sanpose.data.synth.generate import MANIFEST, MARK, generate
from sanpose.data.synth.landmarks import joints
from sanpose.data.synth.options import PRESETS, Options
from sanpose.data.synth.person import SUBJECTS, Figure, solid
from sanpose.data.synth.render import draw
from sanpose.errors import UserError
from sanpose.joints import COCO17, H36M17

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


def _moments(count: int = 6) -> Iterator[tuple[int, int, motions.Moment]]:
    for subject in SUBJECTS:
        for action in ACTIONS:
            for n in range(count):
                yield subject, action, motions.moment(action, 100 * subject + action, 6.4 * n)


def _posed(subject: int, moment: motions.Moment) -> skeleton.Posed:
    return skeleton.forward(moment.angles, SUBJECTS[subject].lengths, np.array([*moment.ground, 900.0]))


def test_the_images_that_the_readme_names_are_made(made: Path) -> None:
    named = re.findall(r"data/synth/(\S+\.jpg)", (Path(__file__).parents[2] / "README.md").read_text())
    assert named and all((made / name).is_file() for name in named)


# --- anatomy ----------------------------------------------------------------------------------------------------------


def test_every_angle_is_within_the_anatomical_limits() -> None:
    low, high = skeleton.LIMITS[..., 0], skeleton.LIMITS[..., 1]
    for subject, action, moment in _moments():
        assert (moment.angles >= low).all() and (moment.angles <= high).all(), (subject, action)
    rng = np.random.default_rng(3)
    for _ in range(200):
        angles = wild._free(rng)
        assert (angles >= low).all() and (angles <= high).all()


def test_elbows_and_knees_bend_one_way_only() -> None:
    for _, _, moment in _moments(3):
        for side in ("right", "left"):
            for hinge in ("shin", "forearm"):
                flexion, out, twist = moment.angles[skeleton.INDEX[f"{side}_{hinge}"]]
                assert 0 <= flexion <= 150 and out == twist == 0


def test_bones_keep_their_length_and_subjects_differ() -> None:
    lengths: dict[int, Any] = {}
    for subject, _, moment in _moments(3):
        points = joints(_posed(subject, moment), SUBJECTS[subject].lengths, H36M17.joints)
        bones = [np.linalg.norm(points[a] - points[b]) for a, b in H36M17.bone_indices]
        assert np.allclose(bones, lengths.setdefault(subject, bones), atol=1e-6)
    assert len({np.round(bones, 1).tobytes() for bones in lengths.values()}) == len(SUBJECTS)
    thigh = H36M17.bone_indices.index((1, 2))
    assert all(380 < bones[thigh] < 520 for bones in lengths.values())


def test_actions_move_and_differ() -> None:
    def course(action: int) -> np.ndarray[Any, Any]:
        return np.array([motions.moment(action, 7, 6.4 * n).angles[1:] for n in range(8)])

    courses = {action: course(action) for action in ACTIONS}
    for action, angles in courses.items():
        assert np.abs(angles - angles[:1]).max() > 15, ACTIONS[action]
    means = [angles.mean(0).round(3).tobytes() for angles in courses.values()]
    assert len(set(means)) == len(ACTIONS) == 15


def test_motion_is_smooth_in_time() -> None:
    for action in ACTIONS:
        course = np.array([motions.moment(action, 5, 3 + n / 50).angles for n in range(100)])
        assert np.abs(np.diff(course, axis=0)).max() < 15, ACTIONS[action]  # degrees in 20 ms


def test_a_mirrored_pose_is_the_mirror_image() -> None:
    lengths = SUBJECTS[6].lengths
    angles = motions.moment(4, 11, 2.0).angles
    angles[0] = 12, -7, 0
    here, there = (
        joints(skeleton.forward(a, lengths, np.zeros(3)), lengths, H36M17.joints)
        for a in (angles, skeleton.mirrored(angles))
    )
    assert np.allclose(there[H36M17.flip], here * (1, -1, 1), atol=1e-6)


def test_left_is_left_and_faces_look_ahead() -> None:
    for subject, _, moment in _moments(2):
        posed = _posed(subject, moment)
        names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_eye", "right_eye")
        points = joints(posed, SUBJECTS[subject].lengths, names)
        for k, frame in ((0, "pelvis"), (2, "chest"), (4, "head")):
            across = posed.rotation[skeleton.INDEX[frame]][:, 1]  # a frame's y points to the person's left
            assert (points[k] - points[k + 1]) @ across > 30
        nose, neck = joints(posed, SUBJECTS[subject].lengths, ("nose", "neck"))
        assert (nose - neck) @ posed.rotation[skeleton.INDEX["head"]][:, 0] > 50


def test_knees_bend_back_and_elbows_forward() -> None:
    angles = np.zeros((len(skeleton.FRAMES), 3))
    for name in ("right_shin", "left_forearm", "left_thigh"):
        angles[skeleton.INDEX[name], 0] = 90
    points = joints(skeleton.forward(angles, SUBJECTS[1].lengths, np.zeros(3)), SUBJECTS[1].lengths, H36M17.joints)
    at = {name: points[i] for i, name in enumerate(H36M17.joints)}
    assert at["right_ankle"][0] < at["right_knee"][0] - 300
    assert at["left_wrist"][0] > at["left_elbow"][0] + 200
    assert at["left_knee"][0] > at["left_hip"][0] + 300
    assert at["left_shoulder"][1] > at["right_shoulder"][1]


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_ball_is_drawn_where_it_projects_to_and_the_nearer_hides_the_farther() -> None:
    view = studio.view(1, 1, 0.5)
    centre = np.array([100.0, 200.0, 900.0])
    eye = -view.extrinsics.rotation.T @ view.extrinsics.translation
    towards = (eye - centre) / np.linalg.norm(eye - centre)
    ball = solid([[centre, centre]], 150.0, (250, 10, 10))
    nearer = solid([[centre + 800 * towards, centre + 800 * towards]], 60.0, (10, 10, 250))
    picture = np.zeros((*view.camera.size[::-1], 3), np.uint8)
    layer = draw(picture, view, [ball, nearer], oversampling=1)
    pixel, point = view.project(centre)
    radius = 150 * view.camera.f.mean() / point[2]
    rows, columns = np.nonzero(picture.sum(-1) > 60)
    assert np.allclose([columns.mean(), rows.mean()], pixel, atol=1.0)
    assert abs(np.sqrt(len(rows) / np.pi) - radius) < 1.5
    middle = pixel.round().astype(int)
    assert picture[middle[1], middle[0]].argmax() == 2
    depth, owner = layer.nearest(pixel[None])
    assert owner[0] == 1 and abs(depth[0] - (point[2] - 860)) < 30


@pytest.mark.parametrize("subject", [1, 11])
def test_joints_lie_on_the_drawn_body(subject: int) -> None:
    for action in ACTIONS:
        moment = motions.moment(action, 31, 4.0)
        body = Figure(SUBJECTS[subject])(_posed(subject, moment))
        view = studio.view(subject, 1 + action % 4, 0.25)
        picture = np.zeros((*view.camera.size[::-1], 3), np.uint8)
        layer = draw(picture, view, [body], oversampling=2)
        pixels, points = view.project(joints(_posed(subject, moment), SUBJECTS[subject].lengths, H36M17.joints))
        depth, owner = layer.nearest(pixels)
        assert (owner == 0).all(), ACTIONS[action]
        assert (depth < points[:, 2] + 15).all()


def test_the_studio_camera_is_human36ms() -> None:
    view = studio.view(1, 1, 1.0)
    assert view.camera.size == (1000, 1002)
    assert np.allclose(view.camera.f, [1145.04940459, 1143.78109572], atol=1e-5)
    assert np.allclose(view.camera.c, [512.54150496, 515.45148698], atol=1e-5)
    assert np.allclose(view.extrinsics.rotation @ view.extrinsics.rotation.T, np.eye(3), atol=1e-6)
    centre = -view.extrinsics.rotation.T @ view.extrinsics.translation
    assert np.allclose(centre, [1841.10703, 4955.28462, 1563.4454], atol=1e-2)


def test_a_scaled_studio_picture_shows_the_same_place() -> None:
    point = np.array([[300.0, -200.0, 1200.0]])
    full, small = (studio.view(5, 2, scale).project(point)[0] for scale in (1.0, 0.25))
    assert np.allclose((full + 0.5) * 0.25, small + 0.5, atol=1e-6)


def test_faces_turned_away_are_not_labelled() -> None:
    rng = np.random.default_rng(8)
    seen: set[bool] = set()
    for _ in range(30):
        shot = wild.scene(rng, (320, 180), 1, oversampling=1)
        person = shot.people[0]
        pixels, visible = shot.pixels(person, COCO17.joints)
        ahead = shot.view.extrinsics.rotation[2] @ person.posed.rotation[skeleton.INDEX["head"]][:, 0]
        inside = (pixels.min(-1) > 0) & (pixels[:, 0] < 319) & (pixels[:, 1] < 179)
        if not inside[0] or abs(ahead) < 0.8:
            continue
        seen.add(bool(ahead > 0))
        assert visible[0] == 0 if ahead > 0 else visible[0] > 0
        assert (visible[~inside & (pixels < -1).any(-1)] == 0).all()
    assert seen == {True, False}


# --- files ------------------------------------------------------------------------------------------------------------


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
    from sanpose.cli.prepare import prepare

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
    assert "h36m: made" in first.output and "h36m: already there" in again.output
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
