"""The outcome of a trial: done, failed, stopped or pruned. Does not know what a result holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

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
    """The trial has stopped on request, and can be resumed. checkpoint: the checkpoint's name."""

    checkpoint: str


@dataclass(frozen=True)
class Pruned:
    """The search has decided that the trial is not worth finishing."""


Outcome = Done[Result] | Failed | Stopped | Pruned
_KINDS = {"failed": Failed, "stopped": Stopped, "pruned": Pruned}


def to_json(outcome: Outcome[object]) -> str:
    """One line of JSON. The result must be plain data."""
    return json.dumps({"kind": type(outcome).__name__.lower(), **asdict(outcome)})


def from_json(text: str) -> Outcome[object]:
    """The outcome that `to_json` wrote; its result is plain data."""
    values = json.loads(text)
    kind = values.pop("kind")
    return Done(values["result"]) if kind == "done" else _KINDS[kind](**values)
