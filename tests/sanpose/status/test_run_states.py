"""A run's state, from its record, its lock and its journal."""

from __future__ import annotations

import fcntl
import json
import signal
import time
from pathlib import Path

import pytest

from sanpose.runs import ledger
from sanpose.status.states import plain
from sanpose.status.watch import Watcher, snapshot
from sweeps.files import write_atomic
from tests.sanpose.run_records import (
    EPOCHS,
    after,
    held_elsewhere,
    journal,
    measured,
    within,
    write_run,
    write_sweep,
)
from tests.sanpose.status.looking import only, opened, shown, unreadable

A, B, C, D = (letter * 10 for letter in "abcd")


def test_records_that_ended_say_how(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 61.5, bill={"wall_s": 90.0, "images_per_s": 120.0})
    write_run(tmp_path, B, "failed", reason="out of memory")
    write_run(tmp_path, C, "pruned", reason="ASHA at epoch 2")
    write_run(tmp_path, D, "interrupted")
    done, failed, pruned, interrupted = snapshot(tmp_path).loose
    assert (done.state, done.figures["mpjpe_mm"], done.measured, done.progress) == ("done", 61.5, "final", 1.0)
    assert (done.wall_s, done.images_per_s, done.epoch) == (90.0, 120.0, EPOCHS)
    assert (failed.state, failed.reason) == ("failed", "out of memory")
    assert (pruned.state, pruned.reason) == ("pruned", "ASHA at epoch 2")
    assert (interrupted.state, interrupted.wall_s) == ("interrupted", 600.0), "without a bill: from start to end"


def test_a_run_is_running_while_another_process_holds_it_and_stopped_once_that_is_killed(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    journal(folder, after(1), within(1, 50, 0.125, eta_s=60.0))
    watcher = Watcher(tmp_path)
    with held_elsewhere(folder) as process:
        (run,) = watcher.refresh().loose
        assert run.state == "running"
        assert (run.epoch, run.epochs, run.step, run.steps) == (2, EPOCHS, 50, 100)
        assert run.progress == pytest.approx(1.5 / EPOCHS)
        assert run.ends_at == pytest.approx(time.time() + 60, abs=5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (run,) = watcher.refresh().loose
    assert run.state == "stopped"
    assert run.reason is not None and "process is gone" in run.reason
    assert run.ends_at is None, "nobody works on it"


def test_the_lock_file_is_never_made_and_a_free_lock_is_tried_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    watcher = Watcher(tmp_path)
    assert watcher.refresh().loose[0].state == "stopped"
    assert not (folder / ".lock").exists()
    (folder / ".lock").touch()
    before = (folder / ".lock").stat()
    with opened() as files:
        assert watcher.refresh().loose[0].state == "stopped"
    assert files == [], "a trainer about to start must not find its lock taken by us"
    with held_elsewhere(folder):
        journal(folder, within(0, 1))
        assert watcher.refresh().loose[0].state == "running", "tried again once something was written"
    journal(folder, within(0, 2))
    assert watcher.refresh().loose[0].state == "stopped"
    assert (folder / ".lock").stat().st_ino == before.st_ino


def test_looking_at_a_run_does_not_keep_its_lock(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    (folder / ".lock").touch()
    snapshot(tmp_path)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_of_another_machine_is_not_called_dead(tmp_path: Path) -> None:
    write_run(tmp_path, A, "running", host="node17")
    run = only(tmp_path)
    assert (run.state, run.reason) == ("unverified", "running on node17, unverified")


def test_the_last_start_says_which_machine(tmp_path: Path) -> None:
    write_run(tmp_path, A, "running", host="node17")
    write_run(tmp_path, A, "running")  # continued here
    assert only(tmp_path).state == "stopped"


def test_a_run_without_result_has_begun(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    (folder / "result.json").unlink()
    run = only(tmp_path)
    assert (run.state, run.epochs, run.cell) == ("stopped", EPOCHS, "c")


def test_lines_of_the_journal(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "interrupted")
    journal(folder, measured(0, 438.0, "untrained"), within(0, 100, 0.5), after(1, 0.25, delta=0.5))
    run = only(tmp_path)
    assert (run.measured, run.figures["mpjpe_mm"]) == ("untrained", 438.0)
    assert (run.epoch, run.loss, run.delta, run.images_per_s) == (1, 0.25, 0.5, 80.0), "the epoch's line knows better"
    journal(folder, measured(1, 90.0), within(1, 10, 0.125, delta=0.75))
    run = only(tmp_path)
    assert (run.measured, run.figures["mpjpe_mm"]) == ("evaluation", 90.0)
    assert (run.epoch, run.loss, run.delta) == (2, 0.125, 0.75)


def test_a_torn_last_line_is_left_for_later(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "interrupted")
    journal(folder, within(0, 1, 0.5))
    line = json.dumps(within(0, 2, 0.25)) + "\n"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line[:40])
    watcher = Watcher(tmp_path)
    assert (watcher.refresh().loose[0].loss, watcher.refresh().broken) == (0.5, ())
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line[40:])
    # An interrupted run's journal is looked at when its record changes.
    ledger.write_result(folder, {"status": "interrupted", "ended": "2026-01-01T11:00:00+00:00"})
    assert watcher.refresh().loose[0].loss == 0.25


def test_a_journal_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    with held_elsewhere(folder):
        journal(folder, after(1), within(1, 50), measured(2, 80.0))
        watcher = Watcher(tmp_path)
        watcher.refresh()
        write_atomic(folder / "metrics.jsonl", json.dumps(after(1, 0.5)) + "\n")
        (run,) = watcher.refresh().loose
    assert (run.epoch, run.step, run.figures) == (1, None, {}), "it continues from a checkpoint"


def test_the_lines_wanted_are_found_far_from_the_end(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "interrupted")
    journal(folder, within(0, 7, 0.5))
    big = measured(1, 50.0)
    big["figures"]["h36m"]["padding"] = "x" * 40_000
    journal(folder, big, big)
    assert (only(tmp_path).step, only(tmp_path).figures["mpjpe_mm"]) == (7, 50.0)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("result.json", "{", "cannot be read as JSON"),
        ("result.json", "[]", "not a JSON object"),
        ("result.json", '{"schema": 1, "id": "other"}', "says it is run 'other'"),
        ("metrics.jsonl", "nonsense\n", "not JSON"),
        ("provenance.json", "{", "cannot be read as JSON"),
    ],
)
def test_broken_records_are_listed_and_nothing_else_is_lost(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    write_run(tmp_path, A, "done", 60.0)
    (write_run(tmp_path, B, "running") / file).write_text(content)
    found = snapshot(tmp_path)
    assert [run.state for run in found.loose] == ["done", "broken"]
    (broken,) = found.broken
    assert broken.path == tmp_path / B
    assert message in broken.reason
    assert message in shown(tmp_path)


def test_a_broken_record_that_is_mended_is_read_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    watcher = Watcher(tmp_path)
    (folder / "result.json").write_text("{")
    assert watcher.refresh().loose[0].state == "broken"
    write_run(tmp_path, A, "done", 60.0)
    assert watcher.refresh().loose[0].state == "done"


@pytest.mark.parametrize("file", ["result.json", "config.yaml", "metrics.jsonl"])
def test_a_file_that_cannot_be_looked_at_is_the_trouble_of_one_run(tmp_path: Path, file: str) -> None:
    write_run(tmp_path, A, "done", 60.0)
    folder = write_run(tmp_path, B, "running")
    (folder / "result.json").unlink()
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(file)  # in a circle
    (tmp_path / C).symlink_to(C)
    watcher = Watcher(tmp_path)
    for _ in range(2):
        found = watcher.refresh()
        assert [run.state for run in found.loose] == ["done", "broken", "broken"]
        assert [b.path.name for b in found.broken] == [B, C]
        assert f"{file}: cannot be read" in found.broken[0].reason
    (folder / file).unlink()
    write_run(tmp_path, B, "done", 50.0)
    assert watcher.refresh().loose[1].figures["mpjpe_mm"] == 50.0


def test_a_run_of_which_only_the_journal_cannot_be_looked_at_has_its_figures(tmp_path: Path) -> None:
    (write_run(tmp_path, A, "done", 60.0) / "metrics.jsonl").symlink_to("metrics.jsonl")
    run = only(tmp_path)
    assert (run.state, run.figures["mpjpe_mm"]) == ("done", 60.0)
    assert run.problem is not None and "symbolic links" in run.problem


def test_another_s_folder_is_the_trouble_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # nobody may not go through the folders above
    tmp_path.chmod(0o755)
    runs = Path("runs")
    write_run(runs, A, "done", 60.0)
    write_run(runs, B, "done", 50.0)
    write_sweep(runs, "delta", [("delta 0", 0, A), ("delta 1", 0, B)])
    write_sweep(runs, "hidden", [])
    watcher = Watcher(runs)
    assert watcher.refresh().broken == ()
    with unreadable(runs / B, runs / "sweeps" / "hidden"):
        found, (records, broken) = watcher.refresh(), ledger.read_all(runs)
        assert snapshot(runs).sweeps == found.sweeps
    assert [trial.run.state for trial in found.sweeps[0].trials] == ["done", "broken"]
    assert [b.path for b in found.broken] == [runs / "sweeps" / "hidden" / "sweep.json", runs / B]
    assert all("Permission denied" in b.reason for b in found.broken)
    assert [r.id for r in records] == [A] and [b.path.parent.name for b in broken] == [B]
    assert [trial.run.state for trial in watcher.refresh().sweeps[0].trials] == ["done", "done"]


@pytest.mark.parametrize("depth", [200, 100_000])
def test_a_line_that_is_nested_too_deep_is_named(tmp_path: Path, depth: int) -> None:
    folder = write_run(tmp_path, A, "done", 60.0)
    (folder / "metrics.jsonl").write_text(f'{{"kind": "train", "loss": {"[" * depth}{"]" * depth}}}\n')
    run = only(tmp_path)
    assert run.state == "done" and run.problem is not None and "nested too deep" in run.problem


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), pytest.param(10**400, id="huge"), "60", [60.0]])
def test_what_is_no_finite_number_is_unknown(tmp_path: Path, value: object) -> None:
    folder = write_run(tmp_path, A, "running")
    result = json.loads((folder / "result.json").read_text())
    result["bill"] = {"wall_s": value, "images_per_s": value}
    (folder / "result.json").write_text(json.dumps(result))
    names = ("loss", "delta", "eta_s", "images_per_s", "step", "steps", "epoch")
    line = measured(1, 60.0)
    line["figures"]["h36m"]["mpjpe"]["mean_over_frames"] = value
    journal(folder, within(0, 50) | dict.fromkeys(names, value), line)
    with held_elsewhere(folder):
        run = only(tmp_path)
        text = json.dumps(plain(snapshot(tmp_path)), allow_nan=False)
        assert "running" in shown(tmp_path)
    assert json.loads(text)["loose"][0]["mpjpe_mm"] is None
    assert {getattr(run, name) for name in ("loss", "delta", "ends_at", "images_per_s", "step", "wall_s")} == {None}
