"""Sweeps, the shipped ones too, from end to end: what is trained, taken from the ledger, pruned, recorded as failed."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from sanpose.config.compose import compose, configs_dir
from sanpose.runs import checkpoints
from sanpose.training.run import train
from sanpose.tuning import plan, sweep
from sanpose.tuning.run import tune
from sweeps import record
from tests.sanpose import tiny
from tests.sanpose.tuning.small import QUIET, SHORT, definition, lines, records


def test_a_warm_process_trains_as_ray_train_does_to_the_bit(ray: None, data: list[str], tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    counts = tune(sweep.read([definition(tmp_path), *data, *SHORT, f"runs={warm}"]), QUIET, keep=("all",))
    assert counts == {"done": 2}
    chosen = compose([*data, *SHORT, "ablation=c", "model.delta_init=0.5", f"runs={tmp_path / 'train'}"])
    alone = train(chosen, QUIET)
    there = records(warm)[alone.id]
    assert lines(there.folder) == lines(alone.folder) and there.metrics == alone.metrics
    weights = [checkpoints.load_weights(checkpoints.choose(r.folder / "checkpoints", "last")) for r in (there, alone)]
    assert all(weights[0][k].equal(weights[1][k]) for k in weights[1])
    assert there.extra["macs"] and there.extra["bill"]["wall_s"] > 0 and there.extra["bill"]["images"] == 3 * 32


def test_what_has_been_run_is_taken_from_the_ledger_in_any_sweep(ray: None, data: list[str], tmp_path: Path) -> None:
    runs = f"runs={tmp_path / 'runs'}"
    other = {"axes": {"ablation": ["c"]}, "title": "one cell"}
    assert tune(sweep.read([definition(tmp_path, other, "cells"), *data, *SHORT, runs]), QUIET) == {"done": 1}
    deltas = [definition(tmp_path), *data, *SHORT, runs]
    found = plan.make(sweep.read(deltas))
    assert [row.action for row in found.rows] == ["take", "train"]
    assert found.rows[1].estimate.basis.startswith("measured") and found.hours > 0
    assert tune(sweep.read(deltas), QUIET) == {"taken": 1, "done": 1}
    assert tune(sweep.read(deltas), QUIET) == {}, "the study knows them all"
    gone = found.rows[1].run
    before = records(tmp_path / "runs")[gone].metrics
    shutil.rmtree(tmp_path / "runs" / gone)
    assert tune(sweep.read(deltas), QUIET) == {"done": 1}, "a run that was removed is run again"
    assert records(tmp_path / "runs")[gone].metrics == before
    trials = {name: record.read(tmp_path / "runs", f"{name}-smoke").trials for name in ("cells", "deltas")}
    assert trials["cells"][0].run == trials["deltas"][0].run and len(records(tmp_path / "runs")) == 2


def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(ray: None, data: list[str], tmp_path: Path) -> None:
    rates = {"title": "rates", "axes": {"train.learning_rate": [0.9, 0.001]}}
    arguments = [
        definition(tmp_path, rates, "rates"),
        *data,
        *SHORT,
        f"runs={tmp_path / 'runs'}",
        "model.attention=none",
    ]
    poison = "train.precision=fp32"
    path = tiny.write(tmp_path, "h36m")
    import h5py

    with h5py.File(path, "a") as file:  # the last image, of a training sample only
        ends = file["images/end"][()]
        kept = file["images/bytes"][ends[20] : ends[21]]
        file["images/bytes"][ends[20] : ends[21]] = 0
    arguments = [*arguments, poison, f"data.sources.h36m.file={path}"]
    assert tune(sweep.read(arguments), QUIET) == {"failed": 2}
    failed = records(tmp_path / "runs")
    assert all(r.status == "failed" and "cannot be decoded" in str(r.reason) for r in failed.values())
    assert tune(sweep.read(arguments), QUIET) == {"failed before": 2}, "failed trials are left alone"
    other = sweep.read([definition(tmp_path, rates, "others"), *arguments[1:]])
    assert tune(other, QUIET) == {"failed": 2}, "what failed in another sweep is not trained, and has not gone well"
    with h5py.File(path, "a") as file:
        file["images/bytes"][ends[20] : ends[21]] = kept
    assert tune(sweep.read(arguments), QUIET, retry_failed=True) == {"done": 2}
    assert {r.status for r in records(tmp_path / "runs").values()} == {"done"}


def test_impossible_points_fail_and_the_others_are_run(ray: None, data: list[str], tmp_path: Path) -> None:
    axes = {"model.attention": ["none", "position"], "model.delta_init": [0.1, 1.0]}
    arguments = [definition(tmp_path, {"title": "attention", "axes": axes}), *data, *SHORT, f"runs={tmp_path / 'runs'}"]
    said = Console(file=io.StringIO(), width=200)
    assert tune(sweep.read([*arguments, "train.epochs=1"]), said) == {"failed": 2, "done": 2}
    assert said.file.getvalue().count("2 of 4 checked points cannot be run") == 1
    trials = record.read(tmp_path / "runs", "deltas-smoke").trials
    assert ["leaves model.delta_init" in (trial.reason or "") for trial in trials] == [True, True, False, False]


def test_several_workers_go_through_ray_train_with_the_same_losses(ray: None, data: list[str], tmp_path: Path) -> None:
    folders = []
    for workers in (1, 2):
        runs = tmp_path / str(workers)
        arguments = [definition(tmp_path), *data, *SHORT, f"train.workers={workers}", f"runs={runs}"]
        assert tune(sweep.read(arguments), QUIET) == {"done": 2}
        folders.append({name: r.folder for name, r in records(runs).items()})
    assert folders[0].keys() == folders[1].keys()
    for name, folder in folders[0].items():
        one, two = lines(folder), lines(folders[1][name])
        assert [x["loss"] for x in one if "loss" in x] == pytest.approx(
            [x["loss"] for x in two if "loss" in x], rel=1e-3
        )


@pytest.mark.parametrize(("workers", "trials"), [(1, 8), pytest.param(2, 5, marks=pytest.mark.slow)])
def test_a_search_prunes_and_keeps_the_pruned_in_the_record(
    ray: None, data: list[str], tmp_path: Path, workers: int, trials: int
) -> None:
    content = {"title": "rates", "axes": {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
    content["search"] = {"sampler": "tpe", "trials": trials, "pruner": "asha", "reduction": 2}
    more = (*data, *SHORT, "train.epochs=4", f"train.workers={workers}", f"runs={tmp_path / 'runs'}")
    arguments = [definition(tmp_path, content, "rates"), *more]
    before = helpers()
    counts = tune(sweep.read(arguments), QUIET)
    assert counts.get("done", 0) + counts.get("pruned", 0) == trials and counts.get("pruned")
    found = records(tmp_path / "runs")
    pruned = [r for r in found.values() if r.status == "pruned"]
    assert len(found) == trials and len(pruned) == counts["pruned"]
    assert all(not list((r.folder / "checkpoints").glob("epoch-*")) for r in pruned)
    assert all(list((r.folder / "checkpoints").glob("epoch-*")) for r in found.values() if r.status == "done")
    assert tune(sweep.read(arguments), QUIET) == {}
    until = time.monotonic() + 90  # the last ones may still be ending, on a busy machine
    while helpers() - before:
        assert time.monotonic() < until, "Ray Train's end was not in order: its helpers are left"
        time.sleep(0.2)


def helpers() -> set[int]:
    """The processes that Ray Train starts with a trial of several workers, and leaves where one was killed."""
    running = psutil.process_iter(["pid", "cmdline"])
    return {p.info["pid"] for p in running if "PlacementGroupCleaner" in " ".join(p.info["cmdline"] or ())}


def test_every_shipped_sweep_can_be_read() -> None:
    names = sorted(p.stem for p in (configs_dir() / "sweep").glob("*.yaml"))
    assert names == ["attention", "data_mix", "delta_init", "full", "input_size", "table1"]
    for name in names:
        found = sweep.read([f"sweep={name}", "preset=quick"])
        assert found.definition.title and len(found.definition.grid()) >= 2
    assert sweep.read(["sweep=full", "preset=paper", "search.sampler=tpe"]).definition.search.first


def test_the_head_says_what_the_sweep_is(data: list[str], tmp_path: Path) -> None:
    found = sweep.read(["sweep=table1", "preset=quick", "train.epochs=9", "runs=elsewhere", "train.threads=1"])
    head = json.loads(json.dumps(found.head()))
    assert head["overrides"] == ["preset=quick", "train.epochs=9"]
    assert head["axes"][0]["name"] == "ablation" and head["axes"][0]["values"] == list("abcdefg")
