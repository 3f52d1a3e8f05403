"""Commands of Slurm's that are not Slurm's: small shell scripts, first on PATH, that note how they were called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Commands:
    """A folder at the front of PATH. `calls` gives the arguments of every call of a command, one line each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(self, name: str, script: str) -> None:
        """A command that notes its call and then runs the lines of shell."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "$*" >> {self.folder}/{name}.calls\n{script}\n')
        path.chmod(0o755)

    def prints(self, name: str, text: str, code: int = 0, complaint: str = "") -> None:
        """A command that prints a text and a complaint, and ends with a code."""
        (self.folder / f"{name}.out").write_text(text)
        (self.folder / f"{name}.err").write_text(complaint)
        self.put(name, f"cat {self.folder}/{name}.out; cat {self.folder}/{name}.err >&2; exit {code}")

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(tmp_path / "bin", monkeypatch)
