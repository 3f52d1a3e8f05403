"""`sanpose evaluate`: the same figures as the training's, other protocols, saved predictions that score the same."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sanpose.cli import cli
from sanpose.errors import UserError
from tests.sanpose.tiny_run import tiny_run


@pytest.fixture(scope="module")
def folder() -> Path:
    return tiny_run()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def evaluated(folder: Path, *arguments: object) -> dict[str, Any]:
    result = run("evaluate", f"run={folder.name[:4]}", f"runs={folder.parent}", "--json", *arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(folder: Path, *arguments: object) -> UserError:
    result = run("evaluate", f"run={folder.name}", f"runs={folder.parent}", *arguments)
    assert isinstance(result.exception, UserError), result.output + repr(result.exception)
    return result.exception


def mean(document: dict[str, Any], measure: str = "mpjpe") -> float:
    value: float = document["metrics"]["h36m"][measure]["mean_over_frames"]
    return value


def test_it_repeats_what_the_training_measured(folder: Path) -> None:
    recorded = json.loads((folder.parents[1] / "figures.json").read_text())
    document = evaluated(folder)
    assert mean(document) == pytest.approx(recorded["h36m"]["mpjpe"]["mean_over_frames"], abs=1e-3)
    assert document["metrics"]["mpii"]["pckh@0.5"] == pytest.approx(recorded["mpii"]["pckh@0.5"])
    assert document["metrics"]["coco"]["protocol"] == recorded["coco"]["protocol"]
    written = [json.loads(p.read_text()) for p in folder.glob("evaluation-epoch-0002-step-000000-*.json")]
    assert document in written


def test_figures_are_printed_before_a_full_disk_refuses_them(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("evaluation-*"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        result = run("evaluate", f"run={folder.name}", f"runs={copy.parent}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert isinstance(result.exception, UserError), result.output + repr(result.exception)
    assert "the figures cannot be saved: File too large" in str(result.exception)
    assert "MPJPE" in result.stdout and "PCKh" in result.stdout
    assert not [path for path in copy.iterdir() if "evaluation-" in path.name]


def test_each_question_has_one_file(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("evaluation-*"))
    for arguments in ([], [], ["eval.batch_size=3"], ["eval.flip_test=true"], ["checkpoint=epoch-0001-step-000000"]):
        evaluated(copy, "eval.sets=[h36m]", *arguments)
    names = sorted(p.name for p in copy.glob("*evaluation*"))
    assert [n.rpartition("-")[0] for n in names] == [
        "evaluation-epoch-0001-step-000000",
        "evaluation-epoch-0002-step-000000",
        "evaluation-epoch-0002-step-000000",
    ]


def test_flip_test_and_other_checkpoint_change_the_figures(folder: Path) -> None:
    plain = evaluated(folder, "eval.sets=[h36m]")
    flipped = evaluated(folder, "eval.sets=[h36m]", "eval.flip_test=true")
    first = evaluated(folder, "eval.sets=[h36m]", "checkpoint=epoch-0001-step-000000")
    best = evaluated(folder, "eval.sets=[h36m]", "checkpoint=best")
    assert list(plain["metrics"]) == ["h36m"]
    assert len({mean(plain), mean(flipped), mean(first)}) == 3
    assert "; flip test;" in flipped["metrics"]["h36m"]["protocol"]["text"]
    assert best["checkpoint"] in (plain["checkpoint"], first["checkpoint"])


def test_protocol_two(folder: Path) -> None:
    document = evaluated(folder, "eval.sets=[h36m]", "data.test_subjects=[11]")
    figures = document["metrics"]["h36m"]
    assert figures["protocol"]["subjects"] == "S11"
    assert figures["paper_protocol"].startswith("tested as in the paper's protocol #2 (PA-MPJPE), but trained on S1")
    assert figures["protocol"]["samples"] < evaluated(folder)["metrics"]["h36m"]["protocol"]["samples"]


def test_tables_and_protocols_are_printed(folder: Path) -> None:
    result = run("evaluate", f"run={folder.name}", f"runs={folder.parent}")
    assert result.exit_code == 0
    for text in ("Human3.6M, mm", "MPII, %", "COCO keypoints", "mean over frames", "PCKh@0.1"):
        assert text in result.stdout
    assert result.stdout.count("protocol: ") == 3
    assert "checkpoint epoch-0002-step-000000" in result.stdout


def test_saved_predictions_score_the_same(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "p.npz"
    document = evaluated(folder, "--predictions", saved)
    data = folder.parents[1]
    h36m = json.loads(
        run("metrics", "h36m", "--gt", data / "h36m.h5", "--pred", saved, "--subjects", "9,11", "--json").stdout
    )
    for measure in ("mpjpe", "pa_mpjpe", "pa_mpjpe_scaled"):
        assert h36m[measure]["mean_over_frames"] == pytest.approx(mean(document, measure), rel=1e-12)
    pckh = json.loads(run("metrics", "pckh", "--gt", data / "mpii.h5", "--pred", saved, "--json").stdout)
    assert pckh["pckh@0.5"] == document["metrics"]["mpii"]["pckh@0.5"]
    predicted = tmp_path / "p.coco.json"
    scored = ("metrics", "coco", "--gt", data / "coco.h5", "--pred", predicted, "--rescore", "--nms", "--json")
    coco = run(*scored, "--joint-threshold", "0")
    assert json.loads(coco.stdout)["AP"] == document["metrics"]["coco"]["AP"]


def test_saved_truth_belongs_to_the_samples_of_another_stride(folder: Path, tmp_path: Path) -> None:
    saved, truth = tmp_path / "p.npz", tmp_path / "p.truth.npz"
    document = evaluated(folder, "eval.sets=[h36m]", "data.test_stride=640", "--predictions", saved)
    assert len(np.load(saved)["keypoints3d"]) < 8
    scored = json.loads(run("metrics", "h36m", "--gt", truth, "--pred", saved, "--json").stdout)
    assert scored["mpjpe"]["mean_over_frames"] == pytest.approx(mean(document), rel=1e-12)
    assert scored["per_action_samples"] == document["metrics"]["h36m"]["per_action_samples"]
    assert not (tmp_path / "p.coco.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["checkpoint=latest"], "there is no checkpoint 'latest'", ""),
        (["eval.flip_tst=true"], "unknown configuration key 'eval.flip_tst'", "eval.flip_test"),
        (["model.depth_bins=32"], "'model.depth_bins=32' cannot be changed", "train another run"),
        (["data.train_subjects=[1]"], "'data.train_subjects=[1]' cannot be changed", ""),
        (["data.input_width=96"], "the weights do not fit", "remove the overrides of data.input_width"),
        (["eval.sets=[]"], "eval.sets is empty", "eval.sets=[h36m]"),
        (["eval.boxes=detected", "eval.sets=[coco]"], "has no detected boxes", "--detections"),
        (["data.test_subjects=[6]", "data.train_subjects=[1]"], "cannot be changed", ""),
        (["data.test_subjects=[7]"], "subjects [7] are in both", ""),
        (["data.sources.h36m.file=none.h5"], "does not exist", "prepare"),
        (["--predictions", "nowhere/p.npz"], "cannot be saved", ""),
        (["--predictions", "p.json"], "cannot be saved", ""),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], message: str, hint: str) -> None:
    before = sorted(folder.iterdir())
    error = refused(folder, *arguments)
    assert message in str(error)
    assert hint in (error.hint or "")
    assert sorted(folder.iterdir()) == before


def test_bad_runs(folder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["runs=" + str(folder.parent)], "no run is named"),
        (["run=" + folder.name, f"runs={tmp_path}"], "no run id in"),
    ):
        result = run("evaluate", *arguments)
        assert isinstance(result.exception, UserError)
        assert message in str(result.exception)
    empty = tmp_path / "abc"
    empty.mkdir()
    assert "configuration is missing" in str(refused(empty))
    shutil.copy(folder / "config.yaml", empty)
    assert "this run has no checkpoint" in str(refused(empty))
    (empty / "config.yaml").write_text("model: [")
    assert "configuration cannot be read" in str(refused(empty))


def test_a_damaged_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    weights = copy / "checkpoints" / "epoch-0002-step-000000" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    error = refused(copy)
    assert "the checkpoint is damaged: weights.safetensors" in str(error)
    assert "epoch-0001-step-000000" in str(error)
    assert evaluated(copy, "eval.sets=[h36m]", "checkpoint=epoch-0001-step-000000")


def test_ray_is_not_needed(folder: Path) -> None:
    import subprocess

    code = (
        "import sys; from sanpose.inference import trained; from sanpose.runs import lookup\n"
        f"from pathlib import Path; trained.load(lookup.find(Path({str(folder.parent)!r}), '7a1b'))\n"
        "assert not {'ray', 'deepspeed'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
