"""The status tells the truth about every run, also of those whose process was killed, and reads only what changed."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sanpose.cli.status import status
from sanpose.errors import UserError
from sanpose.status.eta import ends_at
from sanpose.status.follow import Followed
from sanpose.status.states import RunState, plain, run_plain
from sanpose.status.terminal import SHOWN, to_terminal
from sanpose.status.watch import Watcher, snapshot
from sweeps import ledger, record
from sweeps.files import write_atomic
from tests.sanpose.run_records import (
    EPOCHS,
    after,
    held,
    held_elsewhere,
    journal,
    measured,
    within,
    write_run,
    write_sweep,
)

A, B, C, D, E = (letter * 10 for letter in "abcde")


def only(runs: Path) -> RunState:
    (run,) = snapshot(runs).loose
    return run


def shown(runs: Path, *, everything: bool = False) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(to_terminal(snapshot(runs), everything=everything))
    return console.export_text()


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
        ledger.write_atomic(folder / "metrics.jsonl", json.dumps(after(1, 0.5)) + "\n")
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
    ("file", "content", "told"),
    [
        ("result.json", "{", "cannot be read as JSON"),
        ("result.json", "[]", "not a JSON object"),
        ("result.json", '{"schema": 1, "id": "other"}', "says it is run 'other'"),
        ("metrics.jsonl", "nonsense\n", "not JSON"),
        ("provenance.json", "{", "cannot be read as JSON"),
    ],
)
def test_broken_records_are_listed_and_nothing_else_is_lost(tmp_path: Path, file: str, content: str, told: str) -> None:
    write_run(tmp_path, A, "done", 60.0)
    (write_run(tmp_path, B, "running") / file).write_text(content)
    found = snapshot(tmp_path)
    assert [run.state for run in found.loose] == ["done", "broken"]
    (broken,) = found.broken
    assert broken.path == tmp_path / B
    assert told in broken.reason
    assert told in shown(tmp_path)


def test_a_broken_record_that_is_mended_is_read_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    watcher = Watcher(tmp_path)
    (folder / "result.json").write_text("{")
    assert watcher.refresh().loose[0].state == "broken"
    write_run(tmp_path, A, "done", 60.0)
    assert watcher.refresh().loose[0].state == "done"


def test_a_sweep_s_trials_its_shared_runs_and_the_loose_ones(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    write_run(tmp_path, D, "done", 70.0)
    write_sweep(tmp_path, "delta", [("delta 0", 0, A), ("delta 0", 1, B)])
    write_sweep(tmp_path, "table1", [("cell c", 0, A)], ended="2026-01-01T11:00:00+00:00")
    found = snapshot(tmp_path)
    delta, table1 = found.sweeps
    assert [trial.run.state for trial in delta.trials] == ["done", "waiting"]
    assert delta.trials[0].run is table1.trials[0].run
    assert [run.id for run in found.loose] == [D]
    assert (delta.state, table1.state) == ("running", "ended")
    assert delta.counts == {"waiting": 1, "done": 1}


@pytest.mark.parametrize(
    ("driver", "state"),
    [
        ({"host": "node17", "pid": 1, "started": None}, "unverified"),
        ({"host": None, "pid": 2**22 + 1, "started": None}, "stopped"),
        ({"host": None, "pid": os.getpid(), "started": "2001-01-01T00:00:00+00:00"}, "stopped"),  # the id was reused
        (None, "unknown"),
    ],
)
def test_a_sweep_without_its_driver(tmp_path: Path, driver: dict[str, object] | None, state: str) -> None:
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)], driver=driver)
    (sweep,) = snapshot(tmp_path).sweeps
    assert sweep.state == state


def test_one_sweep_alone(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    write_run(tmp_path, B, "done", 70.0)
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    write_sweep(tmp_path, "other", [("x", 0, B)])
    found = snapshot(tmp_path, "delta")
    assert [sweep.name for sweep in found.sweeps] == ["delta"]
    assert found.loose == ()
    with pytest.raises(UserError, match="did you mean 'delta'"):
        snapshot(tmp_path, "detla")


def test_a_broken_sweep_is_listed(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    folder = write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    (folder / "sweep.json").write_text("{")
    found = snapshot(tmp_path)
    assert [b.path for b in found.broken] == [folder / "sweep.json"]
    assert [run.id for run in found.loose] == [A]


def test_a_trial_names_a_run_and_not_a_path(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "delta", [])
    record.append_trial(folder, record.Trial(0, "x", {}, 0, "../../etc"))
    (broken,) = snapshot(tmp_path).broken
    assert "not the id of a run" in broken.reason


def test_a_grid_shows_what_has_not_begun_and_a_point_tried_again_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path, A, "failed")
    axes = [{"name": "model.delta_init", "values": [0.0, 0.1]}, {"name": "input", "values": ["square"]}]
    folder = write_sweep(tmp_path, "delta", [], axes=axes, seeds=2, search=None)
    for number in (0, 3):  # the second with --retry-failed
        values = {"model.delta_init": 0.1, "input": "square"}
        record.append_trial(folder, record.Trial(number, "delta_init 0.1, input square, seed 1", values, 1, A))
    (sweep,) = snapshot(tmp_path).sweeps
    assert [(t.point, t.seed, t.run.state) for t in sweep.trials] == [
        ("delta_init 0.1, input square", 1, "failed"),
        ("delta_init 0, input square", 0, "waiting"),
        ("delta_init 0.1, input square", 0, "waiting"),
        ("delta_init 0, input square", 1, "waiting"),
    ]
    assert sweep.counts == {"failed": 1, "waiting": 3}


def test_a_search_says_how_many_it_will_draw(tmp_path: Path) -> None:
    write_sweep(tmp_path, "tpe", [("lr 0.1", 0, A)], search={"sampler": "tpe"}, planned=20, axes=[], seeds=1)
    (sweep,) = snapshot(tmp_path).sweeps
    assert (len(sweep.trials), sweep.to_draw, sweep.counts) == (1, 19, {"waiting": 20})


def test_a_point_that_a_search_draws_again_is_a_trial_of_its_own(tmp_path: Path) -> None:
    """Four trials over two runs: none is left to be drawn; one that was tried again counts once."""
    write_run(tmp_path, A, "done", 60.0)
    write_run(tmp_path, B, "done", 61.0)
    head = {"search": {"sampler": "random"}, "planned": 4, "axes": [], "seeds": 1}
    folder = write_sweep(tmp_path, "random", [("lr 1", 0, A), ("lr 2", 0, B), ("lr 1", 0, A)], **head)
    (sweep,) = snapshot(tmp_path).sweeps
    assert (sweep.to_draw, sweep.counts) == (1, {"waiting": 1, "done": 3})
    record.append_trial(folder, record.Trial(3, "lr 2", {"model.delta_init": "lr 2"}, 0, B))
    record.append_trial(folder, record.Trial(4, "lr 2", {"model.delta_init": "lr 2"}, 0, B, repeats=3))
    (sweep,) = snapshot(tmp_path).sweeps
    assert (sweep.to_draw, sweep.counts, [t.number for t in sweep.trials]) == (0, {"done": 4}, [0, 1, 2, 4])


def test_two_points_of_a_grid_may_stand_for_one_run_which_takes_its_time_once(tmp_path: Path) -> None:
    write_run(tmp_path, A, "running")
    journal(tmp_path / A, within(1, 50))
    axes = [{"name": "model.delta_init", "values": ["zero", "none", "one"]}]
    begun = [("zero", 0, A), ("none", 0, A)]
    write_sweep(tmp_path, "delta", begun, axes=axes, seeds=1, search=None)
    with held(tmp_path / A):
        (sweep,) = snapshot(tmp_path).sweeps
    assert [(t.number, t.run.state) for t in sweep.trials] == [(0, "running"), (1, "running"), (None, "waiting")]
    run = sweep.trials[0].run
    assert sweep.ends_at == ends_at([run, RunState("", "waiting")]), "one runs, not two side by side"


def test_when_a_sweep_ends() -> None:
    done = [RunState(name, "done", wall_s=100.0) for name in "ab"]
    running = RunState("c", "running", ends_at=1050.0)
    waiting = [RunState(name, "waiting") for name in "de"]
    assert ends_at([*done, running, *waiting]) == 1250.0
    assert ends_at([*done, running, RunState("f", "running", ends_at=1050.0), *waiting]) == 1150.0, "two side by side"
    half = RunState("g", "stopped", progress=0.5)
    assert ends_at([*done, running, half]) == 1100.0
    begun = RunState("h", "running", started="1970-01-01T00:16:40+00:00")
    assert ends_at([*done, begun]) == 1100.0, "without its own estimate it takes as long as the others"
    assert ends_at([*done, *waiting]) is None, "nobody works"
    assert ends_at([begun, *waiting]) is None, "no time is known"


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files opened below temporary folders while the block runs."""
    files: list[str] = []
    listening = [True]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "open" and isinstance(arguments[0], str | os.PathLike):
            files.append(str(arguments[0]))

    sys.addaudithook(hook)  # cannot be taken away again, only told to be quiet
    yield files
    listening.clear()


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    for number in range(20):
        journal(write_run(tmp_path, f"{number:010d}", "done", 60.0), after(EPOCHS), measured(EPOCHS, 60.0, "final"))
    running = write_run(tmp_path, A, "running")
    journal(running, *(within(0, step) for step in range(1, 100)))
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    with held_elsewhere(running):
        watcher = Watcher(tmp_path)
        first = watcher.refresh()
        with opened() as files:
            second = watcher.refresh()
        assert [file for file in files if str(tmp_path) in file] == [str(running / ".lock")]
        assert all(a is b for a, b in zip(first.loose, second.loose, strict=True))
        journal(running, within(1, 1, 0.0625))
        with opened() as files:
            third = watcher.refresh()
        assert {Path(f).name for f in files if str(tmp_path) in f} == {"metrics.jsonl", ".lock"}
        assert third.sweeps[0].trials[0].run.loss == 0.0625
    write_run(tmp_path, "0" * 10, "done", 55.0)
    assert watcher.refresh().loose[0].figures["mpjpe_mm"] == 55.0


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    write_run(tmp_path, B, "failed")
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    (tmp_path / C).mkdir()
    result = CliRunner().invoke(status, ["--runs", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert set(told) == {"schema", "at", "runs", "sweeps", "loose", "broken", "jobs"}
    assert told["schema"] == 1
    (sweep,) = told["sweeps"]
    assert set(sweep) == {"name", "title", "state", "reason", "dashboard", "counts", "eta_s", "trials"}
    (trial,) = sweep["trials"]
    assert set(trial) == {"number", "label", "values", "seed", "run"}
    keys = (run_plain.__doc__ or "").split("`")[1::2]
    assert set(trial["run"]) == set(keys) == set(told["loose"][0])
    assert trial["run"]["mpjpe_mm"] == 60.0
    assert "config.yaml: is missing" in told["broken"][0]["reason"]


def test_the_terminal_shows_trouble_first_and_folds_what_is_done(tmp_path: Path) -> None:
    for number in range(SHOWN + 5):
        write_run(tmp_path, f"{number:010d}", "done", 60.0)
    write_run(tmp_path, F := "f" * 10, "failed", reason="out \x1b[31mof\nmemory [bold]x[/]")
    text = shown(tmp_path)
    assert text.index(F) < text.index(f"{SHOWN + 4:010d}")
    assert "and 5 done more; --all shows them" in text
    assert "out \N{REPLACEMENT CHARACTER}[31mof memory [bold]x[/]" in text, "a reason commands nothing"
    assert "--all" not in shown(tmp_path, everything=True)


def test_no_runs_and_no_folder(tmp_path: Path) -> None:
    assert "no runs in" in shown(tmp_path)
    assert plain(snapshot(tmp_path))["sweeps"] == []
    with pytest.raises(UserError, match="no folder of runs"):
        snapshot(tmp_path / "none")


def test_nothing_heavy_is_imported() -> None:
    import subprocess

    heavy = {"torch", "ray", "hydra", "omegaconf", "optuna", "matplotlib", "numpy"}
    code = "import sys, sanpose.cli.status, sanpose.status.watch, sanpose.status.terminal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not heavy & set(loaded)


def test_a_trial_that_could_not_be_begun_has_failed_with_its_reason(tmp_path: Path) -> None:
    axes = [{"name": "x", "values": [0, 1, 2]}]
    folder = write_sweep(tmp_path, "delta", [], axes=axes, seeds=1, search=None)
    for number, reason in ((0, "x=0 cannot be"), (1, "x=1 cannot be")):
        record.append_trial(folder, record.Trial(number, f"x {number}", {"x": number}, 0, "", reason))
    watcher = Watcher(tmp_path)
    (sweep,) = watcher.refresh().sweeps
    assert [(t.point, t.run.state, t.run.reason) for t in sweep.trials] == [
        ("x 0", "failed", "x=0 cannot be"),
        ("x 1", "failed", "x=1 cannot be"),
        ("x 2", "waiting", None),
    ]
    assert sweep.counts == {"failed": 2, "waiting": 1}
    write_run(tmp_path, A, "done", 60.0)
    record.append_trial(folder, record.Trial(2, "x 1", {"x": 1}, 0, A))  # the other way round, it could be
    (sweep,) = watcher.refresh().sweeps
    assert [(t.point, t.run.state) for t in sweep.trials] == [("x 0", "failed"), ("x 1", "done"), ("x 2", "waiting")]


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = Followed(path)
    assert not file.changed() and file.lines() == []
    path.write_bytes(b"one\ntwo\nthr")
    assert file.changed() and file.lines() == [b"one", b"two"]
    assert not file.changed()
    with path.open("ab") as end:
        end.write(b"ee\nfour\n")
    assert file.changed() and file.lines() == [b"three", b"four"]
    write_atomic(path, b"another\nfile, and a longer one\n")
    assert file.changed() and file.offset == 0 and file.lines() == [b"another", b"file, and a longer one"]
    path.unlink()
    assert file.changed() and file.lines() == [] and file.offset == 0


def test_the_end_of_a_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"line %03d\n" % number for number in range(100)))
    for last, first in ((20, 98), (18, 99), (17, 99), (900, 0), (5000, 0)):
        file = Followed(path)
        assert file.changed() and file.lines(last)[0] == b"line %03d" % first, last
        assert file.offset == 900 and file.lines(last) == []
