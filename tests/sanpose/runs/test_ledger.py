"""The ledger survives killed writers, damaged files and second starts, and says what it found."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from sanpose.runs import ledger, provenance
from sweeps.files import BrokenRecord, append_line, read_json, read_lines, write_atomic

CONFIG: dict[str, object] = {"cell": "a", "model": {"backbone": "resnet18", "width": 0.5}, "train": {"lr": 1e-5}}


def start(root: Path, run: str = "0123456789", **more: object) -> Path:
    return ledger.create(root, run, CONFIG, {"at": "first", **more})


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    folder = start(tmp_path)
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG
    assert (folder / "checkpoints").is_dir() and (folder / "logs").is_dir()
    record = ledger.read(folder)
    assert (record.status, record.epoch, record.config) == ("running", None, CONFIG)
    append_line(folder / "metrics.jsonl", {"epoch": 1, "loss": np.float32(0.5)})
    append_line(folder / "metrics.jsonl", {"epoch": 2, "loss": math.nan})
    assert ledger.read(folder).epoch == 2
    metrics = {"h36m": {"mpjpe": np.float64(50.25), "samples": np.int64(3), "per_joint": np.ones(2), "bad": math.inf}}
    ledger.write_result(folder, {"status": "done", "metrics": metrics, "cell": "a", "synthetic": True})
    ledger.write_result(folder, {"status": "done", "metrics": metrics, "cell": "a", "synthetic": True})
    records, broken = ledger.read_all(tmp_path)
    assert broken == [] and len(records) == 1
    assert records[0].metrics == {"h36m": {"mpjpe": 50.25, "samples": 3, "per_joint": [1, 1], "bad": None}}
    assert (records[0].config, records[0].extra) == (CONFIG, {"cell": "a", "synthetic": True})
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints", "config.yaml", "logs", "metrics.jsonl", "provenance.json", "result.json",
    ]  # fmt: skip


def test_a_second_start_keeps_the_first_and_adds_itself(tmp_path: Path) -> None:
    start(tmp_path, git={"commit": "abc", "diff": "-old\n+new\n"})
    folder = ledger.create(tmp_path, "0123456789", {"other": 1}, {"at": "second", "git": {"diff": "+more\n"}})
    ledger.create(tmp_path, "0123456789", CONFIG, {"at": "third", "git": {"commit": None, "reason": "no git"}})
    found = json.loads((folder / "provenance.json").read_text())
    assert found["at"] == "first" and [s["at"] for s in found["starts"]] == ["second", "third"]
    assert found["git"] == {"commit": "abc", "diff": "diff.patch"}
    assert (folder / "diff.patch").read_text() == "-old\n+new\n"
    assert (folder / found["starts"][0]["git"]["diff"]).read_text() == "+more\n"
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG


@pytest.mark.parametrize("cut", [1, 10, 0])
def test_a_torn_last_line_is_ignored_then_replaced(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"epoch": 1})
    whole = path.read_bytes()
    append_line(path, {"epoch": 2, "loss": 1.5})
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert read_lines(path) == [{"epoch": 1}]
    append_line(path, {"epoch": 3})
    assert read_lines(path) == [{"epoch": 1}, {"epoch": 3}]


def test_a_file_of_nothing_but_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1')
    assert read_lines(path) == []
    append_line(path, {"epoch": 1})
    assert path.read_bytes() == b'{"epoch": 1}\n'


def test_broken_records_are_listed_and_the_others_read(tmp_path: Path) -> None:
    good = start(tmp_path, "good")
    ledger.write_result(good, {"status": "failed", "reason": "out of memory"})
    for name, text in {
        "half": (good / "result.json").read_text()[:40],
        "list": "[]",
        "other": (good / "result.json").read_text(),
        "status": json.dumps({"schema": 1, "id": "status", "status": "fine", "config": {}}),
        "schema": json.dumps({"schema": 99, "id": "schema", "status": "done", "config": {}}),
        "metrics": json.dumps({"schema": 1, "id": "metrics", "status": "done", "config": {}, "metrics": [1]}),
    }.items():
        (start(tmp_path, name) / "result.json").write_text(text)
    (start(tmp_path, "lines") / "metrics.jsonl").write_text('{"epoch": 1}\nnot json\n{"eta_s": 3}\n')
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not a run")
    records, broken = ledger.read_all(tmp_path)
    assert [(r.id, r.status, r.reason) for r in records] == [("good", "failed", "out of memory")]
    assert {b.path.parent.name: b.reason for b in broken}.keys() == {
        "half", "list", "other", "status", "schema", "metrics", "lines", "empty",
    }  # fmt: skip
    assert "last lines is not JSON" in next(b.reason for b in broken if b.path.parent.name == "lines")


def test_what_is_out_of_reach_is_broken_and_the_others_are_read(tmp_path: Path) -> None:
    ledger.write_result(start(tmp_path, "good"), {"status": "done"})
    for name in ("result.json", "config.yaml", "metrics.jsonl"):
        path = start(tmp_path, name) / name
        path.unlink(missing_ok=True)
        path.symlink_to(name)  # in a circle: a file that nobody can look at, root neither
    (tmp_path / "circle").symlink_to("circle")
    records, broken = ledger.read_all(tmp_path)
    assert [r.id for r in records] == ["good"]
    assert [(b.path.parent.name, b.path.name) for b in broken] == [
        ("circle", "result.json"), ("config.yaml",) * 2, ("metrics.jsonl",) * 2, ("result.json",) * 2,
    ]  # fmt: skip
    assert all("cannot be read" in b.reason and "symbolic links" in b.reason for b in broken)


@pytest.mark.parametrize("depth", [101, 300, 100_000])
def test_what_is_nested_too_deep_is_broken(tmp_path: Path, depth: int) -> None:
    text = '{"a":' * (depth - 1) + "[]" + "}" * (depth - 1)
    for name in ("result.json", "metrics.jsonl"):
        (start(tmp_path, name) / name).write_text(text + "\n")
    records, broken = ledger.read_all(tmp_path)
    assert records == [] and [b.path.name for b in broken] == ["metrics.jsonl", "result.json"]
    assert all("nested too deep" in b.reason for b in broken)
    with pytest.raises(BrokenRecord, match=r"line 1 .* nested too deep"):
        read_lines(tmp_path / "metrics.jsonl" / "metrics.jsonl")


def test_a_configuration_that_is_nested_too_deep_is_broken(tmp_path: Path) -> None:
    (start(tmp_path) / "config.yaml").write_text("[" * 5000 + "]" * 5000)
    assert "nested too deep" in ledger.read_all(tmp_path)[1][0].reason


def test_what_is_nested_as_deep_as_may_be_is_read(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text('{"a":' * 99 + "[]" + "}" * 99)
    (tmp_path / "wide").write_text(json.dumps({"a": [[{}] * 3] * 1000}))
    assert "a" in read_json(tmp_path / "deep") and "a" in read_json(tmp_path / "wide")


def test_text_and_names_that_are_not_unicode(tmp_path: Path) -> None:
    name, reason = os.fsdecode(b"run-\xff"), "cannot read 'photo-\udcff.png' \ud800"
    ledger.write_result(start(tmp_path, name), {"status": "failed", "reason": reason})
    (found,), broken = ledger.read_all(tmp_path)
    assert (found.id, found.reason, broken) == (name, reason, [])
    write_atomic(tmp_path / "text", f"{name}: {reason} ü\n")
    assert (tmp_path / "text").read_text() == "run-\\udcff: cannot read 'photo-\\udcff.png' \\ud800 ü\n"


def test_a_result_is_whole_or_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = start(tmp_path)
    ledger.write_result(folder, {"status": "running"})
    before = (folder / "result.json").read_bytes()
    for bad in (
        {"status": "well"},
        {"status": "failed"},
        {"status": "done", "id": "another"},
        {"status": "done", "metrics": {"x": object()}},
    ):
        with pytest.raises(ValueError):
            ledger.write_result(folder, bad)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.write_result(folder, {"status": "done"})
    assert (folder / "result.json").read_bytes() == before
    assert not list(folder.glob(".*"))


def test_find(tmp_path: Path) -> None:
    for name in ("abc1", "abd2", "ab"):
        start(tmp_path, name)
    assert ledger.find(tmp_path, "abc").name == "abc1"
    assert ledger.find(tmp_path, "ab").name == "ab"
    with pytest.raises(ledger.NoSuchRun, match="abc1, abd2"):
        ledger.find(tmp_path, "a")
    for prefix in ("x", ""):
        with pytest.raises(ledger.NoSuchRun, match="no run"):
            ledger.find(tmp_path, prefix)
    with pytest.raises(ledger.NoSuchRun, match="none"):
        ledger.find(tmp_path / "absent", "a")


def test_the_exception_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BrokenRecord(Path("a"), "b")))
    assert (error.path, error.reason) == (Path("a"), "b")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], check=True
    )


def test_provenance_in_a_repository_and_outside(tmp_path: Path) -> None:
    outside = provenance.collect(tmp_path, ["numpy", "no-such-package"])
    assert outside["git"]["commit"] is None and "git" in outside["git"]["reason"]
    assert outside["packages"] == {"numpy": np.__version__, "no-such-package": None}
    assert outside["machine"]["cpus"] >= 1 and outside["machine"]["cpu"]
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path)["commit"] is None, "a repository without a commit"
    (tmp_path / "a.txt").write_text("one\n")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = provenance.git_state(tmp_path)
    assert len(clean["commit"]) == 40 and not clean["dirty"] and clean["diff"] == ""
    (tmp_path / "a.txt").write_text("two\n")
    (tmp_path / "né w.txt").write_text("new\n")
    dirty = provenance.git_state(tmp_path)
    assert dirty["dirty"] and "+two" in dirty["diff"] and dirty["untracked"] == ["né w.txt"]
    folder = ledger.create(tmp_path / "runs", "x", CONFIG, provenance.collect(tmp_path, []))
    assert "+two" in (folder / "diff.patch").read_text()


def test_provenance_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state = provenance.git_state(tmp_path)
    assert state["commit"] is None and "git" in state["reason"]
