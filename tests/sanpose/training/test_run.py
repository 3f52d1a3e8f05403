"""`sanpose train` with real Ray Train workers: equal losses, records, killed workers, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from cluster.raycluster.connect import ray_cluster
from sanpose.config.compose import compose, with_overrides
from sanpose.errors import UserError
from sanpose.runs import checkpoints, identity, journal, locks, lookup
from sanpose.runs.paths import RunPaths
from sanpose.training.run import require_resumable, resume_config, train
from tests.sanpose import tiny

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def ray(data: list[str]) -> Iterator[None]:
    with ray_cluster(2):
        yield


def lines(folder: Path, kind: str) -> list[dict]:
    return [line for line in journal.read(RunPaths(folder).journal) if line["kind"] == kind]


def test_two_workers_and_one_give_the_same_losses(ray: None, data: list[str], tmp_path: Path) -> None:
    records = []
    for workers in (1, 2):
        chosen = compose([*data, f"runs={tmp_path / str(workers)}", f"train.workers={workers}"])
        records.append(train(chosen, QUIET))
    one, two = records
    assert one.id == two.id and one.status == two.status == "done"
    first = [lines(r.folder, "train")[0] for r in records]
    assert first[0]["step"] == first[1]["step"] == 1
    # Adam turns the rounding of gradients that should be zero into steps, so that the losses drift apart slowly.
    pairs = [
        (first, 1e-5),
        *((pair, 1e-3) for pair in zip(lines(one.folder, "epoch"), lines(two.folder, "epoch"), strict=True)),
    ]
    for (a, b), tolerance in pairs:
        for part in ("loss", "loss_plane", "loss_depth"):
            assert a[part] == pytest.approx(b[part], rel=tolerance)
    a, b = (r.metrics["h36m"]["mpjpe"]["mean_over_frames"] for r in records)
    assert a == pytest.approx(b, rel=1e-3)
    assert one.extra["synthetic"] is True and one.metrics["h36m"]["untrained_mpjpe"] > 0
    provenance = json.loads((one.folder / "provenance.json").read_text())
    assert provenance["packages"]["torch"] and provenance["machine"]["cpus"]


def test_a_finished_run_is_not_trained_twice(
    ray: None, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = compose([*data, f"runs={tmp_path}", "train.epochs=1", "eval.sets=[h36m]"])
    first = train(chosen, QUIET)
    monkeypatch.setattr("sanpose.training.ray_train.fit", lambda *_: pytest.fail("trained again"))
    again = train(chosen, QUIET)
    assert again == first
    assert lookup.read(lookup.find(tmp_path, first.id[:4])).status == "done"


def test_a_killed_worker_is_replaced_and_the_run_ends_as_if_nothing_had_happened(
    ray: None, data: list[str], tmp_path: Path
) -> None:
    more = ["train.epochs=12", "train.workers=2", "eval.sets=[h36m]", "eval.every=0", "train.keep=3"]
    whole = train(compose([*data, *more, f"runs={tmp_path / 'whole'}"]), QUIET)
    victim = compose([*data, *more, f"runs={tmp_path / 'killed'}"])
    folder = Path(victim.runs) / identity.run_id(victim)
    killer = subprocess.Popen([sys.executable, "-c", _KILLER, str(RunPaths(folder).journal), str(os.getpid())])
    record = train(victim, QUIET)
    assert killer.wait() == 0, "nobody was killed"
    notes = [line["text"] for line in lines(folder, "note")]
    assert any(n.startswith("resumes from checkpoint") for n in notes)
    assert lines(folder, "epoch") == lines(whole.folder, "epoch")
    assert record.metrics["h36m"]["mpjpe"] == whole.metrics["h36m"]["mpjpe"]


# Kills one Ray Train worker process below the given process once the journal has seen three epochs.
_KILLER = """
import os, signal, sys, time, pathlib, psutil
path = pathlib.Path(sys.argv[1])
while not path.exists() or path.read_text().count('"kind": "epoch"') < 3:
    time.sleep(0.02)
for process in psutil.Process(int(sys.argv[2])).children(recursive=True):
    if process.pid != os.getpid() and "RayTrainWorker" in " ".join(process.cmdline()):
        os.kill(process.pid, signal.SIGKILL)
        sys.exit(0)
sys.exit(1)
"""


def test_more_workers_than_ray_has_room_for_are_refused(ray: None, data: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs as many CPUs"):
        train(compose([*data, f"runs={tmp_path}", "train.workers=8"]), QUIET)


def test_a_run_is_trained_by_one_process_at_a_time(data: list[str], tmp_path: Path) -> None:
    chosen = compose([*data, f"runs={tmp_path}"])
    folder = tmp_path / identity.run_id(chosen)
    folder.mkdir()
    lock = locks.hold(RunPaths(folder).driver_lock, "held by the test")
    with lock, pytest.raises(UserError, match="another process trains this run"):
        train(chosen, QUIET)
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_bad_data_is_not_tried_again_and_is_recorded(
    ray: None, data: list[str], tmp_path: Path, loader_workers: int
) -> None:
    import h5py

    path = tiny.write(tmp_path, "h36m")
    with h5py.File(path, "a") as file:  # the last image, of a training sample only
        ends = file["images/end"][()]
        file["images/bytes"][ends[20] : ends[21]] = 0
    chosen = compose([*data, f"runs={tmp_path / 'runs'}", f"data.sources.h36m.file={path}"])
    chosen = with_overrides(chosen, [f"data.loader_workers={loader_workers}"])
    with pytest.raises(UserError, match="cannot be decoded") as error:
        train(chosen, QUIET)
    assert str(path) in str(error.value) and "Traceback" not in str(error.value)
    record = lookup.read(lookup.find(tmp_path / "runs", identity.run_id(chosen)))
    assert record.status == "failed" and "cannot be decoded" in str(record.reason)


def test_ctrl_c_is_recorded_and_resume_finishes(data: list[str], tmp_path: Path) -> None:
    more = ["train.epochs=40", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path}"]
    command = [sys.executable, "-m", "sanpose.train", *data, *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    chosen = compose([*data, *more])
    folder = tmp_path / identity.run_id(chosen)
    while len(lines(folder, "epoch")) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert lookup.read(lookup.find(tmp_path, folder.name)).status == "interrupted"
    assert checkpoints.newest(folder / "checkpoints")[0] is not None
    done = subprocess.run(
        ["sanpose", "train", f"resume={folder.name[:5]}", f"runs={tmp_path}", "train.workers=1"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "resumes from checkpoint" in done.stdout and lookup.read(lookup.find(tmp_path, folder.name)).status == "done"
    survivors = [p for p in psutil.process_iter(["cmdline"]) if f"/{folder.name}" in " ".join(p.info["cmdline"] or [])]
    assert not survivors


def test_resume_refuses_what_defines_another_run(data: list[str], tmp_path: Path) -> None:
    from sanpose.runs import ledger

    chosen = compose([*data, f"runs={tmp_path}"])
    name = identity.run_id(chosen)
    ledger.create(tmp_path, name, chosen.plain(), {})
    with pytest.raises(UserError, match="define another run"):
        resume_config(tmp_path, name[:4], ["train.seed=5"])
    found, resumed = resume_config(tmp_path, name[:4], ["train.workers=2"])
    assert (found, resumed.train.workers) == (name, 2)
    require_resumable(name, identity.identify(resumed))
    with pytest.raises(UserError, match=name):
        resume_config(tmp_path, "xyz")
    other = tiny.write(tmp_path / "other", "h36m", seed=9)
    moved = resume_config(tmp_path, name[:4], [f"data.sources.h36m.file={other}"])[1]
    with pytest.raises(UserError, match="its data files have changed"):
        require_resumable(name, identity.identify(moved))


def test_weights_count_by_their_content_not_their_path(data: list[str], tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (identity.run_id(compose([*data, f"model.weights={tmp_path / n}"])) for n in "abc")
    assert a == b != c
    with pytest.raises(UserError, match="cannot read the file of weights"):
        identity.run_id(compose([*data, f"model.weights={tmp_path / 'none.pth'}"]))


@pytest.mark.parametrize("arguments", [["train.epoch=1"], ["resume=nothing"], ["data.input_width=65"], ["preset=x"]])
def test_refusals_end_in_code_2_and_leave_nothing(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sanpose", "train", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.train_subjects=[5]", "no sample for training"),
        ("data.test_subjects=[10]", "no sample for evaluation"),
        ("train.batch_size=64", "fewer than one batch of 64"),
        ("data.sources.mpii.file={h36m}", "mpii"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused_before_there_is_a_run(
    data: list[str], tmp_path: Path, override: str, said: str
) -> None:
    h36m = next(o.partition("=")[2] for o in data if o.startswith("data.sources.h36m.file="))
    overrides = [*data, f"runs={tmp_path / 'runs'}", "data.epoch_samples=0", override.format(h36m=h36m)]
    with pytest.raises(UserError, match=said):
        train(compose(overrides), Console(quiet=True))
    assert not (tmp_path / "runs").exists()
