"""The training loop: load, step, journal, evaluate, save. Does not know Ray; the caller gives each worker its place.

Losses in the journal are means over the global batch, or over the epoch so far, for any number of workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist

from sanpose.config.schema import Config
from sanpose.data import loader, packed, sources
from sanpose.errors import StoppedError, UserError
from sanpose.evaluation import sheets
from sanpose.evaluation.measure import evaluate, mean_pose_mpjpe
from sanpose.metrics.headline import MPJPE, figure, headline
from sanpose.metrics.headline import score as score_of
from sanpose.model.cost import network_cost
from sanpose.runs import checkpoints, control
from sanpose.runs.checkpoints import Checkpoint, Position
from sanpose.runs.journal import Journal, read
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult
from sanpose.training import checkpoint
from sanpose.training.engine import Engine, WorkerPlace

LINE_SECONDS = 1.0
PARTS = ("loss", "loss_plane", "loss_depth")

Figures = dict[str, dict[str, object]]
"""Figures by set, in the form of the metrics."""


@dataclass(frozen=True)
class EpochReport:
    """The number of finished epochs, and the score of the last one: lower is better; None without evaluation."""

    epoch: int
    score: float | None


def train(
    config: Config, folder: Path, place: WorkerPlace, report: Callable[[EpochReport], None] = lambda _: None
) -> Figures:
    """Train, or resume from the newest undamaged checkpoint of the run's folder, and evaluate at the end.

    Every worker calls this function with its own place, in an initialised process group; `report` is called after every
    epoch. Returns the figures of the last epoch's network on rank 0, and no figures on other ranks. Raises UserError
    for bad data and for a loss that is not finite, and StoppedError, naming the checkpoint, after a request to stop
    (`runs.control`).
    """
    torch.set_num_threads(threads(config, place))
    files = sources.opened(config)
    data = loader.training_set(config, files)
    engine = Engine(config, place)
    run = _Run(config, RunPaths(folder), place, engine, files, data)
    try:
        return run.train(report)
    finally:
        if run.journal:
            run.journal.close()
        engine.close()


def threads(config: Config, place: WorkerPlace) -> int:
    """The CPU threads of one worker: as configured, else the machine's cores divided by its workers."""
    if config.train.threads:
        return config.train.threads
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", place.world)))


def result_of(config: Config, figures: Figures, device: str) -> TrainingResult:
    """The result of a training in this process, with the cost of the network per image."""
    cost = network_cost(config.model, config.data.input_height, config.data.input_width).total
    return TrainingResult(figures, device, torch.get_num_threads(), cost.macs, cost.parameters)


def learning_rate(config: Config, epoch: int) -> float:
    """Adam's rate in an epoch (0-based): multiplied by gamma at every reached milestone."""
    return config.train.learning_rate * config.train.gamma ** sum(epoch >= m for m in config.train.milestones)


@dataclass
class _Run:
    config: Config
    paths: RunPaths
    place: WorkerPlace
    engine: Engine
    files: dict[str, packed.Packed]
    data: loader.TrainingSet
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    journal: Journal | None = None
    stop: bool = False
    delta: float | None = None  # the last value: under ZeRO-3 all workers must gather delta, so once an epoch

    def __post_init__(self) -> None:
        self._request = control.StopRequest(self.paths.folder)

    def train(self, report: Callable[[EpochReport], None]) -> Figures:
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
                self._draw_samples()
            if last or score is not None or (epoch + 1) % train.checkpoint_epochs == 0:
                self._save(Position(epoch + 1), score)
            report(EpochReport(epoch + 1, score))
        return self._figures()

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return self.data.mix.length // self.config.train.batch_size

    def _start(self) -> Position:
        """Restore the newest checkpoint, or measure the untrained network."""
        choice: list[tuple[Checkpoint | None, list[str]]] = [(None, [])]
        if self.place.rank == 0:
            choice = [checkpoints.newest(self.paths.checkpoints)]
        dist.broadcast_object_list(choice, 0)
        newest, damaged = choice[0]
        position = checkpoint.restore(newest, self.engine) if newest else Position()
        self.sums = torch.tensor([position.sums.get(p, 0.0) for p in PARTS], dtype=torch.float64)
        if self.place.rank == 0:
            self.journal = Journal(self.paths.folder, (position.epoch, position.step))
            for line in damaged:
                self._note(position, line)
            if newest:
                self._note(position, newest.resumed_by(self.place.world))
        if not newest:
            self._evaluate("untrained", 0, 0)
        return position

    def _epoch(self, epoch: int, first: int, batches: Iterator[loader.Batch]) -> None:
        self.engine.deepspeed.train()
        self.engine.set_learning_rate(learning_rate(self.config, epoch))
        train, images, start, reported = self.config.train, 0, time.monotonic(), 0.0
        if first == 0:
            self.sums.zero_()
        for step in range(first, self.steps):
            self._step(epoch, step, batches)
            images += train.batch_size
            now = time.monotonic()
            if self.journal and (now - reported > LINE_SECONDS or step + 1 == self.steps):
                self._progress(epoch, step + 1, images / (now - start))
                reported = now
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
                "images_per_s": images / (time.monotonic() - start),
            }
            self.journal.scalars("train", scalars, epoch + 1)

    def _step(self, epoch: int, step: int, batches: Iterator[loader.Batch]) -> None:
        parts = [self.engine.micro_step(next(batches)) for _ in range(self.config.train.accumulation)]
        losses = torch.stack([torch.stack(tuple(part)) for part in parts]).mean(0).double()
        # Every worker must stop at the same step: the votes to stop are summed with the losses.
        sums = torch.cat([losses, losses.new_tensor([float(self._request.received())])])
        if self.place.world > 1:
            dist.all_reduce(sums)
        losses, stop_votes = sums[:-1] / self.place.world, sums[-1]
        self.stop = bool(stop_votes > 0)
        if not torch.isfinite(losses[0]):
            raise UserError(
                f"the loss is {float(losses[0])} in epoch {epoch + 1}, step {step + 1}",
                where=self.paths.folder,
                expected="a finite loss",
                hint="a lower train.learning_rate, or train.clip=1; `sanpose data check` examines the data",
            )
        self.sums += losses.cpu()

    def _progress(self, epoch: int, step: int, rate: float) -> None:
        assert self.journal
        done = epoch * self.steps + step
        values = {p: v / step for p, v in zip(PARTS, self.sums.tolist(), strict=True)}
        remaining_s = (self.config.train.epochs * self.steps - done) * self.config.train.batch_size / rate
        if self.engine.deepspeed.zero_optimization_stage() < 3:
            self.delta = self.engine.delta()
        speed = {"steps": self.steps, "delta": self.delta, "images_per_s": rate, "eta_s": remaining_s}
        self.journal.write("train", epoch, step, **values, **speed)

    def _evaluate(self, kind: str, epoch: int, limit: int) -> Figures:
        self.engine.deepspeed.eval()
        figures = evaluate(
            self.config, self.files, self.engine.predict, limit=limit, rank=self.place.rank, world=self.place.world
        )
        if self.journal:
            self.journal.write(kind, epoch, 0, figures=figures)
            if kind != "untrained":
                self.journal.scalars("evaluation", headline(figures), epoch)
        return figures

    def _draw_samples(self) -> None:
        place, folder = self.place, self.paths.predictions
        sheets.write(self.config, self.files, self.engine.predict, folder, place.rank, place.world)

    def _save(self, position: Position, score: float | None) -> Path:
        return checkpoint.save(self.paths.checkpoints, self.engine, position, score, self.config.train.keep)

    def _note(self, position: Position, text: str) -> None:
        assert self.journal
        self.journal.write("note", position.epoch, position.step, text=text)

    def _figures(self) -> Figures:
        """The figures of the last evaluation, with the MPJPE of the untrained network and of the mean pose."""
        figures: Figures = {}
        if self.place.rank == 0:
            lines = list(read(self.paths.journal))
            figures = next(line["figures"] for line in reversed(lines) if line["kind"] == "final")
            untrained = next(line["figures"] for line in lines if line["kind"] == "untrained")
            if "h36m" in figures:
                figures["h36m"]["untrained_mpjpe"] = figure(untrained, MPJPE)
                figures["h36m"]["mean_pose_mpjpe"] = mean_pose_mpjpe(self.config, self.files["h36m"])
        return figures
