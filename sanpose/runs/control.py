"""Ask a run to stop at its next step and keep a checkpoint: by a line in its control file.

Every worker of a run sees its folder, on every node. The file exists from the start, and a request appends to it: a
network file system may hide a new file for a minute, but opening an existing file asks the server.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sanpose.runs.paths import RunPaths

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0


def clear(folder: Path) -> None:
    """Remove the requests to an earlier start."""
    RunPaths(folder).control.write_text("")


def request_stop(folder: Path) -> None:
    """Ask the run in a folder to stop."""
    with RunPaths(folder).control.open("a") as control:
        control.write("stop\n")


class StopRequest:
    """A request to stop a run, as a worker sees it. The worker reads the file once a second."""

    def __init__(self, folder: Path):
        self._path = RunPaths(folder).control
        self._received, self._read_at = False, 0.0

    def received(self) -> bool:
        now = time.monotonic()
        if not self._received and now - self._read_at >= _LOOK_SECONDS:
            self._read_at = now
            with contextlib.suppress(OSError):  # unreadable for a while: try again at the next look
                self._received = self._path.exists() and "stop" in self._path.read_text()
        return self._received


class Signal:
    """SIGUSR1 to this process, caught as soon as this object exists. The handler only sets a flag."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGUSR1, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    @contextmanager
    def passed_on(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` once, from a thread, as soon as the signal arrives."""
        finished = threading.Event()

        def watch() -> None:
            while not finished.wait(_POLL_SECONDS):
                if self.received:
                    with contextlib.suppress(OSError):  # the file system is full or read-only: try again
                        return stop()
            return None

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()
