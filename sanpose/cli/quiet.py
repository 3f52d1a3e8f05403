"""Image libraries print their own lines on the terminal; the messages of sanpose say what matters."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries of C write to standard error off the terminal; what Python writes there still arrives."""
    try:
        terminal = os.dup(_STDERR)
    except OSError:  # this process has no standard error
        yield
        return
    python, stream = sys.stderr, None
    if isinstance(python, io.TextIOWrapper) and _number(python) == _STDERR:
        python.flush()
        stream = open(terminal, "w", encoding=python.encoding, errors=python.errors, buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = stream
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    try:
        yield
    finally:
        if stream:
            stream.flush()
            sys.stderr = python
        os.dup2(terminal, _STDERR)
        os.close(terminal)


def _number(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except OSError:  # a stream in memory
        return None
