"""`sanpose tune` with a real Ray: shared runs, failures, killed processes, refusals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from rich.console import Console

from cluster.ray_cluster import ray_cluster
from sanpose import checkpoint, claim, config, journal, keep, plan, recording, sweep, train, tune
from sanpose.errors import UserError
from sweeps import ledger, record
from tests.sanpose import tiny

QUIET = Console(quiet=True)
DELTAS = {"title": "delta", "fixed": ["ablation=c"], "axes": {"model.delta_init": [0.0, 0.5]}}
SHORT = ("train.epochs=3", "eval.sets=[h36m]", "eval.every=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def ray():
    with ray_cluster(2):
        yield


def definition(folder: Path, content: object = DELTAS, name: str = "deltas") -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return f"sweep={folder / name}.yaml"


def lines(folder: Path) -> list[dict]:
    told = [line for line in journal.read(folder / journal.NAME) if line["kind"] in ("epoch", "evaluation", "final")]
    assert told
    return told


def records(runs: Path) -> dict[str, ledger.Record]:
    found, broken = ledger.read_all(runs)
    assert broken == []
    return {r.id: r for r in found}


def test_a_warm_process_trains_as_ray_train_does_to_the_bit(ray, data, tmp_path):
    warm = tmp_path / "warm"
    counts = tune.tune(sweep.read([definition(tmp_path), *data, *SHORT, f"runs={warm}"]), QUIET, kept=("all",))
    assert counts == {"done": 2}
    chosen = config.compose([*data, *SHORT, "ablation=c", "model.delta_init=0.5", f"runs={tmp_path / 'train'}"])
    alone = train.train(chosen, QUIET)
    there = records(warm)[alone.id]
    assert lines(there.folder) == lines(alone.folder) and there.metrics == alone.metrics
    weights = [checkpoint.load_weights(checkpoint.choose(r.folder / "checkpoints", "last")) for r in (there, alone)]
    assert all(weights[0][k].equal(weights[1][k]) for k in weights[1])
    assert there.extra["macs"] and there.extra["bill"]["wall_s"] > 0 and there.extra["bill"]["images"] == 3 * 32


def test_what_has_been_run_is_taken_from_the_ledger_in_any_sweep(ray, data, tmp_path):
    runs = f"runs={tmp_path / 'runs'}"
    other = {"axes": {"ablation": ["c"]}, "title": "one cell"}
    assert tune.tune(sweep.read([definition(tmp_path, other, "cells"), *data, *SHORT, runs]), QUIET) == {"done": 1}
    deltas = [definition(tmp_path), *data, *SHORT, runs]
    found = plan.make(sweep.read(deltas))
    assert [row.action for row in found.rows] == ["take", "train"]
    assert found.rows[1].estimate.basis.startswith("measured") and found.hours > 0
    assert tune.tune(sweep.read(deltas), QUIET) == {"taken": 1, "done": 1}
    assert tune.tune(sweep.read(deltas), QUIET) == {}, "the study knows them all"
    gone = found.rows[1].run
    before = records(tmp_path / "runs")[gone].metrics
    shutil.rmtree(tmp_path / "runs" / gone)
    assert tune.tune(sweep.read(deltas), QUIET) == {"done": 1}, "a run that was removed is run again"
    assert records(tmp_path / "runs")[gone].metrics == before
    trials = {name: record.read(tmp_path / "runs", f"{name}-smoke").trials for name in ("cells", "deltas")}
    assert trials["cells"][0].run == trials["deltas"][0].run and len(records(tmp_path / "runs")) == 2


def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(ray, data, tmp_path):
    rates = {"title": "rates", "axes": {"train.learning_rate": [0.9, 0.001]}}
    asked = [definition(tmp_path, rates, "rates"), *data, *SHORT, f"runs={tmp_path / 'runs'}", "model.attention=none"]
    poison = "train.precision=fp32"
    path = tiny.write(tmp_path, "h36m")
    import h5py

    with h5py.File(path, "a") as file:  # the last image, of a training sample only
        ends = file["images/end"][()]
        kept = file["images/bytes"][ends[20] : ends[21]]
        file["images/bytes"][ends[20] : ends[21]] = 0
    asked = [*asked, poison, f"data.sources.h36m.file={path}"]
    assert tune.tune(sweep.read(asked), QUIET) == {"failed": 2}
    failed = records(tmp_path / "runs")
    assert all(r.status == "failed" and "cannot be decoded" in str(r.reason) for r in failed.values())
    assert tune.tune(sweep.read(asked), QUIET) == {}, "failed trials are left alone"
    with h5py.File(path, "a") as file:
        file["images/bytes"][ends[20] : ends[21]] = kept
    assert tune.tune(sweep.read(asked), QUIET, retry_failed=True) == {"done": 2}
    assert {r.status for r in records(tmp_path / "runs").values()} == {"done"}


def test_impossible_points_fail_and_the_others_are_run(ray, data, tmp_path):
    axes = {"model.attention": ["none", "position"], "model.delta_init": [0.1, 1.0]}
    asked = [definition(tmp_path, {"title": "attention", "axes": axes}), *data, *SHORT, f"runs={tmp_path / 'runs'}"]
    said = Console(file=io.StringIO(), width=200)
    assert tune.tune(sweep.read([*asked, "train.epochs=1"]), said) == {"failed": 2, "done": 2}
    assert said.file.getvalue().count("2 of the 4 points that were checked cannot be run") == 1
    trials = record.read(tmp_path / "runs", "deltas-smoke").trials
    assert ["leaves model.delta_init" in (trial.reason or "") for trial in trials] == [True, True, False, False]


def test_several_workers_go_through_ray_train_with_the_same_losses(ray, data, tmp_path):
    folders = []
    for workers in (1, 2):
        runs = tmp_path / str(workers)
        asked = [definition(tmp_path), *data, *SHORT, f"train.workers={workers}", f"runs={runs}"]
        assert tune.tune(sweep.read(asked), QUIET) == {"done": 2}
        folders.append({name: r.folder for name, r in records(runs).items()})
    assert folders[0].keys() == folders[1].keys()
    for name, folder in folders[0].items():
        one, two = lines(folder), lines(folders[1][name])
        assert [x["loss"] for x in one if "loss" in x] == pytest.approx(
            [x["loss"] for x in two if "loss" in x], rel=1e-3
        )


def test_a_search_prunes_and_keeps_the_pruned_in_the_record(ray, data, tmp_path):
    content = {"title": "rates", "axes": {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
    content["search"] = {"sampler": "tpe", "trials": 8, "pruner": "asha", "reduction": 2}
    asked = [definition(tmp_path, content, "rates"), *data, *SHORT, "train.epochs=4", f"runs={tmp_path / 'runs'}"]
    counts = tune.tune(sweep.read(asked), QUIET)
    assert counts.get("done", 0) + counts.get("pruned", 0) == 8 and counts.get("pruned")
    found = records(tmp_path / "runs")
    pruned = [r for r in found.values() if r.status == "pruned"]
    assert len(found) == 8 and len(pruned) == counts["pruned"]
    assert all(not list((r.folder / "checkpoints").glob("epoch-*")) for r in pruned)
    assert all(list((r.folder / "checkpoints").glob("epoch-*")) for r in found.values() if r.status == "done")
    assert tune.tune(sweep.read(asked), QUIET) == {}


def test_a_killed_trial_process_is_replaced_and_ends_the_same(ray, data, tmp_path):
    content = {"title": "one", "axes": {"train.gamma": [0.5]}}
    more = (*data, "train.epochs=12", "eval.sets=[h36m]", "eval.every=0")
    folders = []
    for name in ("whole", "killed"):
        asked = sweep.read([definition(tmp_path, content, "one"), *more, f"runs={tmp_path / name}"])
        run = recording.run_id(asked.config({"train.gamma": 0.5}, 0))
        folders.append(tmp_path / name / run)
        killer = None
        if name == "killed":
            killer = subprocess.Popen([sys.executable, "-c", _KILLER, str(folders[1] / journal.NAME), str(os.getpid())])
        assert tune.tune(asked, QUIET) == {"done": 1}
        assert killer is None or killer.wait() == 0, "nobody was killed"
    assert lines(folders[1]) == lines(folders[0])
    notes = [line["text"] for line in journal.read(folders[1] / journal.NAME) if line["kind"] == "note"]
    assert any(n.startswith("continues from checkpoint") for n in notes)


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


def test_a_process_killed_while_its_record_is_written_does_not_train_again(ray, data, tmp_path, monkeypatch):
    content = {"title": "one", "axes": {"train.gamma": [0.5]}}
    asked = sweep.read([definition(tmp_path, content, "one"), *data, *SHORT, f"runs={tmp_path / 'runs'}"])
    folder = tmp_path / "runs" / recording.run_id(asked.config({"train.gamma": 0.5}, 0))
    trim, seen = keep.trim, []

    def killing(checkpoints, kept):
        """The record is written, and the trial's process still waits for its report to be taken in."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # one that has just ended
                if "ray::" in " ".join(process.cmdline()) and any(str(folder) in f.path for f in process.open_files()):
                    process.kill()
        seen.append((lines(folder), sorted(folder.glob("tensorboard/*"))))
        return trim(checkpoints, kept)

    monkeypatch.setattr(keep, "trim", killing)
    assert tune.tune(asked, QUIET, kept=()) == {"done": 1}
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
    return sum(path.read_text().count('"kind": "epoch"') for path in runs.glob(f"*/{journal.NAME}"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_driver_killed_five_times_ends_with_the_same_records(data, tmp_path):
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
def test_a_search_whose_driver_is_killed_ends_with_the_same_records(ray, data, tmp_path):
    """One trial at a time: with all threads, a trial has the machine to itself."""
    content = {"title": "rates", "axes": {"train.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
    content["search"] = {"sampler": "random", "trials": 8, "pruner": "median"}
    asked = [definition(tmp_path, content, "rates"), *data, *SHORT, "train.threads=0"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    counts = tune.tune(sweep.read([*asked, f"runs={whole}"]), QUIET)
    assert counts["done"] >= 4 and counts["done"] + counts["pruned"] == 8

    command = [sys.executable, "-m", "sanpose.tune", *asked, f"runs={killed}"]
    killed_at(command, killed, epochs_of(whole) * 2 // 3, 0.0)
    ended = {r.id for r in records(killed).values() if r.status in ("done", "pruned")}
    assert 4 <= len(ended) < 8
    tune.tune(sweep.read([*asked, f"runs={killed}"]), QUIET)

    one, two = (record.read(runs, "rates-smoke").trials for runs in (whole, killed))
    assert [(t.number, t.values, t.run) for t in one] == [(t.number, t.values, t.run) for t in two]
    before, after = records(whole), records(killed)
    for name, found in before.items():
        assert (after[name].status, after[name].metrics) == (found.status, found.metrics)
        assert lines(after[name].folder) == lines(found.folder)
    again = [name for name in ended if json.loads((killed / name / "provenance.json").read_text())["starts"]]
    assert again == [], "what had ended is not begun again"


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(data, tmp_path):
    more = (*data, "train.epochs=30", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path / 'runs'}")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    run = recording.run_id(sweep.read([definition(tmp_path), *more]).config({"model.delta_init": 0.0}, 0))
    folder = tmp_path / "runs" / run
    while not any((folder / "checkpoints").glob("epoch-*")):
        assert process.poll() is None
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert ledger.read(folder).status == "interrupted"
    assert psutil.wait_procs(below, 30)[1] == []
    assert checkpoint.newest(folder / "checkpoints")[0] is not None
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    notes = [line["text"] for line in journal.read(folder / journal.NAME) if line["kind"] == "note"]
    assert any(n.startswith("continues from checkpoint") for n in notes)
    assert ledger.read(folder).extra["bill"]["wall_s"] > 0


@pytest.mark.slow
def test_rays_head_is_killed_the_driver_ends_and_the_same_command_goes_on(data, tmp_path):
    more = (*data, "train.epochs=40", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path / 'runs'}")
    command = [sys.executable, "-m", "sanpose.tune", definition(tmp_path), *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    run = recording.run_id(sweep.read([definition(tmp_path), *more]).config({"model.delta_init": 0.0}, 0))
    folder = tmp_path / "runs" / run
    while not any((folder / "checkpoints").glob("epoch-*")):
        assert process.poll() is None
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    for part in below:
        if part.name() == "gcs_server":
            part.kill()
    assert process.wait(120) != 0
    assert psutil.wait_procs(below, 150)[1] == []  # Ray's agents look for their parent now and then
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {r.status for r in records(tmp_path / "runs").values()} == {"done"}
    notes = [line["text"] for line in journal.read(folder / journal.NAME) if line["kind"] == "note"]
    assert any(n.startswith("continues from checkpoint") for n in notes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep=tabel1"], "did you mean 'table1'"),
        ([], "which sweep"),
        (["sweep=table1", "seeds=0"], "seeds=0"),
        (["sweep=table1", "name=../x"], "cannot name a folder"),
        (["sweep=table1", "search.sampler=random", "search.trials=many"], "int was expected"),
        (["sweep=table1", "search.objectives=[mpjp]"], "did you mean 'mpjpe_mm'"),
        (["sweep=table1", "search.objectives=[ap]"], "eval.sets leaves out"),
        (["sweep=table1", "search.pruner=asha", "eval.every=0"], "eval.every=1"),
        (["sweep=table1", "train.epoch=3"], "did you mean 'train.epochs'"),
        (["sweep=nothing.yaml"], "there is no such sweep"),
        (["sweep=table1", "seeds"], "seeds= is not"),
        (["sweep=table1", "search.objectives=[mpjpe_mm"], "cannot be used"),
        (["sweep=table1", "train.seed=7"], "seeds=N"),
        (["sweep=data_mix", "data.sources.mpii.share=3"], "sets itself"),
        (["sweep=table1", "search.objectives=[pckh]", "search.pruner=asha"], "looks at mpjpe_mm"),
    ],
)
def test_bad_sweeps_are_refused_before_anything_starts(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        sweep.read(arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_the_same_name_must_be_the_same(data, tmp_path):
    runs = f"runs={tmp_path / 'runs'}"
    first = sweep.read([definition(tmp_path), *data, *SHORT, runs])
    root = tmp_path / "runs"
    folder = record.folder_of(root, first.name)
    folder.mkdir(parents=True)
    claim.claim(first, root)
    claim.claim(sweep.read([definition(tmp_path), *data, *SHORT, runs, "seeds=3"]), root)
    with pytest.raises(UserError, match="differs in overrides"):
        claim.claim(sweep.read([definition(tmp_path), *data, *SHORT, runs, "train.epochs=7"]), root)
    moved = tiny.write(tmp_path / "other", "h36m", seed=9)
    with pytest.raises(UserError, match="differs in the data"):
        claim.claim(sweep.read([definition(tmp_path), *data, *SHORT, runs, f"data.sources.h36m.file={moved}"]), root)
    wider = {**DELTAS, "axes": {"model.delta_init": {0.0: ["model.delta_init=0.1"], 0.5: ["model.delta_init=0.5"]}}}
    with pytest.raises(UserError, match="differs in axes"):
        claim.claim(sweep.read([definition(tmp_path, wider), *data, *SHORT, runs]), root)
    definition(tmp_path)
    with claim.held(folder), pytest.raises(UserError, match="by another process"):
        tune.tune(first, QUIET)


def test_other_data_of_any_trial_is_noticed(data, tmp_path):
    """COCO is used by the second trial only."""
    shares = {"alone": ["data.sources.coco.share=0"], "with": ["data.sources.coco.share=1"]}
    content = {"title": "coco", "axes": {"coco": shares}}
    rest = [x for x in data if not x.startswith("data.sources.coco")]
    asked = [definition(tmp_path, content), *rest, "eval.sets=[h36m]", f"runs={tmp_path / 'runs'}"]
    files = [tiny.write(tmp_path / name, "coco", seed=seed) for name, seed in (("a", 1), ("b", 2), ("c", 1))]
    first, other, moved = (sweep.read([*asked, f"data.sources.coco.file={path}"]) for path in files)
    root = tmp_path / "runs"
    record.folder_of(root, first.name).mkdir(parents=True)
    hidden = files[0].rename(tmp_path / "hidden.h5")
    claim.claim(first, root)
    hidden.rename(files[0])
    claim.claim(first, root)  # the file has come: until then the trial could only fail
    with pytest.raises(UserError, match=r"differs in the data of coco\n"):
        claim.claim(other, root)
    claim.claim(moved, root)


def test_a_sweep_begun_before_the_data_were_noted_goes_on(data, tmp_path):
    asked = [definition(tmp_path), *data, *SHORT, f"runs={tmp_path / 'runs'}"]
    first, root = sweep.read(asked), tmp_path / "runs"
    record.folder_of(root, first.name).mkdir(parents=True)
    claim.claim(first, root)
    head = record.read(root, first.name).head
    told = head.pop("fingerprints")
    record.write_head(root, first.name, head)
    claim.claim(first, root)
    assert record.read(root, first.name).head["fingerprints"] == told and set(told) == {"h36m", "mpii", "coco"}


def test_a_database_s_password_is_kept_apart_and_may_change(data, tmp_path):
    runs, root = f"runs={tmp_path / 'runs'}", tmp_path / "runs"
    url = "postgresql://u:{}@h/db"

    def asked(password):
        more = ("search.sampler=random", f"search.storage={url.format(password)}")
        return sweep.read([definition(tmp_path), *data, *SHORT, runs, *more])

    folder = record.folder_of(root, asked("secret1").name)
    folder.mkdir(parents=True)
    claim.claim(asked("secret1"), root)
    claim.ended(asked("secret1"), root)
    head = json.loads((folder / "sweep.json").read_text())
    assert head["storage"] == head["search"]["storage"] == url.format("***")
    head["storage"] = head["search"]["storage"] = url.format("secret1")  # as sweeps were recorded before
    (folder / "sweep.json").write_text(json.dumps(head))
    claim.claim(asked("secret2"), root)
    claim.ended(asked("secret2"), root)
    assert "secret" not in (folder / "sweep.json").read_text()
    assert record.storage(record.read(root, asked("secret2").name)) == url.format("secret2")
    other = sweep.read([definition(tmp_path), *data, *SHORT, runs, "search.sampler=random"])
    with pytest.raises(UserError, match="differs in search"):
        claim.claim(other, root)


def test_every_shipped_sweep_can_be_read():
    names = sorted(p.stem for p in (config.configs_dir() / "sweep").glob("*.yaml"))
    assert names == ["attention", "data_mix", "delta_init", "full", "input_size", "table1"]
    for name in names:
        found = sweep.read([f"sweep={name}", "preset=quick"])
        assert found.definition.title and len(found.definition.grid()) >= 2
    assert sweep.read(["sweep=full", "preset=paper", "search.sampler=tpe"]).definition.search.first


def test_the_head_says_what_the_sweep_is(data, tmp_path):
    found = sweep.read(["sweep=table1", "preset=quick", "train.epochs=9", "runs=elsewhere", "train.threads=1"])
    head = json.loads(json.dumps(found.head()))
    assert head["overrides"] == ["preset=quick", "train.epochs=9"]
    assert head["axes"][0]["name"] == "ablation" and head["axes"][0]["values"] == list("abcdefg")
