"""Runs made by the version before (commit d901d11, `make_fixture.sh`): this version reads, resumes and reports them.

Figures may differ by a share of 1e-5 from the same weights, and of 1e-3 after some steps of training, as processors
round differently. Nothing else may differ.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.raycluster.connect import ray_cluster
from sanpose.cli import cli
from sanpose.data import packed
from sanpose.runs import journal, ledger, lookup
from sanpose.runs.paths import RunPaths

RUNS = Path(__file__).with_name("version_before.tar.xz")
FINISHED, INTERRUPTED, TRIAL = "1155b3ea8e", "66bbf798c4", "be5398a4b7"
NETWORK = [
    "preset=smoke", "ablation=c", "data.sources.h36m.file=h36m.h5", "data.sources.mpii.file=mpii.h5",
    "model.width=0.02", "model.deconv_channels=2", "model.depth_bins=4", "eval.sets=[h36m,mpii]", "train.keep=1",
    "eval.every=0",
]  # fmt: skip
SEARCH = ["sweep=rates.yaml", *NETWORK, "train.threads=0", "train.epochs=4"]
# Sentences for people, which a version may word otherwise.
PROSE = {"choice", "verdict", "runs_status", "mark"}


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """One Ray for all commands of these tests; the signals that they take over are given back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    with ray_cluster(2):
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the runs, whose paths are those of this place; the working directory of the test."""
    with tarfile.open(RUNS) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in tmp_path.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".yaml", ".log"):
            written = path.stat().st_mtime  # the report takes the record that was written last
            path.write_text(path.read_text().replace("@HERE@", str(tmp_path)))
            os.utime(path, (written, written))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """All numbers of a tree, by their dotted keys."""
    found: dict[str, float] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            found[prefix + key] = value
    return found


def agree(here: Path, run: str) -> bool:
    """Whether a run's figures are those that the version before measured when it resumed this run itself.

    A training on another processor differs in the last digits. PCKh counts joints below a threshold, 8 people here: a
    joint at the threshold is worth 12.5 points.
    """
    before = numbers(json.loads((here / "expected" / f"{run}.json").read_text())["metrics"])
    now = numbers(ledger.read(here / "runs" / run).metrics)
    counted = {key for key in before if ".pckh" in key}
    assert {key: now[key] for key in counted} == pytest.approx({key: before[key] for key in counted}, abs=12.6)
    measured = before.keys() - counted
    assert {key: now[key] for key in measured} == pytest.approx({key: before[key] for key in measured}, rel=5e-3)
    return len(measured) > 10 and now.keys() == before.keys()


def test_the_packed_file_is_read(here: Path) -> None:
    file = packed.read("h36m.h5")
    assert (len(file), file.source, file.synthetic) == (12, "h36m", True)
    assert file.fingerprint == ledger.read(here / "runs" / FINISHED).extra["fingerprints"]["h36m"]
    assert file.jpeg(11)[:2].tolist() == [0xFF, 0xD8]
    for name in ("h36m.h5", "mpii.h5"):
        assert "no problems" in printed("data", "check", name)


def test_the_records_are_listed(here: Path) -> None:
    records, broken = ledger.read_all(here / "runs")
    assert not broken
    assert {r.id: r.status for r in records} == {FINISHED: "done", INTERRUPTED: "interrupted", TRIAL: "done"}
    trials = lookup.sweep(here / "runs", "rates-smoke").trials
    assert (trials[0].number, trials[0].run) == (0, TRIAL)
    status = printed("status", "--json")
    assert all(run in status for run in (FINISHED, INTERRUPTED, TRIAL, "rates-smoke"))


def test_the_checkpoint_gives_the_same_figures(here: Path) -> None:
    evaluated = json.loads(printed("evaluate", f"run={FINISHED}", "--json"))
    before = ledger.read(here / "runs" / FINISHED).metrics
    for name in ("h36m", "mpii"):
        now = numbers(evaluated["metrics"][name])
        same = {key: value for key, value in numbers(before[name]).items() if key in now}
        assert len(same) > 10 and {key: now[key] for key in same} == pytest.approx(same, rel=1e-5)


def test_the_interrupted_run_is_resumed_to_its_end(ray: None, here: Path) -> None:
    folder = here / "runs" / INTERRUPTED
    [checkpoint] = (folder / "checkpoints").glob("epoch-*")
    printed("train", f"resume={INTERRUPTED}")
    notes = [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]
    assert any(checkpoint.name in text for text in notes)
    record = ledger.read(folder)
    assert record.status == "done" and agree(here, INTERRUPTED)
    epochs = [line["epoch"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "epoch"]
    assert epochs == list(range(1, 13))


def test_the_sweep_is_continued_and_no_trial_is_done_twice(ray: None, here: Path) -> None:
    done = (here / "runs" / TRIAL / "result.json").read_bytes()
    assert ": 2 done" in printed("tune", "--keep", "none", *SEARCH)
    assert (here / "runs" / TRIAL / "result.json").read_bytes() == done
    lines = [json.loads(line) for line in (here / "expected" / "trials.jsonl").read_text().splitlines()]
    before = {line["number"]: (line["values"], line["run"]) for line in lines}
    trials = lookup.sweep(here / "runs", "rates-smoke").trials
    assert {trial.number: (trial.values, trial.run) for trial in trials} == before and len(before) == 3
    for _, run in before.values():
        assert agree(here, run)


@pytest.mark.parametrize(("options", "folder"), [((), "report"), (("--sweep", "rates-smoke"), "report-of-sweep")])
def test_the_report_has_the_same_tables(here: Path, options: tuple[str, ...], folder: str) -> None:
    printed("report", "--no-page", "--out", "now", *options)
    names = sorted(path.name for path in (here / folder).iterdir())
    assert names == sorted(path.name for path in (here / "now").iterdir() if path.suffix in (".csv", ".json"))
    for name in names:
        old, new = here / folder / name, here / "now" / name
        before = rows(old)
        assert [{key: row[key] for key in columns} for columns, row in zip(before, rows(new), strict=True)] == before


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table's file, without sentences for people. A newer version may have more columns."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{k: v for k, v in row.items() if k not in PROSE} for row in csv.DictReader(file)]
    return [{k: v for k, v in row.items() if k not in PROSE} for row in json.loads(path.read_text())["rows"]]
