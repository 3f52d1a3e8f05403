"""What becomes of a trial: done, failed, stopped or pruned. Does not know what a result holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result", covariant=True)
Figures = Mapping[str, float | None]
"""Figures of a trial by name, such as {"mpjpe_mm": 51.2}; None for a figure that was not measured."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The trial has finished with a result."""

    result: Result


@dataclass(frozen=True)
class Failed:
    """The trial cannot finish. reason: one message for people."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """The trial has stopped on request, and can be resumed. checkpoint: its name."""

    checkpoint: str


@dataclass(frozen=True)
class Pruned:
    """The search has decided that the trial is not worth finishing."""


Outcome = Done[Result] | Failed | Stopped | Pruned
_KINDS = {"failed": Failed, "stopped": Stopped, "pruned": Pruned}


def to_json(outcome: Outcome[Mapping[str, object]]) -> str:
    """One line, for a process that reports its outcome to another."""
    return json.dumps({"kind": type(outcome).__name__.lower(), **asdict(outcome)})


def from_json(text: str) -> Outcome[Mapping[str, Any]]:
    """The outcome that `to_json` wrote."""
    values = json.loads(text)
    kind = values.pop("kind")
    return Done(values["result"]) if kind == "done" else _KINDS[kind](**values)
