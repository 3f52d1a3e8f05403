"""`sanpose metrics` on files, through the real entry point: figures, JSON, exit code 2 with a clear message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from sanpose.cli import main
from sanpose.data import packed
from sanpose.joints import MPII16
from sanpose.metrics.coco import STATS
from tests.sanpose.wrong_values import WRONG, everywhere

Run = Callable[..., tuple[int, str, str]]
MAT_JOINTS = (
    "rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor", "neck", "head", "rwri", "relb", "rsho", "lsho",
    "lelb", "lwri",
)  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `sanpose metrics ...` in this process; returns exit code, standard output and error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sanpose", "metrics", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def h36m_truth() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 400, (6, 17, 3)) + np.array([0, 0, 5000.0])


def pack(path: Path, source: str, columns: dict[str, Any], extra: dict[str, Any] | None = None) -> Path:
    count = len(columns["keypoints"])
    common = {"image": np.zeros(count), "annotation": np.arange(count), "box": np.zeros((count, 4))}
    packed.write(
        path,
        source,
        jpegs=[b"x"],
        lengths=np.array([1]),
        names=["x.jpg"],
        sizes=np.array([[1, 1]], np.int32),
        columns={**common, **columns},
        extra=extra,
    )
    return path


@pytest.fixture
def h36m_h5(tmp_path: Path) -> Path:
    return pack(
        tmp_path / "h36m.h5",
        "h36m",
        {
            "keypoints": np.zeros((6, 17, 2)),
            "visible": np.full((6, 17), 2),
            "keypoints3d": h36m_truth(),
            "camera": np.zeros(6),
            "subject": np.array([5, 5, 9, 9, 11, 11]),
            "action": np.array([2, 3, 2, 3, 2, 14]),
            "subaction": np.zeros(6),
            "frame": np.array([0, 64, 128, 0, 64, 192]),
        },
    )


def off_by(millimetres: float) -> np.ndarray:
    """Predictions whose joints, but for the pelvis, are all off by so much."""
    predicted = h36m_truth()
    predicted[:, 1:, 0] += millimetres
    return predicted


def test_h36m_packed_truth_json_prediction(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps({"keypoints3d": off_by(17.0).tolist(), "unit": "mm"}))
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", pred, "--subjects", "9,S11", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["mpjpe"]["mean_over_frames"] == pytest.approx(16.0, abs=1e-3)
    assert document["per_action_samples"] == {"Directions": 2, "Discussion": 1, "Walking": 1}
    assert "#1 (MPJPE)" in document["paper_protocol"]
    assert document["protocol"]["samples"] == 4
    assert document["protocol"]["stride"] == "frames that are multiples of 64"

    code, out, _ = run("h36m", "--gt", h36m_h5, "--pred", pred, "--joints", "16")
    assert code == 0
    assert "mean over 3 actions" in out
    assert "17.0" in out
    assert "protocol: MPJPE and PA-MPJPE [mm]; subjects: S5, S9, S11; joints: 16 (without the pelvis)" in out


def test_h36m_eighteen_joints_and_only_the_selected_predictions(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    eighteen = np.concatenate([off_by(17.0), np.full((6, 1, 3), 1e6)], 1)
    np.savez(tmp_path / "pred.npz", keypoints3d=eighteen[4:])
    code, out, _ = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz", "--subjects", "11", "--json")
    assert code == 0
    assert json.loads(out)["mpjpe"]["mean_over_frames"] == pytest.approx(16.0, abs=1e-3)


def test_h36m_npz_truth_with_action_names_in_metres(run: Run, tmp_path: Path) -> None:
    actions = np.array(["Walking 1", "TakingPhoto", "WalkDog", "Greeting", "Sitting", "Sitting_2"])
    np.savez(tmp_path / "gt.npz", keypoints3d=h36m_truth() / 1000, action=actions, unit="m")
    np.savez(tmp_path / "pred.npz", keypoints3d=off_by(17.0) / 1000)
    arguments = ("h36m", "--gt", tmp_path / "gt.npz", "--pred", tmp_path / "pred.npz", "--json")
    code, out, _ = run(*arguments, "--unit", "m")
    assert code == 0
    assert json.loads(out)["mpjpe"]["per_action"] == pytest.approx(
        {"Greeting": 16, "Sitting": 16, "Photo": 16, "Walking": 16, "WalkDog": 16}
    )
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "looks like metres" in err
    assert "--unit m" in err
    code, _, err = run(*arguments, "--unit", "m", "--gt-unit", "mm", "--subjects", "9")
    assert code == 2
    assert "does not say whose samples" in err


def bad_h36m(name: str, pose: np.ndarray) -> tuple[np.ndarray, str]:
    if name == "joints":
        return pose[:, :16], "'keypoints3d' has the shape (6, 16, 3)"
    if name == "count":
        return pose[:5], "5 predictions"
    pose[3, 2, 0] = np.nan
    return pose, "sample 3, joint 2 (right_knee) is nan (1 of 6"


@pytest.mark.parametrize("name", ["joints", "count", "nan"])
def test_h36m_bad_predictions(run: Run, tmp_path: Path, h36m_h5: Path, name: str) -> None:
    array, message = bad_h36m(name, off_by(1.0))
    np.savez(tmp_path / "pred.npz", keypoints3d=array)
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz")
    assert (code, out) == (2, "")
    assert message in err
    assert "pred.npz" in err
    assert "expected:" in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, "does not exist"),
        ("pred.npz", b"PK\x03\x04 cut short", "cannot be read"),
        ("pred.json", b'{"keypoints3d": [[[1, 2', "broken JSON"),
        ("pred.json", b"[1, 2]", "is a list"),
        ("pred.json", b'{"keypoints3d": [[1, 2], [3]]}', "is ragged"),
        ("pred.json", b'{"keypoints3d": [[[null, 1, 2]]]}', "not made of numbers"),
        ("pred.json", b'{"keypoint3d": []}', "did you mean 'keypoint3d'?"),
        ("pred.json", b"\xff\xfe", "cannot be read"),
        ("pred.txt", b"1 2 3", "'.txt'"),
        ("pred.mat", b"not a mat file, but long enough to have a header" * 9, "cannot be read"),
        *((f"pred.{kind}", b"\x01\x02\x03\x04" * n, "cannot be read") for kind in ("mat", "npz") for n in (0, 16, 75)),
        ("pred.h5", b"not hdf5", "cannot be read"),
    ],
)
def test_unreadable_files(
    run: Run, tmp_path: Path, h36m_h5: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / name)
    assert (code, out) == (2, "")
    assert message in err
    assert name in err


@pytest.mark.parametrize("keep", [0, 64, 127, 128, 200, 300, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["mat", "compressed.mat", "npz", "compressed.npz"])
def test_files_cut_short(run: Run, tmp_path: Path, h36m_h5: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"pred.{kind}"
    if kind.endswith("mat"):
        savemat(path, {"keypoints3d": off_by(1.0)}, do_compression="compressed" in kind)
    else:
        (np.savez_compressed if "compressed" in kind else np.savez)(path, keypoints3d=off_by(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    code, out, err = run("h36m", "--gt", h36m_h5, "--pred", path)
    assert (code, out) == (2, "")
    assert "cannot be read" in err or "has no 'keypoints3d'" in err
    assert path.name in err


@pytest.mark.parametrize("share", [0.25, 0.4, 0.55, 0.7])
def test_compressed_files_overwritten(run: Run, tmp_path: Path, h36m_h5: Path, share: float) -> None:
    poses = off_by(1.0).round()  # else zlib finds nothing to compress, and stores it
    np.savez_compressed(tmp_path / "pred.npz", keypoints3d=poses)
    savemat(tmp_path / "pred.mat", {"keypoints3d": poses}, do_compression=True)
    for name in ("pred.npz", "pred.mat"):
        data = bytearray((tmp_path / name).read_bytes())
        at = int(share * len(data))
        data[at : at + 40] = b"\xff" * 40
        (tmp_path / name).write_bytes(data)
        code, out, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / name)
        assert (code, out) == (2, "")
        assert f"the {name[4:]} file cannot be read" in err


def test_a_pickle_is_not_executed(run: Run, tmp_path: Path, h36m_h5: Path) -> None:
    np.savez(tmp_path / "pred.npz", keypoints3d=np.array([{"a": 1}], dtype=object))
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "plain arrays, nothing pickled" in err


def mpii_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """0-based truth (5, 16, 2), missing (5, 16), head boxes (5, 4) with a head size of 30 px."""
    rng = np.random.default_rng(1)
    corner = rng.uniform(50, 100, (5, 2))
    missing = np.zeros((5, 16))
    missing[0, 0] = 1
    return rng.uniform(0, 500, (5, 16, 2)), missing, np.concatenate([corner, corner + np.array([30, 40])], 1)


@pytest.fixture
def gt_valid(tmp_path: Path) -> Path:
    truth, missing, head = mpii_arrays()
    names = np.array([[*MAT_JOINTS]], dtype=object)
    savemat(
        tmp_path / "gt_valid.mat",
        {
            "jnt_missing": missing.T,
            "pos_gt_src": (truth + 1).transpose(1, 2, 0),
            "headboxes_src": (head + 1).reshape(5, 2, 2).transpose(1, 2, 0),
            "dataset_joints": names,
        },
    )
    return tmp_path / "gt_valid.mat"


def test_pckh_from_matlab_files(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    predicted = mpii_arrays()[0] + 1
    predicted[:, MPII16.index("left_knee"), 0] += [0, 0, 0, 0, 16]
    predicted[:, MPII16.index("left_ankle"), 1] += 3.5
    savemat(tmp_path / "pred.mat", {"preds": predicted})
    code, out, err = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["pckh@0.5"]["Knee"] == pytest.approx(90.0)
    assert document["pckh@0.5"]["Mean"] == pytest.approx(100 * 68 / 69)
    assert document["pckh@0.1"]["Ankle"] == pytest.approx(50.0)
    assert document["protocol"]["samples"] == 5
    code, out, _ = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat")
    assert code == 0
    assert "PCKh@0.5" in out
    assert "protocol: PCKh [%]; subjects: the 5 people of gt_valid.mat" in out


def test_pckh_counts_pixels_from_0_unless_told(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    # 2.5 px to the left of the truth is within 3 px; one more pixel to the left isn't.
    predicted = mpii_arrays()[0] - np.array([2.5, 0])
    np.savez(tmp_path / "pred.npz", keypoints=predicted)
    arguments = ("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.npz", "--json")
    assert json.loads(run(*arguments)[1])["pckh@0.1"]["Mean"] == 100.0
    assert json.loads(run(*arguments, "--one-based")[1])["pckh@0.1"]["Mean"] == 0.0


def test_pckh_packed_truth_takes_the_evaluation_split(run: Run, tmp_path: Path) -> None:
    truth, missing, head = mpii_arrays()
    columns = {"keypoints": truth, "visible": 2 * (missing == 0), "headbox": head}
    gt = pack(tmp_path / "mpii.h5", "mpii", {**columns, "train": np.array([1, 1, 0, 0, 0])})
    np.savez(tmp_path / "pred.npz", keypoints=truth[2:])
    code, out, _ = run("pckh", "--gt", gt, "--pred", tmp_path / "pred.npz", "--json")
    assert code == 0
    assert json.loads(out)["protocol"]["samples"] == 3
    gt = pack(tmp_path / "mpii.h5", "mpii", {**columns, "train": np.ones(5)})
    code, _, err = run("pckh", "--gt", gt, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "no person of the evaluation split" in err
    code, _, err = run("h36m", "--gt", gt, "--pred", tmp_path / "pred.npz")
    assert code == 2
    assert "this packed file holds mpii" in err


def test_pckh_refuses_another_order_of_joints(run: Run, tmp_path: Path, gt_valid: Path) -> None:
    savemat(tmp_path / "pred.mat", {"preds": np.zeros((5, 17, 2))})
    code, _, err = run("pckh", "--gt", gt_valid, "--pred", tmp_path / "pred.mat")
    assert code == 2
    assert "(5, 17, 2)" in err
    truth, missing, _ = mpii_arrays()
    savemat(
        tmp_path / "other.mat",
        {
            "jnt_missing": missing.T,
            "pos_gt_src": truth.transpose(1, 2, 0),
            "headboxes_src": np.ones((2, 2, 5)),
            "dataset_joints": np.array([[*MAT_JOINTS[::-1]]], dtype=object),
        },
    )
    code, _, err = run("pckh", "--gt", tmp_path / "other.mat", "--pred", tmp_path / "pred.mat")
    assert code == 2
    assert "another order" in err


def coco_files(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    """One person of 200 px; predicted twice, the copy 1 px away with the better joints' scores but a lower score."""
    line = np.linspace(10, 210, 17)
    pose = np.stack([line, line, np.full(17, 2)], 1)
    person = {
        "id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "area": 40000.0, "bbox": [10, 10, 200, 200],
        "num_keypoints": 17, "keypoints": pose.ravel().tolist(),
    }  # fmt: skip
    truth = {"images": [{"id": 5}], "annotations": [person], "categories": [{"id": 1, "name": "person"}]}
    wrong, right = pose.copy(), pose.copy()
    wrong[:, 0] += 100
    wrong[:, 2], right[:, 2] = 0.3, 0.9
    common = {"image_id": 5, "category_id": 1}
    results = [
        {**common, "keypoints": wrong.ravel().tolist(), "score": 0.9},
        {**common, "keypoints": right.ravel().tolist(), "score": 0.8},
        {**common, "keypoints": right.ravel().tolist(), "score": 0.7},
    ]
    gt, pred = folder / "gt.json", folder / "pred.json"
    gt.write_text(json.dumps(truth))
    pred.write_text(json.dumps(results))
    return gt, pred, truth


def test_coco_plain_rescored_and_after_nms(run: Run, tmp_path: Path) -> None:
    gt, pred, _ = coco_files(tmp_path)
    code, out, err = run("coco", "--gt", gt, "--pred", pred, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["AP"] == pytest.approx(0.5)
    assert document["AP_M"] is None
    document = json.loads(run("coco", "--gt", gt, "--pred", pred, "--json", "--rescore", "--nms")[1])
    assert document["AP"] == pytest.approx(1.0)
    assert document["protocol"]["samples"] == 2
    assert document["protocol"]["notes"] == ["rescored by the joints' scores above 0.2", "OKS-NMS 0.9"]
    all_joints = json.loads(run("coco", "--gt", gt, "--pred", pred, "--json", "--rescore", "--joint-threshold", "0")[1])
    assert all_joints["protocol"]["notes"] == ["rescored by the joints' scores above 0", "no NMS"]
    code, _, err = run("coco", "--gt", gt, "--pred", pred, "--joint-threshold", "0")
    assert code == 2 and "--rescore" in err
    code, out, _ = run("coco", "--gt", gt, "--pred", pred)
    assert code == 0
    assert "0.500" in out
    assert "scores as given; no NMS" in out


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_no_figure_is_shortened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    gt, pred, _ = coco_files(tmp_path)
    figures = json.loads(run("coco", "--gt", gt, "--pred", pred, "--json")[1])
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = run("coco", "--gt", gt, "--pred", pred)
    assert (code, "…" in out) == (0, False)
    row = next(line for line in out.splitlines() if "OKS" in line)
    shown = [cell.strip() for cell in row.strip("│").split("│")]
    assert shown == ["OKS", *("-" if figures[s] is None else f"{figures[s]:.3f}" for s in STATS)]
    assert len(row) <= max(columns, 80)


@pytest.mark.parametrize("stored", [np.bytes_, lambda text: np.frombuffer(text, np.uint8)])
def test_coco_truth_inside_a_packed_file(run: Run, tmp_path: Path, stored: Callable[[bytes], Any]) -> None:
    _, pred, truth = coco_files(tmp_path)
    columns = {
        "keypoints": np.zeros((1, 17, 2)),
        "visible": np.full((1, 17), 2),
        "train": np.zeros(1),
        "area": np.ones(1),
        "image_id": np.array([5]),
    }
    gt = pack(tmp_path / "coco.h5", "coco", columns, {"ground_truth": stored(json.dumps(truth).encode())})
    code, out, _ = run("coco", "--gt", gt, "--pred", pred, "--json")
    assert code == 0
    assert json.loads(out)["AP"] == pytest.approx(0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # 1e300 overflows
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("options", [(), ("--rescore", "--nms")], ids=["plain", "refined"])
def test_coco_any_wrong_value_anywhere_is_refused_or_harmless(
    run: Run, tmp_path: Path, wrong: Any, options: tuple[str, ...]
) -> None:
    """One message and exit code 2, or figures: never a traceback, whatever value is put wherever."""
    gt, pred, _ = coco_files(tmp_path)
    results = [{**result, "bbox": [10, 10, 200, 200], "area": 900.0} for result in json.loads(pred.read_text())]
    pred.write_text(json.dumps(results))
    for file in (gt, pred):
        whole = file.read_text()
        for text in everywhere(whole, wrong):
            file.write_text(text)
            code, out, err = run("coco", "--gt", gt, "--pred", pred, "--json", *options)
            assert code in (0, 2)
            assert json.loads(out)["metric"] == "coco" if code == 0 else err.startswith("error: ")
        file.write_text(whole)


def test_coco_faults_of_the_ground_truth_name_its_file(run: Run, tmp_path: Path) -> None:
    gt, pred, truth = coco_files(tmp_path)
    truth["annotations"][0]["keypoints"] = truth["annotations"][0]["keypoints"][:48]
    gt.write_text(json.dumps(truth))
    code, out, err = run("coco", "--gt", gt, "--pred", pred)
    assert (code, out) == (2, "")
    assert f"{gt}, annotations[0]" in err


def test_coco_files_given_the_wrong_way_round(run: Run, tmp_path: Path) -> None:
    gt, pred, _ = coco_files(tmp_path)
    code, _, err = run("coco", "--gt", pred, "--pred", gt)
    assert code == 2
    assert "give it as --pred" in err
    code, _, err = run("coco", "--gt", gt, "--pred", gt)
    assert code == 2
    assert "not a list of objects" in err


def test_wrong_options_and_a_fresh_process(tmp_path: Path) -> None:
    gt, pred, _ = coco_files(tmp_path)
    command = [sys.executable, "-m", "sanpose", "metrics", "coco", "--gt", str(gt), "--pred", str(pred)]
    good = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["metric"] == "coco"
    bad = subprocess.run([*command, "--jsn"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "--json" in bad.stderr


def test_nothing_imports_torch() -> None:
    code = "import sys, sanpose.cli.metrics; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_subjects_must_be_numbers(run: Run, h36m_h5: Path) -> None:
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", h36m_h5, "--subjects", "nine")
    assert code == 2
    assert "9,11 or S9,S11" in err
    code, _, err = run("h36m", "--gt", h36m_h5, "--pred", h36m_h5, "--subjects", "7")
    assert code == 2
    assert "some of S5, S9, S11" in err
