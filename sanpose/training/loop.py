"""The training loop: load, step, journal, evaluate, save. It knows nothing of Ray; whoever runs it gives it a place.

Losses in the journal are means over the global batch, or over the epoch so far, whatever the number of workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sanpose.config.schema import Config
from sanpose.data import loader, packed, sources
from sanpose.errors import StoppedError, UserError
from sanpose.evaluation import sheets
from sanpose.evaluation.measure import evaluate, mean_pose_mpjpe
from sanpose.metrics.headline import headline
from sanpose.metrics.headline import score as score_of
from sanpose.runs import checkpoints, control
from sanpose.runs.checkpoints import Position
from sanpose.runs.journal import NAME, Journal, read
from sanpose.training import checkpoint
from sanpose.training.engine import Engine, WorkerPlace

_LINE_SECONDS = 1.0
PARTS = ("loss", "loss_plane", "loss_depth")

EpochReporter = Callable[[dict[str, Any]], None]


def train(config: Config, folder: Path, place: WorkerPlace, report: EpochReporter = lambda _: None) -> dict[str, Any]:
    """Train, or continue from the newest undamaged checkpoint of the run's folder, and evaluate at the end.

    Every worker calls it with its own place, in an initialised process group. `report` is called by every worker
    after every epoch with {"epoch", "score"} (lower is better; None where nothing was evaluated). Returns the figures
    of the last epoch's network. Raises UserError for bad data, and when the loss is not finite; StoppedError, naming
    the checkpoint, when the run was asked to stop (`stopping`).
    """
    torch.set_num_threads(threads(config, place))
    files = sources.opened(config)
    data = loader.training_set(config, files)
    engine = Engine(config, place)
    run = _Run(config, folder, place, engine, files, data)
    try:
        return run.train(report)
    finally:
        if run.journal:
            run.journal.close()
        engine.close()


def threads(config: Config, place: WorkerPlace) -> int:
    """The CPU threads of one worker: as configured, else the machine's cores shared among its workers."""
    if config.train.threads:
        return config.train.threads
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", place.world)))


def learning_rate(config: Config, epoch: int) -> float:
    """Adam's rate in an epoch (0-based): multiplied by gamma at every milestone that has been reached."""
    return config.train.learning_rate * config.train.gamma ** sum(epoch >= m for m in config.train.milestones)


@dataclass
class _Run:
    config: Config
    folder: Path
    place: WorkerPlace
    engine: Engine
    files: dict[str, packed.Packed]
    data: loader.TrainingSet
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    journal: Journal | None = None
    stop: bool = False
    delta: float | None = None  # as last known: under ZeRO-3 all workers must gather it, so once an epoch

    def __post_init__(self) -> None:
        self._request = control.StopRequest(self.folder)

    def train(self, report: EpochReporter) -> dict[str, Any]:
        train = self.config.train
        position = self._start()
        batches = loader.batches(self.data, (position.epoch, position.step), self.place.rank, self.place.world)
        for epoch in range(position.epoch, train.epochs):
            self._epoch(epoch, position.step if epoch == position.epoch else 0, batches)
            last = epoch + 1 == train.epochs
            every = self.config.eval.every
            score = None
            if every and (last or (epoch + 1) % every == 0):
                score = score_of(self._evaluate("evaluation", epoch + 1, self.config.eval.every_samples))
            if last:
                self._evaluate("final", epoch + 1, 0)
                self._show()
            if last or score is not None or (epoch + 1) % train.checkpoint_epochs == 0:
                self._save(Position(epoch + 1), score)
            report({"epoch": epoch + 1, "score": score})
        return self._figures()

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return self.data.mix.length // self.config.train.batch_size

    def _start(self) -> Position:
        """Restore the newest checkpoint, or measure the untrained network."""
        found: list[Any] = [None]
        if self.place.rank == 0:
            found = [checkpoints.newest(self.folder / "checkpoints")]
        dist.broadcast_object_list(found, 0)
        newest, damaged = found[0]
        position = checkpoint.restore(newest, self.engine) if newest else Position()
        self.sums = torch.tensor([position.sums.get(p, 0.0) for p in PARTS], dtype=torch.float64)
        if self.place.rank == 0:
            self.journal = Journal(self.folder, (position.epoch, position.step))
            for line in damaged:
                self._note(position, line)
            if newest:
                self._note(position, newest.continued_by(self.place.world))
        if not newest:
            self._evaluate("untrained", 0, 0)
        return position

    def _epoch(self, epoch: int, first: int, batches: Any) -> None:
        self.engine.deepspeed.train()
        self.engine.set_learning_rate(learning_rate(self.config, epoch))
        train, seen, begun, told = self.config.train, 0, time.monotonic(), 0.0
        if first == 0:
            self.sums.zero_()
        for step in range(first, self.steps):
            self._step(epoch, step, batches)
            seen += train.batch_size
            now = time.monotonic()
            if self.journal and (now - told > _LINE_SECONDS or step + 1 == self.steps):
                self._progress(epoch, step + 1, seen / (now - begun))
                told = now
            due = train.checkpoint_steps and (step + 1) % train.checkpoint_steps == 0 and step + 1 < self.steps
            if due or self.stop:
                path = self._save(Position(epoch, step + 1, dict(zip(PARTS, self.sums.tolist(), strict=True))), None)
                if self.stop:
                    raise StoppedError(path.name)
        self.delta = self.engine.delta()
        if self.journal:
            means = {p: v / self.steps for p, v in zip(PARTS, self.sums.tolist(), strict=True)}
            rate = learning_rate(self.config, epoch)
            self.journal.write("epoch", epoch + 1, 0, **means, delta=self.delta, learning_rate=rate)
            scalars = {
                **means,
                "delta": self.delta,
                "learning_rate": rate,
                "images_per_s": seen / (time.monotonic() - begun),
            }
            self.journal.scalars("train", scalars, epoch + 1)

    def _step(self, epoch: int, step: int, batches: Any) -> None:
        parts = [self.engine.micro_step(next(batches)) for _ in range(self.config.train.accumulation)]
        losses = torch.stack([torch.stack(tuple(part)) for part in parts]).mean(0).double()
        # Every worker must stop at the same step: whether any was asked goes round with the losses.
        told = torch.cat([losses, losses.new_tensor([float(self._request.asked())])])
        if self.place.world > 1:
            dist.all_reduce(told)
        losses = told[:-1] / self.place.world
        self.stop = bool(told[-1] > 0)
        if not torch.isfinite(losses[0]):
            raise UserError(
                f"the loss is {float(losses[0])} in epoch {epoch + 1}, step {step + 1}",
                where=self.folder,
                expected="a finite loss",
                hint="a lower train.learning_rate, or train.clip=1; `sanpose data check` examines the data",
            )
        self.sums += losses.cpu()

    def _progress(self, epoch: int, step: int, rate: float) -> None:
        assert self.journal
        done = epoch * self.steps + step
        values = {p: v / step for p, v in zip(PARTS, self.sums.tolist(), strict=True)}
        left = (self.config.train.epochs * self.steps - done) * self.config.train.batch_size / rate
        if self.engine.deepspeed.zero_optimization_stage() < 3:
            self.delta = self.engine.delta()
        told = {"steps": self.steps, "delta": self.delta, "images_per_s": rate, "eta_s": left}
        self.journal.write("train", epoch, step, **values, **told)

    def _evaluate(self, kind: str, epoch: int, limit: int) -> dict[str, Any]:
        self.engine.deepspeed.eval()
        figures = evaluate(
            self.config, self.files, self.engine.predict, limit=limit, rank=self.place.rank, world=self.place.world
        )
        if self.journal:
            self.journal.write(kind, epoch, 0, figures=figures)
            if kind != "untrained":
                self.journal.scalars("evaluation", headline(figures), epoch)
        return figures

    def _show(self) -> None:
        place = self.place
        sheets.write(self.config, self.files, self.engine.predict, self.folder, place.rank, place.world)

    def _save(self, position: Position, score: float | None) -> Path:
        return checkpoint.save(self.folder / "checkpoints", self.engine, position, score, self.config.train.keep)

    def _note(self, position: Position, text: str) -> None:
        assert self.journal
        self.journal.write("note", position.epoch, position.step, text=text)

    def _figures(self) -> dict[str, Any]:
        """The result: the last evaluation's figures beside what no training, and no looking, would reach."""
        figures: dict[str, Any] = {}
        if self.place.rank == 0:
            lines = list(read(self.folder / NAME))
            figures = next(line["figures"] for line in reversed(lines) if line["kind"] == "final")
            untrained = next(line["figures"] for line in lines if line["kind"] == "untrained")
            if "h36m" in figures:
                figures["h36m"]["untrained_mpjpe"] = untrained["h36m"]["mpjpe"]["mean_over_frames"]
                figures["h36m"]["mean_pose_mpjpe"] = mean_pose_mpjpe(self.config, self.files["h36m"])
        return figures
