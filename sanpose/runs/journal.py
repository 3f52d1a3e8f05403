"""A run's journal, metrics.jsonl, and its TensorBoard scalars. Worker 0 writes both while the run trains.

A line is {"kind", "epoch", "step", ...}. Kinds: "train" (progress within an epoch), "epoch" (its means), "evaluation",
"untrained", "final", "note" (text for a person). When a run resumes from a checkpoint, the journal drops the lines past
the checkpoint: the epochs and evaluations of an interrupted run then read like those of an uninterrupted run.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from sanpose import disk
from sanpose.runs.paths import RunPaths


class Line(TypedDict, total=False):
    """A line of the journal; which keys it has depends on its kind. Losses are dimensionless; rates are images/s."""

    kind: str
    epoch: int
    step: int
    steps: int
    loss: float
    loss_plane: float
    loss_depth: float
    delta: float | None
    learning_rate: float
    images_per_s: float
    eta_s: float
    figures: dict[str, dict[str, object]]
    text: str


class Journal:
    """The journal of one run's folder. start: the (epoch, step) of the checkpoint that the run resumes from."""

    def __init__(self, folder: Path, start: tuple[int, int]):
        from torch.utils.tensorboard import SummaryWriter

        self.path, board = RunPaths(folder).journal, RunPaths(folder).tensorboard
        disk.patiently(folder, lambda: self._drop_after(start))
        self._file = disk.patiently(folder, lambda: self.path.open("ab", buffering=0))
        self._board = disk.patiently(folder, lambda: SummaryWriter(str(board), purge_step=None))

    def write(self, kind: str, epoch: int, step: int, **values: object) -> None:
        line = {"kind": kind, "epoch": epoch, "step": step, **{name: _finite(v) for name, v in values.items()}}
        unwritten = memoryview(json.dumps(line, allow_nan=False).encode() + b"\n")

        def append() -> None:
            nonlocal unwritten
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]

        disk.patiently(self.path.parent, append)

    def scalars(self, group: str, values: Mapping[str, float | None], at: int) -> None:
        for name, value in values.items():
            if value is not None:
                self._scalar(f"{group}/{name}", value, at)

    def _scalar(self, name: str, value: float, at: int) -> None:
        try:
            self._board.add_scalar(name, value, at)
        except OSError as error:  # the error has ended the writer's thread
            from torch.utils.tensorboard import SummaryWriter

            print(f"cannot write TensorBoard's file ({error}): starting another", file=sys.stderr, flush=True)
            folder = self.path.parent
            board = RunPaths(folder).tensorboard
            self._board = disk.patiently(folder, lambda: SummaryWriter(str(board)))
            self._board.add_scalar(name, value, at)

    def close(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):  # the journal holds everything in TensorBoard's file
            self._board.close()

    def _drop_after(self, start: tuple[int, int]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return
        valid = [line for line in read(self.path) if line["kind"] == "note" or (line["epoch"], line["step"]) <= start]
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text("".join(json.dumps(line) + "\n" for line in valid))
        os.replace(part, self.path)


def read(path: Path) -> Iterator[Line]:
    """The complete lines of a journal, without a torn last line."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
