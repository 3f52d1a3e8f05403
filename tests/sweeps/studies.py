"""A small study for the tests, opened in a folder, and what it asks for."""

from __future__ import annotations

from sweeps import definition
from sweeps.study import Study

GRID = {"axes": {"a": [0.0, 0.5, 1.0], "b": ["x", "y"]}}


def study(folder, seeds=1, raw=GRID, **search):
    return Study(folder, "s", definition.read(raw, search), seeds)


def ask_all(found):
    asked = []
    while (one := found.next()) is not None:
        asked.append(one)
    return asked
