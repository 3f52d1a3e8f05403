"""A small study for the tests, opened in a folder, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sweeps import definition
from sweeps.study import Study, TrialSpec

GRID: dict[str, object] = {"axes": {"a": [0.0, 0.5, 1.0], "b": ["x", "y"]}}


def study(folder: Path, seeds: int = 1, raw: Mapping[str, object] = GRID, **search: object) -> Study:
    return Study(folder, "s", definition.read(raw, search), seeds)


def ask_all(found: Study) -> list[TrialSpec]:
    trials = []
    while (one := found.next()) is not None:
        trials.append(one)
    return trials
