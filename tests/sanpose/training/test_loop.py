"""The loop in one process: learning, bit-identical continuation, damaged checkpoints, what is kept."""

from __future__ import annotations

import collections
import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Never

import h5py
import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from sanpose import disk
from sanpose.config.compose import compose
from sanpose.data import loader
from sanpose.errors import UserError
from sanpose.model import network
from sanpose.runs import checkpoints, journal
from sanpose.runs.paths import RunPaths
from sanpose.training import checkpoint, deepspeed_patch, loop
from sanpose.training.engine import WorkerPlace, single_process
from tests.sanpose import tiny

HERE = WorkerPlace(0, 1, torch.device("cpu"))


class KilledError(Exception):
    """Stands for a process that ends between two epochs or within one."""


@pytest.fixture(scope="module", autouse=True)
def _group() -> None:
    single_process()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


def run(
    data: list[str],
    folder: Path,
    *more: str,
    stop_at: tuple[int, int] | None = None,
    monkeypatch: pytest.MonkeyPatch | None = None,
) -> dict[str, Any] | None:
    """Train; with stop_at=(epoch, step), die before that step."""
    if stop_at:
        whole = loader.batches

        def batches(data: loader.TrainingSet, start: tuple[int, int], rank: int, world: int) -> Iterator[loader.Batch]:
            steps, train = data.mix.length // data.config.train.batch_size, data.config.train
            last = ((stop_at[0] - start[0]) * steps + stop_at[1] - start[1]) * train.accumulation
            for number, batch in enumerate(whole(data, start, rank, world)):
                if number == last:
                    raise KilledError
                yield batch

        monkeypatch.setattr(loader, "batches", batches)
        with pytest.raises(KilledError):
            loop.train(compose([*data, *more]), folder, HERE)
        monkeypatch.undo()
        return None
    return loop.train(compose([*data, *more]), folder, HERE)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoints.load_weights(checkpoints.choose(folder / "checkpoints", "last"))


def losses(folder: Path) -> list[dict]:
    return [line for line in journal.read(RunPaths(folder).journal) if line["kind"] in ("epoch", "evaluation", "final")]


SETTINGS = ("train.epochs=3", "train.checkpoint_steps=2", "eval.every=1", "model.attention_position=true")


@pytest.fixture(scope="module")
def uninterrupted(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(data, folder, *SETTINGS)
    return folder


@pytest.mark.parametrize("stop_at", [(1, 0), (1, 3), (2, 2), (0, 1)])
def test_a_continued_run_is_bit_identical(
    data: list[str], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: tuple[int, int]
) -> None:
    run(data, tmp_path, *SETTINGS, stop_at=stop_at, monkeypatch=monkeypatch)
    run(data, tmp_path, *SETTINGS)
    assert losses(tmp_path) == losses(uninterrupted)
    before, after = weights(uninterrupted), weights(tmp_path)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_stages_continue_bit_identically(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    more = (f"deepspeed=zero{stage}", "eval.sets=[h36m]")
    run(data, tmp_path / "whole", *more)
    run(data, tmp_path / "cut", *more, stop_at=(1, 1), monkeypatch=monkeypatch)
    run(data, tmp_path / "cut", *more)
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(before[k], after[k]) for k in before)
    reports = [line for line in journal.read(RunPaths(tmp_path / "whole").journal) if line["kind"] == "train"]
    assert all(line["delta"] is not None for line in reports if line["epoch"] == 1)


def test_offloading_from_a_cpu_is_refused_in_one_process_too(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no other memory"):
        run(data, tmp_path, "train.accelerator=auto", "+deepspeed.zero_optimization.offload_optimizer.device=cpu")


def test_what_deepspeed_refuses_is_the_users_error(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"DeepSpeed refuses its configuration.*reduce_bucket_size"):
        run(data, tmp_path, "+deepspeed.zero_optimization.reduce_bucket_size=many")


def test_zero_stages_train_the_same_network(data: list[str], tmp_path: Path) -> None:
    means = []
    for stage in (0, 2):
        run(data, tmp_path / str(stage), f"deepspeed=zero{stage}", "eval.sets=[h36m]")
        means.append([line["loss"] for line in losses(tmp_path / str(stage)) if line["kind"] == "epoch"])
    # Not the weights: a key's bias has no gradient but rounding, and Adam makes steps of it.
    assert means[0] == pytest.approx(means[1], rel=1e-5)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:1000]), "cut short"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"?"), "checksum"),
        (lambda p: p.unlink(), "missing"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], object], said: str
) -> None:
    run(data, tmp_path, "train.epochs=3", stop_at=(2, 1), monkeypatch=monkeypatch)
    newest = tmp_path / "checkpoints" / "epoch-0002-step-000000"
    harm(newest / "deepspeed" / "mp_rank_00_model_states.pt")
    assert said in (checkpoints.damage(newest) or "")
    run(data, tmp_path, "train.epochs=3")
    notes = [line["text"] for line in journal.read(RunPaths(tmp_path).journal) if line["kind"] == "note"]
    assert any(newest.name in n and said in n for n in notes)
    assert "resumes from checkpoint epoch-0001-step-000000" in notes
    assert checkpoints.damage(newest) is None, "the damaged one is written anew"


def test_without_any_whole_checkpoint_the_training_begins_anew(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path, "train.epochs=2", stop_at=(1, 1), monkeypatch=monkeypatch)
    (only,) = (tmp_path / "checkpoints").glob("epoch-*")
    (only / "weights.safetensors").unlink()
    run(data, tmp_path, "train.epochs=2")
    notes = [line["text"] for line in journal.read(RunPaths(tmp_path).journal) if line["kind"] == "note"]
    reason = "is damaged (weights.safetensors is missing); no other is left: the training starts from the beginning"
    assert notes == [f"checkpoint {only.name} {reason}"]


def test_the_last_and_the_best_are_kept(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([300.0, 100.0, 200.0, 250.0, 260.0])  # of the five evaluations on some samples, the last one's too
    monkeypatch.setattr(loop, "score_of", lambda figures: next(scores))
    run(data, tmp_path, "train.epochs=5", "train.keep=2", "eval.every=1", "eval.sets=[h36m]")
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == [f"epoch-000{e}-step-000000" for e in (2, 4, 5)]
    assert checkpoints.choose(tmp_path / "checkpoints", "best").position.epoch == 2
    assert checkpoints.choose(tmp_path / "checkpoints", "last").position.epoch == 5


def test_a_damaged_newer_checkpoint_does_not_displace_good_ones(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("train.epochs=4", "train.keep=1", "train.checkpoint_steps=2", "eval.sets=[h36m]", "eval.every=0")
    run(data, tmp_path, *more, "train.keep=3", stop_at=(2, 1), monkeypatch=monkeypatch)
    for name in ("epoch-0001-step-000002", "epoch-0002-step-000000"):
        (tmp_path / "checkpoints" / name / "random-0.pt").write_bytes(b"")
    run(data, tmp_path, *more, stop_at=(1, 3), monkeypatch=monkeypatch)
    found, damaged = checkpoints.newest(tmp_path / "checkpoints")
    assert found is not None and found.order == (1, 2) and damaged == []


def test_choosing_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a run that has trained"):
        checkpoints.choose(tmp_path, "last")


@pytest.mark.parametrize("more", [(), ("deepspeed=zero1",), ("deepspeed=zero3",)])
def test_a_disk_that_is_full_again_and_again_costs_nothing_but_time(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """Whatever file of a checkpoint it is that cannot be written, or flushed."""
    run(data, tmp_path / "undisturbed", "train.epochs=2", *more)
    flush, write, calls = os.fsync, checkpoint.save_file, collections.Counter()
    monkeypatch.setattr(disk, "FIRST_SECONDS", 0.01)

    def refused(name: str) -> bool:
        calls[name] += 1
        return calls[name] <= 2

    def fsync(file: int) -> None:
        name = str(Path(f"/proc/self/fd/{file}").readlink())
        if ".probe" not in name and refused(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)

    def save_file(*given: object) -> None:
        if refused("safetensors"):
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        write(*given)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    run(data, tmp_path / "disturbed", "train.epochs=2", *more)
    monkeypatch.undo()
    newest = checkpoints.choose(tmp_path / "disturbed" / "checkpoints", "last").path
    refused_ones = {Path(name).name for name in calls}
    assert {p.name for p in newest.rglob("*") if p.is_file()} <= refused_ones and "safetensors" in refused_ones
    assert len({p.stat().st_mode for p in newest.iterdir() if p.is_file()}) == 1, "all can read what one can"
    assert losses(tmp_path / "disturbed") == losses(tmp_path / "undisturbed")
    before, after = weights(tmp_path / "undisturbed"), weights(tmp_path / "disturbed")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not [p for p in (tmp_path / "disturbed" / "checkpoints").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("room", range(0, 4000, 250))
def test_what_torchs_file_has_met_is_what_is_raised(tmp_path: Path, room: int) -> None:
    class Small(io.FileIO):
        def write(self, data: bytes) -> int:
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    with Small(tmp_path / "a.pt", "wb") as file, pytest.raises(OSError, match="No space left"):
        deepspeed_patch.fill(file, torch.zeros(1000))


def test_what_cannot_be_written_whole_leaves_its_room_to_others(tmp_path: Path) -> None:
    def fill(file: IO[bytes]) -> Never:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        deepspeed_patch.write(tmp_path / "a.pt", fill)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_has_its_name_although_the_file_system_did_not_answer_is_whole(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, unanswered = os.replace, []

    def replace(part: str | Path, final: str | Path) -> None:
        rename(part, final)
        if Path(part).name.startswith(".epoch-") and not unanswered:
            unanswered.append(final)
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(disk, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(os, "replace", replace)
    run(data, tmp_path, "train.epochs=1")
    assert unanswered and checkpoints.newest(tmp_path / "checkpoints")[0]


def test_a_half_written_checkpoint_is_not_seen(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> Never:
        raise KilledError

    monkeypatch.setattr(checkpoints, "manifest", die)
    with pytest.raises(KilledError):
        loop.train(compose(data), tmp_path, HERE)
    assert checkpoints.newest(tmp_path / "checkpoints") == (None, [])
    monkeypatch.undo()
    run(data, tmp_path)
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.startswith(".")]


def test_accumulation_and_clipping_run_through_deepspeed(data: list[str], tmp_path: Path) -> None:
    run(data, tmp_path / "a", "train.accumulation=2", "train.clip=0.01", "eval.sets=[h36m]")
    run(data, tmp_path / "b", "train.accumulation=2", "eval.sets=[h36m]")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert not all(torch.equal(a[k], b[k]) for k in a)


def test_bf16_computes_in_bf16_and_trains(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    whole = network.soft_argmax
    monkeypatch.setattr(network, "soft_argmax", lambda logits, *a: (seen.add(logits.dtype), whole(logits, *a))[1])
    figures = run(data, tmp_path, "train.precision=bf16", "train.epochs=1", "eval.sets=[h36m]")
    assert figures["h36m"]["mpjpe"]["mean_over_frames"] > 0 and seen == {torch.bfloat16}


def test_fewer_samples_than_a_batch_are_refused(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fewer than one batch of 64"):
        run(data, tmp_path, "data.epoch_samples=0", "train.batch_size=64")


def test_training_learns(data: list[str], tmp_path: Path) -> None:
    alone = ("data.sources.mpii.share=0", "data.sources.coco.share=0", "eval.sets=[h36m]", "eval.every=0")
    still = [f"data.augment.{k}=0" for k in ("flip", "rotation", "scale", "translation")]
    more = (
        "data.test_subjects=[1]",
        "data.train_stride=1",
        "data.test_stride=1",
        "train.epochs=25",
        "train.learning_rate=3e-3",
    )
    figures = run(data, tmp_path, *alone, *still, *more, "train.milestones=[20]", "model.deconv_channels=32")
    errors = figures["h36m"]
    assert errors["mpjpe"]["mean_over_frames"] < errors["untrained_mpjpe"] * 0.6


def test_a_loss_that_is_not_finite_is_an_error(data: list[str], tmp_path: Path) -> None:
    path = tiny.write(tmp_path, "mpii")
    with h5py.File(path, "a") as file:
        file["samples/keypoints"][:, 3] = np.nan
    with pytest.raises(UserError, match="the loss is nan in epoch 1"):
        run(data, tmp_path / "run", f"data.sources.mpii.file={path}", "eval.sets=[h36m]")


def test_another_zero_stage_cannot_continue(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(data, tmp_path, stop_at=(1, 1), monkeypatch=monkeypatch)
    with pytest.raises(UserError, match="ZeRO stage 0"):
        run(data, tmp_path, "deepspeed=zero1")


def test_learning_rate_follows_the_milestones() -> None:
    c = compose(["preset=paper"])
    assert [loop.learning_rate(c, e) for e in (0, 169, 170, 190)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])


def test_the_journal_survives_a_torn_line(data: list[str], tmp_path: Path) -> None:
    run(data, tmp_path)
    path = RunPaths(tmp_path).journal
    whole = list(journal.read(path))
    path.write_bytes(path.read_bytes() + b'{"kind": "tra')
    assert list(journal.read(path)) == whole
    assert all(json.dumps(line, allow_nan=False) for line in whole)
    assert (tmp_path / "tensorboard").is_dir()
