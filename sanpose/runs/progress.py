"""The progress of a run in a terminal: the driver reads the run's journal."""

from __future__ import annotations

import collections
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from sanpose.runs.journal import Line
from sanpose.runs.paths import RunPaths

_POLL_SECONDS = 0.3


@contextmanager
def shown(folder: Path, console: Console, epochs: int, first_step: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Follow the journal of a run until the block ends. A terminal shows one line that changes; a file gets a line for
    every epoch and evaluation. Calls `first_step` once, when the journal holds a step of this start."""
    stop = threading.Event()
    follower = _Follower(RunPaths(folder).journal, console, epochs, first_step)
    thread = threading.Thread(target=follower.follow, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Follower:
    def __init__(self, path: Path, console: Console, epochs: int, first_step: Callable[[], None]):
        self.path, self.console, self.epochs, self.first_step = path, console, epochs, first_step
        self.stepped = False
        self.offset, self.inode = 0, 0
        self.shown: set[int] = set()  # hashes of the lines that were shown, or that earlier starts wrote
        self.again = False  # reading lines that a resumed run copied from the earlier start
        collections.deque(self._new_lines(), maxlen=0)

    def follow(self, stop: threading.Event) -> None:
        with self.console.status("starting the workers", spinner="dots") as status:
            while True:
                finished = stop.is_set()
                for line in self._new_lines():
                    if line["kind"] == "train":
                        if not self.stepped:
                            self.stepped = True
                            self.first_step()
                        status.update(train_line(line, self.epochs))
                    else:
                        self._print(line)
                if finished:
                    return
                stop.wait(_POLL_SECONDS)

    def _new_lines(self) -> Iterator[Line]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self.inode:  # a resumed run has dropped later lines, in a new file
                self.inode, self.offset, self.again = inode, 0, True
            file.seek(self.offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            self.again = self.again and hash(line) in self.shown
            self.shown.add(hash(line))
            if not self.again:
                yield json.loads(line)

    def _print(self, line: Line) -> None:
        if line["kind"] == "note":
            self.console.print(f"[yellow]{line['text']}[/]")
        elif line["kind"] == "epoch":
            self.console.print(epoch_line(line, self.epochs))
        elif line["kind"] in ("untrained", "evaluation", "final"):
            self.console.print(evaluation_line(line))


def train_line(line: Line, epochs: int) -> str:
    """A "train" line of the journal, for people: epoch, losses, speed, remaining time, delta."""
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  step {line['step']}/{line['steps']}  {_losses(line)}  "
        f"{line['images_per_s']:.1f} images/s  ETA {duration(line['eta_s'])}{_delta(line)}"
    )


def epoch_line(line: Line, epochs: int) -> str:
    return f"epoch {line['epoch']}/{epochs}  {_losses(line)}  lr {line['learning_rate']:.3g}{_delta(line)}"


def evaluation_line(line: Line) -> str:
    from sanpose.metrics.headline import headline

    units = {"mpjpe_mm": ("MPJPE", "{:.1f} mm"), "pckh": ("PCKh@0.5", "{:.1f} %"), "ap": ("AP", "{:.3f}")}
    parts = [f"{units[k][0]} {units[k][1].format(v)}" for k, v in headline(line["figures"]).items() if v is not None]
    return f"  {line['kind']}: " + ", ".join(parts)


def duration(seconds: float | None) -> str:
    """Seconds as h:mm:ss, or m:ss."""
    if seconds is None:
        return "?"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole_seconds:02d}" if hours else f"{minutes}:{whole_seconds:02d}"


def _losses(line: Line) -> str:
    return f"loss {line['loss']:.4f} (xy {line['loss_plane']:.4f}, z {line['loss_depth']:.4f})"


def _delta(line: Line) -> str:
    return "" if line.get("delta") is None else f"  delta {line['delta']:+.4f}"
