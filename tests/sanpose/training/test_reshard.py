"""A run that two workers began, continued by one and by three: the same losses and weights as without a change.

The workers are processes of a gloo group, without Ray. Tolerances (fp32): 1e-6 of the mean loss up to a step. Of the
weights, a share of how far the steps since the change have moved them, as one norm over all: 1e-4 for three workers,
and 5e-2 for one, whose batch normalisation is torch's own: that rounds the gradients of a channel that hardly varies
more coarsely, and Adam makes whole steps of the smallest gradients. Had Adam lost its first mean, the losses would be
4e-4 apart and the weights 0.7.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from sanpose.config.compose import compose
from sanpose.errors import UserError
from sanpose.runs import checkpoints, journal
from sanpose.runs.paths import RunPaths
from sanpose.training import loop
from sanpose.training.engine import WorkerPlace, single_process
from tests.sanpose import tiny

STAGES = (0, 1, 2, 3)
CUT = "epoch-0000-step-000002"  # where the number of workers changes, of four steps
EVERY_STEP = -1.0  # seconds between lines of the journal


def job(data: list[str], folder: Path, stage: int) -> tuple[list[str], Path]:
    # ZeRO-3 keeps small parameters whole on every worker: here some of the network's, not all.
    more = ["+deepspeed.zero_optimization.stage3_param_persistence_threshold=500"] if stage == 3 else []
    return [*data, f"deepspeed=zero{stage}", *more], folder / str(stage)


def train(jobs: list[tuple[list[str], Path]], place: WorkerPlace) -> None:
    """One worker's part of several runs."""
    for overrides, folder in jobs:
        loop.train(compose([*overrides, f"train.workers={place.world}"]), folder, place)


def _worker(rank: int, world: int, store: Path, jobs: list[tuple[list[str], Path]]) -> None:
    os.environ["LOCAL_RANK"] = str(rank)
    loop.LINE_SECONDS = EVERY_STEP
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    train(jobs, WorkerPlace(rank, world, torch.device("cpu")))
    dist.destroy_process_group()


def train_together(jobs: list[tuple[list[str], Path]], world: int, store: Path) -> None:
    """In processes that a server forks, which has imported what takes seconds once for all of them."""
    mp.start_processes(_worker, (world, store, jobs), nprocs=world, start_method="forkserver")


def beginning(whole: Path, folder: Path) -> Path:
    """What is left of a run that was killed just after the checkpoint CUT."""
    folder.mkdir(parents=True)
    shutil.copy(RunPaths(whole).journal, folder)
    shutil.copytree(whole / "checkpoints" / CUT, folder / "checkpoints" / CUT)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    more = ("train.batch_size=6", "data.epoch_samples=24", "train.epochs=1", "train.milestones=[5]", "train.keep=9")
    quick = ("train.checkpoint_steps=1", "eval.sets=[h36m]", "eval.every=0", "data.train_stride=1", "train.clip=1")
    return tiny.overrides(tmp_path_factory.mktemp("data"), *more, *quick)


@pytest.fixture(scope="module")
def by_two(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run by two workers for each stage."""
    folder = tmp_path_factory.mktemp("two")
    os.environ["DS_ACCELERATOR"] = "cpu"
    slow = ["deepspeed.runtime.zero.muon.original_muon", "torch.utils.tensorboard", "hydra", "sanpose.training.loop"]
    mp.get_context("forkserver").set_forkserver_preload(slow)
    train_together([job(data, folder, stage) for stage in STAGES], 2, folder / "store")
    return folder


@pytest.fixture(scope="module")
def by_three(data: list[str], by_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for stage in STAGES:
        beginning(by_two / str(stage), folder / str(stage))
    train_together([job(data, folder, stage) for stage in STAGES], 3, folder / "store")
    return folder


@pytest.fixture(scope="module")
def alone() -> Iterator[WorkerPlace]:
    single_process()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LINE_SECONDS", EVERY_STEP)
        yield WorkerPlace(0, 1, torch.device("cpu"))


def losses(folder: Path) -> dict[tuple[str, int], float]:
    lines = list(journal.read(RunPaths(folder).journal))
    return {(line["kind"], line["step"]): line["loss"] for line in lines if line["kind"] in ("train", "epoch")}


def notes(folder: Path) -> list[str]:
    return [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoints.load_weights(checkpoints.choose(folder / "checkpoints", "last"))


def assert_same_run(continued: Path, whole: Path, share: float) -> None:
    assert len(losses(whole)) == 5
    assert losses(continued) == pytest.approx(losses(whole), rel=1e-6)
    before = checkpoints.load_weights(checkpoints.choose(whole / "checkpoints", CUT))
    ours, theirs = last_weights(continued), last_weights(whole)
    assert ours.keys() == theirs.keys()
    buffers = {name for name in ours if "running_" in name or "num_batches" in name}
    assert all(torch.allclose(ours[b], theirs[b], rtol=1e-3, atol=1e-5) for b in buffers)
    apart, moved = (sum((a[p] - theirs[p]).square().sum() for p in ours.keys() - buffers) for a in (ours, before))
    assert apart.sqrt() < share * moved.sqrt()


@pytest.mark.parametrize("stage", STAGES)
def test_one_worker_continues_what_two_began(
    data: list[str], by_two: Path, alone: WorkerPlace, tmp_path: Path, stage: int
) -> None:
    folder = beginning(by_two / str(stage), tmp_path / str(stage))
    train([job(data, tmp_path, stage)], alone)
    assert notes(folder) == [f"resumes from checkpoint {CUT}, written by 2 workers, now 1"]
    assert_same_run(folder, by_two / str(stage), 5e-2)


@pytest.mark.parametrize("stage", STAGES)
def test_three_workers_continue_what_two_began(by_two: Path, by_three: Path, stage: int) -> None:
    folder = by_three / str(stage)
    assert notes(folder) == [f"resumes from checkpoint {CUT}, written by 2 workers, now 3"]
    assert checkpoints.choose(folder / "checkpoints", "last").world == 3
    assert_same_run(folder, by_two / str(stage), 1e-4)


def test_one_worker_continues_what_three_continued(
    data: list[str], by_two: Path, by_three: Path, alone: WorkerPlace, tmp_path: Path
) -> None:
    folder = tmp_path / "2"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(RunPaths(by_three / "2").journal, folder)
    name = "epoch-0000-step-000003"
    shutil.copytree(by_three / "2" / "checkpoints" / name, folder / "checkpoints" / name)
    train([job(data, tmp_path, 2)], alone)
    assert notes(folder)[-1] == f"resumes from checkpoint {name}, written by 3 workers, now 1"
    assert_same_run(folder, by_two / "2", 5e-2)


def test_a_damaged_shard_is_named_and_the_checkpoint_before_is_cut(
    data: list[str], by_two: Path, alone: WorkerPlace, tmp_path: Path
) -> None:
    folder = beginning(by_two / "1", tmp_path / "1")
    later = folder / "checkpoints" / "epoch-0000-step-000003"
    shutil.copytree(by_two / "1" / "checkpoints" / later.name, later)
    shard = later / "deepspeed" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    shard.write_bytes(shard.read_bytes()[:-100])
    train([job(data, tmp_path, 1)], alone)
    damaged, continued = notes(folder)
    assert later.name in damaged and shard.name in damaged and "cut short" in damaged
    assert continued.startswith(f"resumes from checkpoint {CUT}, written by 2")


@pytest.mark.parametrize("form", ["other", "code"])
def test_a_shard_that_is_not_one_is_refused_and_runs_nothing(
    data: list[str], by_two: Path, alone: WorkerPlace, tmp_path: Path, form: str
) -> None:
    folder = beginning(by_two / "1", tmp_path / "1")
    shard = folder / "checkpoints" / CUT / "deepspeed" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    torch.save({"optimizer_state_dict": {"other": 1} if form == "other" else Code(str(tmp_path / "ran"))}, shard)
    reseal(folder / "checkpoints" / CUT, shard)
    with pytest.raises(UserError, match="cannot be resharded for another number of workers") as error:
        train([job(data, tmp_path, 1)], alone)
    assert error.value.hint == "train.workers=2" and not (tmp_path / "ran").exists()


class Code:
    """Makes a folder where it is unpickled carelessly."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)


def reseal(folder: Path, file: Path) -> None:
    """The manifest of a checkpoint as it would be, had the file been written so."""
    manifest = json.loads((folder / "manifest.json").read_text())
    said = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
    manifest["files"][str(file.relative_to(folder))] = said
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_batch_that_the_workers_cannot_share_names_the_numbers_that_can(data: list[str]) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size=8, or train\.workers=1\|2\|3\|6"):
        compose([*data, "train.workers=4"])
