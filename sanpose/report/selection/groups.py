"""The runs that stand for the cells of Table 1, in groups, so that no figure mixes configurations.

Runs that differ only in the seed (and in keys that do not define a run) form one group; a group is a cell trained in
one way. Two cells can be compared where their groups were trained in the same way, which is their `base`, on the same
files.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sanpose.config.plain import without
from sanpose.config.schema import NUISANCE
from sanpose.report.selection.cells import (
    LETTERS,
    SETTINGS,
    CellDefinition,
    CellMatch,
    changes,
    definitions,
    match_cell,
)
from sanpose.report.selection.runs import CellRuns, seed_of
from sanpose.runs import facts
from sanpose.runs.facts import preset, setting
from sanpose.runs.ledger import RunRecord

_PRESETS = {"paper": 2, "smoke": 0}  # any other preset ranks between them
_SPREAD = frozenset({*NUISANCE, "train.seed"} - {"preset"})
_NOT_BASE = _SPREAD.union(SETTINGS)


@dataclass(frozen=True)
class CellGroup:
    """Runs of one configuration. `runs`: one per seed, in order of the seeds. `base`: the configuration without the
    settings that define the cell, as one text. `changes`: the training settings that differ from the shipped preset, in
    words. `changed`: when the newest run changed, in seconds since 1970."""

    match: CellMatch
    base: str
    runs: tuple[RunRecord, ...]
    changes: tuple[str, ...]
    changed: float

    @functools.cached_property
    def done(self) -> dict[int, RunRecord]:
        """Seed -> run, of the finished runs."""
        return {seed_of(run): run for run in self.runs if run.status == "done"}

    @property
    def preset(self) -> str:
        return preset(self.runs[0].config)

    @property
    def rank(self) -> int:
        """The scale of the preset: paper before others before smoke."""
        return _PRESETS.get(self.preset, 1)


@dataclass(frozen=True)
class RunSelection:
    """`cells`: a to g, also cells without runs. `groups`: every group that stands for a cell, by its settings or by its
    label. `others`: the runs that stand for no cell."""

    cells: tuple[CellRuns, ...]
    groups: tuple[CellGroup, ...]
    others: tuple[RunRecord, ...]


def select(records: Sequence[RunRecord], config_dir: Path, keys: Mapping[str, str]) -> RunSelection:
    """The runs of each cell, a to g. keys: run id -> `settings_of` the run.

    A cell with several groups shows the best one: a group with the cell's settings before one with its label only; then
    one with a finished run; of the fullest preset (paper, others, smoke); trained as that preset says; in the way in
    which most cells have finished runs; in the newest way.
    Raises UserError when the cells' definitions cannot be read.
    """
    defined = definitions(config_dir, {preset(r.config) for r in records})
    matches = {r.id: match_cell(r, defined.get(preset(r.config), {})) for r in records}
    groups = _groups([r for r in records if matches[r.id].letter], matches, keys, defined)
    order = _Preference(groups)
    cells = []
    for letter in LETTERS:
        best = max((g for g in groups if g.match.letter == letter), key=order.key, default=None)
        shown = {run.id: run for run in best.runs} if best else {}
        others = tuple(r for r in records if matches[r.id].letter == letter and r.id not in shown)
        mismatches, changed = (best.match.mismatches, best.changes) if best else ((), ())
        cells.append(CellRuns(letter, tuple(shown.values()), others, mismatches, changed))
    return RunSelection(tuple(cells), groups, tuple(r for r in records if not matches[r.id].letter))


class _Preference:
    """The order in which the groups of a cell are preferred."""

    def __init__(self, groups: Sequence[CellGroup]):
        self._done: dict[str, set[str]] = {}
        self._newest: dict[str, float] = {}
        for group in groups:
            if group.done and not group.match.mismatches:
                self._done.setdefault(group.base, set()).add(group.match.letter)
            self._newest[group.base] = max(group.changed, self._newest.get(group.base, 0.0))

    def key(self, group: CellGroup) -> tuple[bool, bool, int, bool, int, float, float]:
        done = len(self._done.get(group.base, ()))
        fits = not group.match.mismatches
        return fits, bool(group.done), group.rank, not group.changes, done, self._newest[group.base], group.changed


def _groups(
    records: Sequence[RunRecord],
    matches: Mapping[str, CellMatch],
    keys: Mapping[str, str],
    defined: Mapping[str, Mapping[str, CellDefinition]],
) -> tuple[CellGroup, ...]:
    """The groups of records that stand for a cell, in order of their first run's age."""
    grouped: dict[tuple[str, str], list[RunRecord]] = {}
    for record in sorted(records, key=lambda r: (r.changed, r.id)):
        grouped.setdefault((matches[record.id].letter, keys[record.id]), []).append(record)
    groups = []
    for (letter, _), runs in grouped.items():
        changed = changes(runs[0], defined.get(preset(runs[0].config), {}), letter)
        groups.append(CellGroup(matches[runs[0].id], _base(runs[0]), _one_per_seed(runs), changed, runs[-1].changed))
    return tuple(groups)


def _one_per_seed(runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """One run per seed; runs: oldest first, so that a later run of a seed replaces an earlier one."""
    return tuple(sorted({seed_of(run): run for run in runs}.values(), key=seed_of))


def settings_of(run: RunRecord) -> str:
    """Everything that runs must share to be averaged, as one text: all that defines them except the seed."""
    return _text([_without(run.config, _SPREAD), run.extra.get("fingerprints"), run.extra.get("synthetic")])


def same_data(a: RunRecord, b: RunRecord) -> bool:
    """Whether two runs used the same files of every source that both use, for training or evaluation."""
    first, second = facts.fingerprints(a), facts.fingerprints(b)
    return all(first[name] == second[name] for name in first.keys() & second.keys())


def _base(run: RunRecord) -> str:
    """Everything that two cells must share to be compared. Of the data files, only the source that all cells train on:
    `same_data` compares the others."""
    settings = _without(run.config, _NOT_BASE)
    return _text([settings, facts.fingerprints(run).get("h36m"), run.extra.get("synthetic")])


def _without(config: Mapping[str, object], keys: Collection[str]) -> dict[str, object]:
    """A recorded configuration without the keys; an older record may lack some of the keys."""
    return without(config, [key for key in keys if setting(config, key) is not None])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
