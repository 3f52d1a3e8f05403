"""`sanpose metrics coco`: plain, rescored, with NMS, and entries that are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanpose.metrics.coco import STATS
from tests.sanpose.metrics.scored import Run, pack
from tests.sanpose.wrong_values import WRONG, everywhere


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
    assert "pass it as --pred" in err
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
