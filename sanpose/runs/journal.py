"""What a run says of itself while it trains: metrics.jsonl and TensorBoard scalars, written by worker 0.

A line is {"kind", "epoch", "step", ...}. Kinds: "train" (progress within an epoch), "epoch" (its means), "evaluation",
"untrained", "final", "note" (text for a person). When a run continues from a checkpoint, the lines past it are dropped:
the epochs and evaluations of an interrupted run then read like those of one never interrupted.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sanpose import disk

NAME = "metrics.jsonl"


class Journal:
    """The journal of one run's folder; `tensorboard` takes every number of "train" and "epoch" lines."""

    def __init__(self, folder: Path, start: tuple[int, int]):
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / NAME
        disk.patiently(folder, lambda: self._drop_after(start))
        self._file = disk.patiently(folder, lambda: self.path.open("ab", buffering=0))
        self._board = disk.patiently(folder, lambda: SummaryWriter(str(folder / "tensorboard"), purge_step=None))

    def write(self, kind: str, epoch: int, step: int, **values: Any) -> None:
        line = {"kind": kind, "epoch": epoch, "step": step, **_finite(values)}
        left = memoryview(json.dumps(line, allow_nan=False).encode() + b"\n")

        def append() -> None:
            nonlocal left
            while left:
                left = left[self._file.write(left) :]

        disk.patiently(self.path.parent, append)

    def scalars(self, group: str, values: Mapping[str, float | None], at: int) -> None:
        for name, value in values.items():
            if value is not None:
                self._scalar(f"{group}/{name}", value, at)

    def _scalar(self, name: str, value: float, at: int) -> None:
        try:
            self._board.add_scalar(name, value, at)
        except OSError as error:  # of the writer's thread, which has ended by it
            from torch.utils.tensorboard import SummaryWriter

            print(f"TensorBoard's file cannot be written ({error}): another one is begun", file=sys.stderr, flush=True)
            folder = self.path.parent
            self._board = disk.patiently(folder, lambda: SummaryWriter(str(folder / "tensorboard")))
            self._board.add_scalar(name, value, at)

    def close(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):  # the journal has everything that TensorBoard's file has
            self._board.close()

    def _drop_after(self, start: tuple[int, int]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return
        kept = [line for line in read(self.path) if line["kind"] == "note" or (line["epoch"], line["step"]) <= start]
        part = self.path.with_name(f".{NAME}.part")
        part.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(part, self.path)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a journal; a torn last line is left out."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
