"""From all runs to those that stand for the cells of Table 1: grouped, so that no figure mixes configurations.

Runs that differ in nothing but the seed (and in what doesn't define a run) make one group; a group is a cell trained in
one way. Two cells can be compared where their groups were trained in the same way, which is their `base`, on the same
files.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sanpose.config.schema import NUISANCE
from sanpose.report.selection.cells import LETTERS, SETTINGS, CellDefinition, Standing, changes, definitions, standing
from sanpose.report.selection.runs import CellRuns, preset, seed_of
from sanpose.runs.ledger import RunRecord

_PRESETS = {"paper": 2, "smoke": 0}  # any other preset lies between
_SPREAD = frozenset({*NUISANCE, "train.seed"} - {"preset"})


@dataclass(frozen=True)
class CellGroup:
    """Runs of one configuration. `runs`: one per seed, in order of the seeds. `base`: the configuration without what
    makes the cell, as one text. `changes`: in what they were trained otherwise than their preset as shipped, in words.
    `changed`: of the newest run, seconds since 1970."""

    standing: Standing
    base: str
    runs: tuple[RunRecord, ...]
    changes: tuple[str, ...]
    changed: float

    @functools.cached_property
    def done(self) -> dict[int, RunRecord]:
        """Seed -> run, of those that are done."""
        return {seed_of(run): run for run in self.runs if run.status == "done"}

    @property
    def rank(self) -> int:
        """How full its preset is: paper before others before smoke."""
        return _PRESETS.get(preset(self.runs[0].config), 1)


@dataclass(frozen=True)
class RunSelection:
    """`cells`: a to g, also those without runs. `groups`: every group that stands for a cell, as defined or by its
    label. `others`: the runs that stand for no cell."""

    cells: tuple[CellRuns, ...]
    groups: tuple[CellGroup, ...]
    others: tuple[RunRecord, ...]


def select(records: Sequence[RunRecord], config_dir: Path, keys: Mapping[str, str]) -> RunSelection:
    """The runs of each cell, a to g. keys: run's id -> `settings_of` it.

    Of a cell's groups the one shown is: the cell as defined before one by its label only; one with a finished run; of
    the fullest preset (paper, others, smoke); trained as that preset says; in the way in which most cells are done; in
    the newest way.
    Raises UserError when the cells' definitions can't be read.
    """
    defined = definitions(config_dir, {preset(r.config) for r in records})
    standings = {r.id: standing(r, defined.get(preset(r.config), {})) for r in records}
    groups = _groups([r for r in records if standings[r.id].letter], standings, keys, defined)
    order = _Preference(groups)
    cells = []
    for letter in LETTERS:
        own = [g for g in groups if g.standing.letter == letter]
        best = max(own, key=order.key, default=None)
        shown = {run.id: run for run in best.runs} if best else {}
        left = (r for r in records if standings[r.id].letter == letter and r.id not in shown)
        told = (best.standing.strays, best.changes) if best else ((), ())
        cells.append(CellRuns(letter, tuple(shown.values()), tuple(left), *told))
    return RunSelection(tuple(cells), groups, tuple(r for r in records if not standings[r.id].letter))


class _Preference:
    """What makes one group of a cell be shown rather than another."""

    def __init__(self, groups: Sequence[CellGroup]):
        self._done: dict[str, set[str]] = {}
        self._newest: dict[str, float] = {}
        for group in groups:
            if group.done and not group.standing.strays:
                self._done.setdefault(group.base, set()).add(group.standing.letter)
            self._newest[group.base] = max(group.changed, self._newest.get(group.base, 0.0))

    def key(self, group: CellGroup) -> tuple[bool, bool, int, bool, int, float, float]:
        done = len(self._done.get(group.base, ()))
        fits = not group.standing.strays
        return fits, bool(group.done), group.rank, not group.changes, done, self._newest[group.base], group.changed


def _groups(
    records: Sequence[RunRecord],
    standings: Mapping[str, Standing],
    keys: Mapping[str, str],
    defined: Mapping[str, Mapping[str, CellDefinition]],
) -> tuple[CellGroup, ...]:
    """The groups of records that stand for a cell, in order of their first run's age."""
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for record in sorted(records, key=lambda r: (r.changed, r.id)):
        found.setdefault((standings[record.id].letter, keys[record.id]), []).append(record)
    groups = []
    for (letter, _), runs in found.items():
        changed = changes(runs[0], defined.get(preset(runs[0].config), {}), letter)
        groups.append(CellGroup(standings[runs[0].id], _base(runs[0]), _one_per_seed(runs), changed, runs[-1].changed))
    return tuple(groups)


def _one_per_seed(runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Of runs sorted by age: a seed trained again takes the place of its earlier run."""
    return tuple(sorted({seed_of(run): run for run in runs}.values(), key=seed_of))


def settings_of(run: RunRecord) -> str:
    """What runs must have in common to be averaged, as one text: everything that defines them but the seed."""
    return _text([_without(run.config, _tree(_SPREAD)), run.extra.get("fingerprints"), run.extra.get("synthetic")])


def same_data(a: RunRecord, b: RunRecord) -> bool:
    """Whether two runs saw the same files of every source that both use, to train on or to be measured on."""
    one, other = _fingerprints(a), _fingerprints(b)
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _base(run: RunRecord) -> str:
    """What two cells must have in common to be compared; of the data files only the one that all cells train on: of the
    others `same_data` tells."""
    settings = _without(run.config, _tree(_SPREAD.union(SETTINGS)))
    return _text([settings, _fingerprints(run).get("h36m"), run.extra.get("synthetic")])


def _fingerprints(run: RunRecord) -> Mapping[str, Any]:
    """Source -> what its file holds, of the sources that a run uses."""
    found = run.extra.get("fingerprints")
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@functools.cache
def _tree(keys: frozenset[str]) -> dict[str, Any]:
    """Dotted keys as nested mappings, None at the last part."""
    tree: dict[str, Any] = {}
    for dotted in keys:
        *path, last = dotted.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = None
    return tree


def _without(config: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without a tree's keys, in one pass: it is done for every run."""
    return {
        key: _without(value, tree[key]) if tree.get(key) and isinstance(value, dict) else value
        for key, value in config.items()
        if key not in tree or tree[key] is not None
    }
