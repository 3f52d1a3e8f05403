"""The state of the only run, what the terminal shows, and which files are opened, for the tests."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from sanpose.status.states import RunState
from sanpose.status.terminal import to_terminal
from sanpose.status.watch import snapshot


def only(runs: Path) -> RunState:
    (run,) = snapshot(runs).loose
    return run


def shown(runs: Path, *, everything: bool = False) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(to_terminal(snapshot(runs), everything=everything))
    return console.export_text()


@contextmanager
def unreadable(*folders: Path) -> Iterator[None]:
    """While the block runs, this process may not look into some folders; root becomes nobody for it."""
    user = os.geteuid()
    for folder in folders:
        folder.chmod(0o000)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for folder in folders:
            folder.chmod(0o755)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files opened below temporary folders while the block runs."""
    files: list[str] = []
    listening = [True]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "open" and isinstance(arguments[0], str | os.PathLike):
            files.append(str(arguments[0]))

    sys.addaudithook(hook)  # cannot be taken away again, only silenced
    yield files
    listening.clear()
