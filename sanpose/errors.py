"""The one exception that reaches a person: what is wrong, where, what was expected, what to try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input (a file, a configuration key, an override, data). The command line prints it and exits with code 2."""

    def __init__(self, what: str, *, where: object = None, expected: str | None = None, hint: str | None = None):
        self.what, self.where, self.expected, self.hint = what, where, expected, hint
        super().__init__(self.text())

    def text(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where:    {self.where}")
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  try:      {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default pickling, which worker processes rely on.
        return _rebuild, (self.what, self.where and str(self.where), self.expected, self.hint)


class TrainingFailedError(Exception):
    """The workers died more often than `train.max_failures` allows; the message names their logs. Exit code 1."""


class StoppedError(Exception):
    """A run or a sweep was asked to stop, and has: what it has reached is kept, and the same command goes on with it.
    Exit code 75 (sysexits' EX_TEMPFAIL)."""


def _rebuild(what: str, where: object, expected: str | None, hint: str | None) -> UserError:
    return UserError(what, where=where, expected=expected, hint=hint)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word closest to a misspelt one, or None when nothing is close."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else None
