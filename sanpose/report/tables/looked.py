"""The test after every seed, in a table: for the runs of a sweep with seeds=auto.

The number of their seeds depends on the results, so the usual p does not hold: a sweep that goes on until p is small
decides too often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sanpose.claims.auto import AutoSeeds
from sanpose.claims.progress import outlook
from sanpose.claims.record import state_text
from sanpose.report.table import Cell, Column
from sanpose.report.tables.verdicts import p_text
from sanpose.runs.facts import real, whole
from sanpose.runs.ledger import RunRecord
from sanpose.statistics.sequential import repeated_p
from sweeps.record import SweepRecord

LOOKED_NOTE = (
    "p (repeated): a sweep with seeds=auto tests after every seed and stops when a row is decided, so the usual p does"
    " not hold. The repeated p is of an exact group-sequential t-test (Jennison and Turnbull, 1991) with a look at 3,"
    " 4, ... seeds, up to the sweep's largest number. p (Holm) corrects the repeated p. Given up: too small a chance of"
    " a decision with the seeds that remained."
)


@dataclass(frozen=True)
class Looked:
    """The test after every seed of one row. `p`: the repeated p-value, None for fewer than three seeds."""

    auto: AutoSeeds
    differences: tuple[float, ...]
    p: float | None

    def undecided(self, rows: int) -> str:
        """The verdict of an undecided row; rows: how many are undecided."""
        seeds = self.auto.max_seeds - len(self.differences)
        return "undecided: " + state_text(*outlook(self.differences, self.auto, rows, seeds))


def autos_of(sweeps: Sequence[SweepRecord]) -> dict[str, AutoSeeds]:
    """Run id -> the rules of the sweep with seeds=auto that has the run; of several, the rules with most seeds."""
    autos: dict[str, AutoSeeds] = {}
    for sweep in sweeps:
        auto = _auto(sweep.head.get("auto"))
        for trial in sweep.trials if auto else ():
            before = autos.get(trial.run)
            if auto and (before is None or before.max_seeds < auto.max_seeds):
                autos[trial.run] = auto
    return autos


def looked_test(
    differences: Sequence[float], runs: Sequence[RunRecord], autos: Mapping[str, AutoSeeds]
) -> Looked | None:
    """The test of differences in order of their seeds; None where no sweep with seeds=auto has any of the runs."""
    rules = [autos[run.id] for run in runs if run.id in autos]
    if not rules:
        return None
    auto = max(rules, key=lambda rule: rule.max_seeds)
    auto = replace(auto, max_seeds=max(auto.max_seeds, len(differences)))
    return Looked(auto, tuple(differences), repeated_p(differences, auto.max_seeds))


def looked_cells(test: Looked) -> dict[str, Cell]:
    return {"p_repeated": Cell(test.p), "p_repeated_text": Cell(p_text(test.p))}


def with_looked(columns: Sequence[Column], *, holm: bool = False) -> tuple[Column, ...]:
    """Columns with those of the test after the column of the usual p. holm: whether to add those of Holm's p too."""
    place = next(i for i, column in enumerate(columns) if column.key == "p_text") + 1
    titles = {"p_repeated": "p (repeated)", **({"p_holm": "p (Holm)"} if holm else {})}
    texts = (Column(f"{key}_text", title) for key, title in titles.items())
    numbers = (Column(key, title, machine_only=True) for key, title in titles.items())
    return (*columns[:place], *texts, *columns[place:], *numbers)


def _auto(recorded: object) -> AutoSeeds | None:
    """The rules in a sweep's record, None for another form."""
    keys = recorded if isinstance(recorded, Mapping) else {}
    most, alpha = whole(keys.get("max_seeds")), real(keys.get("alpha"))
    sound = most is not None and alpha is not None and 3 <= most <= 50 and 0 < alpha < 0.5
    return AutoSeeds(max_seeds=most or 0, alpha=alpha or 0.0) if sound else None
