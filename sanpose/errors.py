"""The exceptions that reach a user: what is wrong, where, what was expected, what to try."""

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
        # Worker processes pickle errors, and the default pickling drops keyword-only arguments.
        return _rebuild, (self.what, self.where and str(self.where), self.expected, self.hint)


class TrainingFailedError(Exception):
    """The workers died more often than `train.max_failures` allows; the message names their logs. Exit code 1."""


class StoppedError(Exception):
    """A run or a sweep stopped on request. Its checkpoint stays; run the same command again to resume.
    Exit code 75 (sysexits' EX_TEMPFAIL)."""


def _rebuild(what: str, where: object, expected: str | None, hint: str | None) -> UserError:
    return UserError(what, where=where, expected=expected, hint=hint)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """A hint that names the candidate closest to a misspelt word, or None when nothing is close."""
    match = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else None
