"""Sweeps whose worker, trial, driver or Ray is killed: the same command ends as an undisturbed one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sanpose.runs import checkpoints, identity, journal, ledger
from sanpose.runs.paths import RunPaths
from sanpose.tuning import sweep
from sanpose.tuning.run import tune
from sweeps import record
from tests.sanpose.tuning.small import QUIET, SHORT, definition, lines, records


def test_a_killed_trial_process_is_replaced_and_ends_the_same(ray: None, data: list[str], tmp_path: Path) -> None:
    content = {"title": "one", "axes": {"train.gamma": [0.5]}}
    more = (*data, "train.epochs=12", "eval.sets=[h36m]", "eval.every=0")
    folders = []
    for name in ("whole", "killed"):
        requested = sweep.read([definition(tmp_path, content, "one"), *more, f"runs={tmp_path / name}"])
        run = identity.run_id(requested.config({"train.gamma": 0.5}, 0))
        folders.append(tmp_path / name / run)
        killer = None
        if name == "killed":
            killer = subprocess.Popen(
                [sys.executable, "-c", _KILLER, str(RunPaths(folders[1]).journal), str(os.getpid())]
            )
        assert tune(requested, QUIET) == {"done": 1}
        assert killer is None or killer.wait() == 0, "nobody was killed"
    assert lines(folders[1]) == lines(folders[0])
    notes = [line["text"] for line in journal.read(RunPaths(folders[1]).journal) if line["kind"] == "note"]
    assert any(n.startswith("resumes from checkpoint") for n in notes)


# Kills the process that trains, below the given one, once the journal has seen three epochs.
_KILLER = """
import os, signal, sys, time, pathlib, psutil
path = pathlib.Path(sys.argv[1])
while not path.exists() or path.read_text().count('"kind": "epoch"') < 3:
    time.sleep(0.02)
for process in psutil.Process(int(sys.argv[2])).children(recursive=True):
    if process.pid != os.getpid() and "ray::" in " ".join(process.cmdline()) and "IDLE" not in process.cmdline()[0]:
        if any(str(path.parent) in f.path for f in process.open_files()):
            os.kill(process.pid, signal.SIGKILL)
            sys.exit(0)
sys.exit(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["ImplicitFunc", "TrainController"])
def test_a_trial_of_two_workers_goes_on_without_the_process_that_minds_them(
    ray: None, data: list[str], tmp_path: Path, killed: str
) -> None:
    """Its workers have all CPUs: they are free for the next start only when somebody takes them back."""
    content = {"title": "one", "axes": {"train.gamma": [0.5]}}
    more = (*data, "train.epochs=12", "eval.sets=[h36m]", "eval.every=0", "train.workers=2")
    requested = sweep.read([definition(tmp_path, content, "one"), *more, f"runs={tmp_path / 'runs'}"])
    folder = tmp_path / "runs" / identity.run_id(requested.config({"train.gamma": 0.5}, 0))
    given = [str(RunPaths(folder).journal), str(os.getpid()), killed]
    killer = subprocess.Popen([sys.executable, "-c", _MINDER_KILLER, *given])
    assert tune(requested, QUIET) == {"done": 1}
    assert killer.wait() == 0, "nobody was killed"
    assert [line["epoch"] for line in lines(folder) if line["kind"] == "epoch"] == list(range(1, 13))
    notes = [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]
    assert any(n.startswith("resumes from checkpoint") for n in notes)


# Kills the process of this name below the given one, once the journal has seen three epochs.
_MINDER_KILLER = """
import sys, time, pathlib, psutil
path = pathlib.Path(sys.argv[1])
while not path.exists() or path.read_text().count('"kind": "epoch"') < 3:
    time.sleep(0.02)
for process in psutil.Process(int(sys.argv[2])).children(recursive=True):
    if "ray::" + sys.argv[3] in " ".join(process.cmdline()):
        process.kill()
        sys.exit(0)
sys.exit(1)
"""


def test_a_trial_that_ray_kills_where_memory_runs_low_fails_with_that_reason_and_the_sweep_goes_on(
    data: list[str], tmp_path: Path
) -> None:
    """Where memory always counts as low, here; Ray Tune by itself would end over the first."""
    low = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    more = (*data, *SHORT, "train.threads=1", "train.max_failures=1", f"runs={tmp_path / 'runs'}")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | low)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert done.stdout.count("is restarted: Ray killed its process") == 2
    found = records(tmp_path / "runs").values()
    assert len(found) == 2 and all("because memory ran low (" in str(r.reason) for r in found)


def test_a_process_killed_while_its_record_is_written_does_not_train_again(
    ray: None, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"title": "one", "axes": {"train.gamma": [0.5]}}
    requested = sweep.read([definition(tmp_path, content, "one"), *data, *SHORT, f"runs={tmp_path / 'runs'}"])
    folder = tmp_path / "runs" / identity.run_id(requested.config({"train.gamma": 0.5}, 0))
    trim, seen = checkpoints.trim, []

    def killing(checkpoints: Path, kept: tuple[str, ...]) -> int:
        """The record is written, and the trial's process still waits for its report to be taken in."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # one that has just ended
                if "ray::" in " ".join(process.cmdline()) and any(str(folder) in f.path for f in process.open_files()):
                    process.kill()
        seen.append((lines(folder), sorted(folder.glob("tensorboard/*"))))
        return trim(checkpoints, kept)

    monkeypatch.setattr(checkpoints, "trim", killing)
    assert tune(requested, QUIET, keep=()) == {"done": 1}
    assert seen == [(lines(folder), sorted(folder.glob("tensorboard/*")))], "a start would begin a file of its own"
    assert list((folder / "checkpoints").iterdir()) == []
    assert ledger.read(folder).status == "done"


def killed_at(command: list[str], runs: Path, epochs: int, later: float) -> None:
    """Start a sweep, and kill its driver a moment after its runs have so many epochs behind them."""
    process = subprocess.Popen([*command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(runs.glob("sweeps/*/study.log")) or epochs_of(runs) < epochs:
        assert process.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.02)
    time.sleep(later)
    assert process.poll() is None, "the sweep ended before it could be killed"
    process.kill()
    process.wait()


def epochs_of(runs: Path) -> int:
    return sum(path.read_text().count('"kind": "epoch"') for path in runs.glob("*/metrics.jsonl"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_driver_killed_five_times_ends_with_the_same_records(data: list[str], tmp_path: Path) -> None:
    more = (*data, "train.epochs=25", "eval.sets=[h36m]", "eval.every=0")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    whole = subprocess.run([*command, f"runs={tmp_path / 'whole'}"], capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    chance, runs = random.Random(0), tmp_path / "killed"
    for epochs in (0, 8, 17, 26, 35):  # of the 50 that the two runs have together
        killed_at([*command, f"runs={runs}"], runs, epochs, chance.uniform(0, 0.5))
    done = subprocess.run([*command, f"runs={runs}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = records(tmp_path / "whole"), records(runs)
    assert one.keys() == two.keys()
    for name, found in one.items():
        assert two[name].status == "done" and two[name].metrics == found.metrics
        assert lines(two[name].folder) == lines(found.folder)
    assert len(record.read(runs, "deltas-smoke").trials) == 2


@pytest.mark.slow
def test_a_search_whose_driver_is_killed_ends_with_the_same_records(ray: None, data: list[str], tmp_path: Path) -> None:
    """One trial at a time: with all threads, a trial has the machine to itself."""
    content = {"title": "rates", "axes": {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
    content["search"] = {"sampler": "random", "trials": 8, "pruner": "median"}
    arguments = [definition(tmp_path, content, "rates"), *data, *SHORT, "train.threads=0"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    counts = tune(sweep.read([*arguments, f"runs={whole}"]), QUIET)
    assert counts["done"] >= 4 and counts["done"] + counts["pruned"] == 8

    command = [sys.executable, "-m", "sanpose.tune", *arguments, f"runs={killed}"]
    killed_at(command, killed, epochs_of(whole) * 2 // 3, 0.0)
    ended = {r.id for r in records(killed).values() if r.status in ("done", "pruned")}
    assert 4 <= len(ended) < 8
    tune(sweep.read([*arguments, f"runs={killed}"]), QUIET)

    one, two = (record.read(runs, "rates-smoke").trials for runs in (whole, killed))
    assert [(t.number, t.values, t.run) for t in one] == [(t.number, t.values, t.run) for t in two]
    before, after = records(whole), records(killed)
    for name, found in before.items():
        assert (after[name].status, after[name].metrics) == (found.status, found.metrics)
        assert lines(after[name].folder) == lines(found.folder)
    again = [name for name in ended if json.loads((killed / name / "provenance.json").read_text())["starts"]]
    assert again == [], "what had ended is not begun again"


def first_run(arguments: list[str]) -> str:
    """The id of the run of a sweep's first trial."""
    return identity.run_id(sweep.read(arguments).config({"model.delta_init": 0.0}, 0))


def training(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A sweep, started by itself, whose run in the folder has a checkpoint."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not any((folder / "checkpoints").glob("epoch-*")):
        assert process.poll() is None
        time.sleep(0.1)
    return process


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(data: list[str], tmp_path: Path) -> None:
    more = (*data, "train.epochs=30", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path / 'runs'}")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    folder = tmp_path / "runs" / first_run([definition(tmp_path), *more])
    process = training(command, folder)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert ledger.read(folder).status == "interrupted"
    assert psutil.wait_procs(below, 30)[1] == []
    assert checkpoints.newest(folder / "checkpoints")[0] is not None
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    notes = [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]
    assert any(n.startswith("resumes from checkpoint") for n in notes)
    assert ledger.read(folder).extra["bill"]["wall_s"] > 0


@pytest.mark.slow
def test_rays_head_is_killed_the_driver_ends_and_the_same_command_goes_on(data: list[str], tmp_path: Path) -> None:
    more = (*data, "train.epochs=40", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path / 'runs'}")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    folder = tmp_path / "runs" / first_run([definition(tmp_path), *more])
    process = training(command, folder)
    below = psutil.Process(process.pid).children(recursive=True)
    for part in below:
        if part.name() == "gcs_server":
            part.kill()
    assert process.wait(120) != 0
    assert psutil.wait_procs(below, 150)[1] == []  # Ray's agents look for their parent now and then
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {r.status for r in records(tmp_path / "runs").values()} == {"done"}
    notes = [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]
    assert any(n.startswith("resumes from checkpoint") for n in notes)
