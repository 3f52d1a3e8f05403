"""The one exception about machines and jobs that reaches the user."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """A problem with a machine or a job: what is wrong, where, what was expected, what to try."""

    def __init__(
        self, what: str, *, where: Path | str | None = None, expected: str | None = None, hint: str | None = None
    ):
        super().__init__(what, where, expected, hint)
        self.what, self.where, self.expected, self.hint = what, where, expected, hint

    def __str__(self) -> str:
        lines = [self.what]
        lines += [
            f"  {name}: {value}"
            for name, value in (("where", self.where), ("expected", self.expected), ("try", self.hint))
            if value is not None
        ]
        return "\n".join(lines)
