"""The end of a run's journal: each refresh reads the new lines only.

Knows the lines of `sanpose.runs.journal`; does not know the run's record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sanpose.status.follow import FollowedFile
from sweeps.files import parsed

_TAIL_BYTES = 32_768  # the last epoch's lines and evaluations of every set
_KIND = re.compile(rb'\{"kind": "(\w+)"')  # as the journal writes it


class JournalTail(FollowedFile):
    """The newest line of each kind in a journal: `train`, `epoch`, and `evaluation` for every kind with figures.

    `problem`: what is wrong with the last unreadable line, None when every line could be read.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self._clear()

    def _clear(self) -> None:
        self.train: Mapping[str, object] | None = None
        self.epoch: Mapping[str, object] | None = None
        self.evaluation: Mapping[str, object] | None = None
        self.problem: str | None = None

    def refresh(self) -> bool:
        """Read the lines added since the last call, or the whole of a replaced file. Returns whether the file changed.
        Raises OSError when the file cannot be read."""
        if not self.changed():
            return False
        if self.offset == 0:
            self._clear()
            self._take(self.lines(last=_TAIL_BYTES))
            if self.train or self.epoch:
                return True
            self.offset = 0  # the last bytes had lines of evaluations only
        self._take(self.lines())
        return True

    def _take(self, lines: Sequence[bytes]) -> None:
        newest: dict[str, Mapping[str, object]] = {}
        for line in reversed(lines):
            slot = _slot(line)
            if slot in newest or slot == "note":
                continue
            self._parse(line, newest)
            if newest.keys() >= {"train", "epoch", "evaluation"}:
                break
        self.train = newest.get("train", self.train)
        self.epoch = newest.get("epoch", self.epoch)
        self.evaluation = newest.get("evaluation", self.evaluation)

    def _parse(self, line: bytes, newest: dict[str, Mapping[str, object]]) -> None:
        try:
            value = parsed(line)
        except ValueError as error:
            self.problem = f"a line is not JSON: {error}"
            return
        if not isinstance(value, dict):
            self.problem = "a line is not a JSON object"
            return
        newest.setdefault("evaluation" if "figures" in value else str(value.get("kind")), value)


def _slot(line: bytes) -> str | None:
    """The kind of a line by its beginning; None where the line must be parsed."""
    match = _KIND.match(line)
    kind = match[1].decode() if match else None
    return "evaluation" if kind in ("untrained", "final") else kind
