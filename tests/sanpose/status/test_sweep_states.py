"""A sweep's state: its trials, its driver, when it will end."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sanpose.claims import record as claims_record
from sanpose.claims.auto import AutoSeeds
from sanpose.claims.record import ClaimLine, ClaimsRecord
from sanpose.errors import UserError
from sanpose.runs.ledger import Broken
from sanpose.status.eta import ends_at
from sanpose.status.states import RunState, plain
from sanpose.status.terminal import to_terminal
from sanpose.status.watch import Watcher, snapshot
from sweeps import record
from tests.sanpose.run_records import (
    held,
    journal,
    within,
    write_run,
    write_sweep,
)

A, B, C, D, E = (letter * 10 for letter in "abcde")


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
    record.append_trial(folder, record.TrialRecord(0, "x", {}, 0, "../../etc"))
    (broken,) = snapshot(tmp_path).broken
    assert "not the id of a run" in broken.reason


def test_a_grid_shows_what_has_not_begun_and_a_point_tried_again_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path, A, "failed")
    axes = [{"name": "model.delta_init", "values": [0.0, 0.1]}, {"name": "input", "values": ["square"]}]
    folder = write_sweep(tmp_path, "delta", [], axes=axes, seeds=2, search=None)
    for number in (0, 3):  # the second with --retry-failed
        values = {"model.delta_init": 0.1, "input": "square"}
        record.append_trial(folder, record.TrialRecord(number, "delta_init 0.1, input square, seed 1", values, 1, A))
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
    record.append_trial(folder, record.TrialRecord(3, "lr 2", {"model.delta_init": "lr 2"}, 0, B))
    record.append_trial(folder, record.TrialRecord(4, "lr 2", {"model.delta_init": "lr 2"}, 0, B, repeats=3))
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


def test_a_trial_that_could_not_be_begun_has_failed_with_its_reason(tmp_path: Path) -> None:
    axes = [{"name": "x", "values": [0, 1, 2]}]
    folder = write_sweep(tmp_path, "delta", [], axes=axes, seeds=1, search=None)
    for number, reason in ((0, "x=0 cannot be"), (1, "x=1 cannot be")):
        record.append_trial(folder, record.TrialRecord(number, f"x {number}", {"x": number}, 0, "", reason))
    watcher = Watcher(tmp_path)
    (sweep,) = watcher.refresh().sweeps
    assert [(t.point, t.run.state, t.run.reason) for t in sweep.trials] == [
        ("x 0", "failed", "x=0 cannot be"),
        ("x 1", "failed", "x=1 cannot be"),
        ("x 2", "waiting", None),
    ]
    assert sweep.counts == {"failed": 2, "waiting": 1}
    write_run(tmp_path, A, "done", 60.0)
    record.append_trial(folder, record.TrialRecord(2, "x 1", {"x": 1}, 0, A))  # the other way round, it could be
    (sweep,) = watcher.refresh().sweeps
    assert [(t.point, t.run.state) for t in sweep.trials] == [("x 0", "failed"), ("x 1", "done"), ("x 2", "waiting")]


def test_a_sweep_that_asks_for_too_much_is_broken(tmp_path: Path) -> None:
    axes = [{"name": name, "values": list(range(100))} for name in "abcdefgh"]
    write_sweep(tmp_path, "axes", [("x", 0, A)], axes=axes, seeds=1, search=None)
    write_sweep(tmp_path, "seeds", [("x", 0, A)], axes=[], seeds=1_000_000_000, search=None)
    write_sweep(tmp_path, "planned", [("x", 0, A)], axes=[], seeds=1, search={}, planned=1_000_000_000)
    found = snapshot(tmp_path)
    assert [b.path.parent.name for b in found.broken] == ["axes", "seeds"]
    assert [(sweep.name, sweep.counts) for sweep in found.sweeps] == [("planned", {"waiting": 1})]


def test_a_sweep_that_has_lost_its_head_is_listed(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    folder = write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    (folder / "sweep.json").unlink()
    (folder.parent / "new").mkdir()
    assert snapshot(tmp_path).broken == (Broken(folder, "sweep.json is missing"),)
    assert snapshot(tmp_path, "delta").broken == (Broken(folder, "sweep.json is missing"),)


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "\0"])
def test_a_trial_may_name_a_run_that_no_folder_can_be(tmp_path: Path, name: str) -> None:
    write_sweep(tmp_path, "delta", [("delta 0", 0, name)])
    (sweep,) = snapshot(tmp_path).sweeps
    assert sweep.trials[0].run.state in ("waiting", "broken")


def test_a_process_whose_number_cannot_be_is_gone(tmp_path: Path) -> None:
    for pid in (-1, 10**30):
        write_sweep(tmp_path, "delta", [], driver={"host": None, "pid": pid, "started": None})
        assert snapshot(tmp_path).sweeps[0].state == "stopped"


def test_the_claims_of_a_sweep_with_seeds_auto_are_shown_and_followed(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "table1", [("ablation a", 0, A)])
    watcher = Watcher(tmp_path)
    assert watcher.refresh().sweeps[0].claims is None
    line = ClaimLine("a → b", "2D data: MPII", "open", 3, -20.5, 4.2, 0.06, 0.12, 2)
    content = ClaimsRecord(AutoSeeds(hours=6.0), (line,), 6, 24, 12, 0.5)
    claims_record.write(folder, content)
    now = watcher.refresh()
    assert now.sweeps[0].claims == content
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(to_terminal(now))
    text = console.export_text()
    assert "claims: 0 decided, 1 open; 12 of 24 runs saved, about 30 min of training (at most 12 seeds," in text
    assert "a → b  2D data: MPII      3      -20.50    0.1200  open: about 2 more seeds" in text
    (sweep,) = plain(now)["sweeps"]  # type: ignore[misc]
    assert sweep["claims"]["claims"][0]["text"] == "open: about 2 more seeds"
    claims_record.write(folder, replace(content, claims=(replace(line, state="better"),)))
    followed = watcher.refresh().sweeps[0].claims
    assert followed is not None and followed.claims[0].text == "decided: better"
