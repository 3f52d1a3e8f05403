"""The end of a run's journal, followed as it grows: only what is new is read.

Knows the lines of `sanpose.journal`; does not know the run's record.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_TAIL_BYTES = 32_768  # the last epoch's lines and evaluations of every set
_KIND = re.compile(rb'\{"kind": "(\w+)"')  # as the journal writes it
Signature = tuple[int, int, int]


def signature(path: Path) -> Signature | None:
    """What tells whether a file has changed: modified (ns), size, inode. None where there is no file."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Tail:
    """The newest line of each kind in a journal: `train`, `epoch`, and `evaluation` for every kind with figures.

    `problem`: what is wrong with the last line that could not be read, None when there was none.
    """

    def __init__(self, path: Path):
        self.path = path
        self.signature: Signature | None = None
        self._clear()

    def _clear(self) -> None:
        self.offset = 0
        self.train: dict[str, Any] | None = None
        self.epoch: dict[str, Any] | None = None
        self.evaluation: dict[str, Any] | None = None
        self.problem: str | None = None

    def refresh(self) -> bool:
        """Read what has been added since the last time, from the beginning when the file was replaced; a last line
        without its end is left for later. Whether anything changed. Raises OSError when the file cannot be read."""
        found = signature(self.path)
        if found == self.signature:
            return False
        before, self.signature = self.signature, found
        if before is None or found is None or found[2] != before[2] or found[1] < self.offset:
            self._clear()
        if found is not None:
            self._read(found[1])
        return True

    def _read(self, size: int) -> None:
        first = self.offset == 0
        begin = max(0, size - _TAIL_BYTES) if first else self.offset
        with self.path.open("rb") as file:
            self._take(file, begin, partial=begin > 0 and first)
            if begin and first and self.train is None and self.epoch is None:  # the tail held evaluations alone
                self._take(file, 0, partial=False)

    def _take(self, file: Any, begin: int, *, partial: bool) -> None:
        file.seek(begin)
        data = file.read()
        end = data.rfind(b"\n") + 1
        self.offset = begin + end
        lines = data[:end].split(b"\n")[:-1]
        newest: dict[str, dict[str, Any]] = {}
        for line in reversed(lines[1:] if partial else lines):
            slot = _slot(line)
            if slot in newest or slot == "note":
                continue
            self._parse(line, newest)
            if newest.keys() >= {"train", "epoch", "evaluation"}:
                break
        self.train = newest.get("train", self.train)
        self.epoch = newest.get("epoch", self.epoch)
        self.evaluation = newest.get("evaluation", self.evaluation)

    def _parse(self, line: bytes, newest: dict[str, dict[str, Any]]) -> None:
        try:
            value = json.loads(line)
        except ValueError as error:
            self.problem = f"a line is not JSON: {error}"
            return
        if not isinstance(value, dict):
            self.problem = "a line is not a JSON object"
            return
        newest.setdefault("evaluation" if "figures" in value else str(value.get("kind")), value)


def _slot(line: bytes) -> str | None:
    """The kind of a line by its beginning; None where it must be parsed to tell."""
    match = _KIND.match(line)
    kind = match[1].decode() if match else None
    return "evaluation" if kind in ("untrained", "final") else kind
