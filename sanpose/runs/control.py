"""How a run is asked to stop at its next step, and keep a checkpoint: by a line in its control file.

Every worker of a run sees its folder, on whatever node it is. The file is there from the start and is only appended to:
a network file system may for a minute not see a file that is new, but an open of one that is there asks its server.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "control"
_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0


def clear(folder: Path) -> None:
    """Take back what an earlier start was asked."""
    (folder / _NAME).write_text("")


def ask(folder: Path) -> None:
    """Ask the run in a folder to stop."""
    with (folder / _NAME).open("a") as control:
        control.write("stop\n")


class StopRequest:
    """A worker's view of whether its run was asked to stop; the file is read once a second."""

    def __init__(self, folder: Path):
        self._path = folder / _NAME
        self._asked, self._looked = False, 0.0

    def asked(self) -> bool:
        now = time.monotonic()
        if not self._asked and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            with contextlib.suppress(OSError):  # out of reach for a while: at the next look
                self._asked = self._path.exists() and "stop" in self._path.read_text()
        return self._asked


class Signal:
    """SIGUSR1 to this process, noted from the moment this is made. The handler only sets a flag."""

    def __init__(self) -> None:
        self.got = False
        signal.signal(signal.SIGUSR1, self._note)

    def _note(self, *_: object) -> None:
        self.got = True

    @contextmanager
    def passed_on(self, ask: Callable[[], None]) -> Iterator[None]:
        """Call `ask` once, from a thread, as soon as the signal has come."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_POLL_SECONDS):
                if self.got:
                    with contextlib.suppress(OSError):  # the file system is full or read-only: at the next look
                        return ask()
            return None

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
