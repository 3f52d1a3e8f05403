"""The effect of each step of the paper's Table 1: the paper's difference, our difference over seeds, and a verdict.

Two cells are compared only where their runs were trained in the same way, on the same files of the data that both use,
seed by seed: the two runs of a pair start from the same seed and differ only in what the step changes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sanpose.claims.auto import AutoSeeds
from sanpose.claims.steps import STEPS
from sanpose.errors import UserError
from sanpose.report import paper
from sanpose.report.selection.cells import LETTERS, CellMatch
from sanpose.report.selection.groups import CellGroup, RunSelection, same_data
from sanpose.report.selection.runs import RUNS, CellRuns, ids, listed, scale_of
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.looked import LOOKED_NOTE, Looked, looked_cells, looked_test, with_looked
from sanpose.report.tables.verdicts import (
    BOOTSTRAP,
    BOOTSTRAP_NUMBERS,
    DECIDES,
    NUMBERS,
    TESTED,
    UNDECIDED,
    p_text,
    tested,
    undecided,
)
from sanpose.runs import facts
from sanpose.runs.ledger import RunRecord
from sanpose.statistics.paired import LEVEL, Paired, holm, paired

COLUMNS = (
    Column("step", "Step"),
    Column("choice", "What it adds"),
    Column("paper_mm", "Paper", signed=True),
    Column("ours_mm", "Ours", digits=2, signed=True),
    Column("seeds", "Seeds", digits=0),
    TESTED[0],
    BOOTSTRAP,
    *TESTED[1:],
    Column("p_holm_text", "p (Holm)"),
    Column("verdict", "Verdict"),
    Column("runs_status", "Runs"),
    *NUMBERS,
    Column("p_holm", "p (Holm)", machine_only=True),
    *BOOTSTRAP_NUMBERS,
    Column("preset", "Preset", machine_only=True),
    RUNS,
)
_NOTES = (
    "Differences of MPJPE in mm, later cell minus earlier cell: the step helps where the difference is below 0. Ours:"
    " mean ± sample standard deviation of the differences between runs of the same seed, trained in the same way except"
    " for the step, on the same files of every source that both use.",
    "Verdict: a two-sided paired t-test over seeds, one test per row, corrected for the number of rows by Holm's"
    " method: a row is decided where p (Holm) is below 5 %. If no step had any effect, a row would be decided in at"
    " most 5 % of such tables. Confirmed: our difference has the paper's sign; its size is not judged. Contradicted:"
    " our difference has the other sign.",
    f"{UNDECIDED} The test is taken at 5 % divided by six, as Holm's method takes the row with the smallest p.",
    DECIDES,
    "The paper gives one number per cell, without a spread. The step d → e changes the flip test and the input"
    " size. The paper's text credits 3.3 mm to {e, f}; in the paper's table, 3.3 mm is the step e → g.",
)


@dataclass(frozen=True)
class PublishedClaim:
    """One step. `published`: the paper's difference, mm. `seeds`: the seeds finished in both cells. `ours`: our
    difference, None without a common seed. `runs`: the runs of the pairs, earlier and later cell in turn. `changes`:
    their settings that differ from the preset. `others`: other possible comparisons for this step, in words.
    `obstacle`: without `ours`, why finished runs form no pair; "" where only seeds are missing. `looked`: the test
    after every seed, where a sweep with seeds=auto has trained the runs; `corrected`: the p of the test, corrected for
    the number of steps (`holm`); `undecided`: how many steps are not decided."""

    start: str
    end: str
    choice: str
    published: float
    seeds: tuple[int, ...]
    ours: Paired | None
    runs: tuple[RunRecord, ...]
    changes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    obstacle: str = ""
    looked: Looked | None = None
    corrected: float | None = None
    undecided: int = len(STEPS)

    @property
    def p(self) -> float | None:
        """Of the test that counts: the one after every seed, or the one at the end."""
        if self.looked:
            return self.looked.p
        return self.ours.p if self.ours else None

    @property
    def decided(self) -> bool:
        level = self.looked.auto.alpha if self.looked else 1 - LEVEL
        return self.corrected is not None and self.corrected < level

    @property
    def mark(self) -> str:
        """Why the verdict is not about the paper's experiment, in words; "" where it is."""
        reasons = [scale_of(self.runs)] if scale_of(self.runs) else []
        reasons += [f"other settings than the preset's ({listed(self.changes, 3)})"] if self.changes else []
        return f"{', '.join(reasons)}: a verdict on these runs, not on the paper's experiment" if reasons else ""

    @property
    def verdict(self) -> str:
        """ "confirmed", "contradicted", or "undecided" with the missing seeds."""
        if self.obstacle:
            return f"undecided: {self.obstacle}"
        if self.ours is None or not self.decided:
            if self.looked:
                return self.looked.undecided(self.undecided)
            return undecided(self.ours, "both cells", len(STEPS))
        same = (self.ours.mean < 0) == (self.published < 0)
        return "confirmed" if same else "contradicted"


def claims(selection: RunSelection, config_dir: Path, autos: Mapping[str, AutoSeeds]) -> tuple[PublishedClaim, ...]:
    """The six steps, tested on the available runs. autos: `autos_of` the sweeps. Raises UserError when the paper's
    table cannot be read."""
    published = {row["method"]: row["mpjpe_mm"] for row in paper.rows(config_dir, paper.ABLATION)}
    figures = {letter: paper.number(published.get(letter, ""), paper.ABLATION) for letter in LETTERS}
    steps = []
    for start, end, choice in STEPS:
        before, after = figures[start], figures[end]
        if before is None or after is None:
            raise UserError(f"the paper's figure of cell {start} or {end} is missing", where=paper.ABLATION)
        steps.append(_claim(start, end, choice, after - before, selection.groups, autos))
    corrected = holm([step.p for step in steps])
    steps = [replace(step, corrected=p) for step, p in zip(steps, corrected, strict=True)]
    undecided_steps = sum(not step.decided for step in steps)
    return tuple(replace(step, undecided=undecided_steps) for step in steps)


def claims_table(steps: Sequence[PublishedClaim], cells: Mapping[str, CellRuns]) -> Table:
    """The claims as a table, one row per step, whatever the state of its runs."""
    rows = tuple(_row(claim, cells) for claim in steps)
    others = (
        f"{claim.start} → {claim.end} can also be tested on runs that are not in its row: {listed(claim.others, 4)}."
        for claim in steps
        if claim.others
    )
    title = "Effect of each step of the paper's Table 1, tested (MPJPE, mm)"
    looked = any(claim.looked for claim in steps)
    notes = (*_NOTES, *((LOOKED_NOTE,) if looked else ()), *others)
    return Table("claims", title, with_looked(COLUMNS) if looked else COLUMNS, rows, notes)


def _claim(
    start: str,
    end: str,
    choice: str,
    published: float,
    groups: Sequence[CellGroup],
    autos: Mapping[str, AutoSeeds],
) -> PublishedClaim:
    comparable = _comparable(start, end, groups)
    pairs = [(common, a, b) for a, b in comparable if (common := _pairs(a, b))]
    if not pairs:
        obstacle = "" if any(a.done and b.done for a, b in comparable) else _obstacle(start, end, groups)
        return PublishedClaim(start, end, choice, published, (), None, (), obstacle=obstacle)
    # The fullest preset first, as shipped, as in Table 1; then the most seeds; then the newest.
    (common, a, b), *others = sorted(pairs, key=lambda pair: _preference(*pair), reverse=True)
    runs = tuple(run for seed in common for run in (a.done[seed], b.done[seed]))
    texts = tuple(_other(*pair) for pair in others)
    differences = list(common.values())
    look = looked_test(differences, runs, autos)
    ours = paired(differences)
    return PublishedClaim(start, end, choice, published, tuple(common), ours, runs, a.changes, texts, looked=look)


def _comparable(start: str, end: str, groups: Sequence[CellGroup]) -> list[tuple[CellGroup, CellGroup]]:
    """Every pair of groups of the two cells, both as defined, that were trained in the same way on the same files."""
    ends: dict[str, list[CellGroup]] = {}
    for group in groups:
        if group.match == CellMatch(end):
            ends.setdefault(group.base, []).append(group)
    starts = [group for group in groups if group.match == CellMatch(start)]
    return [(a, b) for a in starts for b in ends.get(a.base, ()) if same_data(a.runs[0], b.runs[0])]


def _obstacle(start: str, end: str, groups: Sequence[CellGroup]) -> str:
    """Why the finished runs of two cells cannot be compared, in words; "" where a cell has no finished run."""
    done = [[g for g in groups if g.match == CellMatch(letter) and g.done] for letter in (start, end)]
    if not all(done):
        return ""
    presets = (
        f"{letter}: {listed(dict.fromkeys(g.preset for g in own), 3)}"
        for letter, own in zip((start, end), done, strict=True)
    )
    return f"no runs of the two cells were trained in the same way on the same files ({'; '.join(presets)})"


def _preference(common: Mapping[int, float], a: CellGroup, b: CellGroup) -> tuple[int, bool, int, float, float, float]:
    return a.rank, not a.changes, len(common), max(a.changed, b.changed), a.changed, b.changed


def _other(common: Mapping[int, float], a: CellGroup, b: CellGroup) -> str:
    """A comparison that is not in the table, in words: its difference and its runs."""
    mean, first = statistics.fmean(common.values()), next(iter(common))
    seeds = f"{len(common)} seed{'s' if len(common) > 1 else ''}"
    return f"{mean:+.2f} ({a.preset}, {seeds}, such as {a.done[first].id} and {b.done[first].id})"


def _pairs(a: CellGroup, b: CellGroup) -> dict[int, float]:
    """Seed -> difference of MPJPE (mm), b minus a, for the seeds finished and measured in both."""
    differences = {}
    for seed in sorted(a.done.keys() & b.done.keys()):
        before, after = facts.mpjpe(a.done[seed]), facts.mpjpe(b.done[seed])
        if before is not None and after is not None:
            differences[seed] = after - before
    return differences


def _row(claim: PublishedClaim, cells: Mapping[str, CellRuns]) -> dict[str, Cell]:
    row = {
        "step": Cell(f"{claim.start} → {claim.end}"),
        "choice": Cell(claim.choice),
        "paper_mm": Cell(claim.published),
        "seeds": Cell(len(claim.seeds)),
        "verdict": Cell(claim.verdict, mark=claim.mark),
        "runs_status": Cell("; ".join(f"{x}: {cells[x].status}" for x in (claim.start, claim.end))),
        "preset": Cell(facts.preset(claim.runs[0].config) if claim.runs else None),
        RUNS.key: ids(claim.runs),
    }
    ours = claim.ours
    if ours is None:
        return row
    row |= {"p_holm": Cell(claim.corrected), "p_holm_text": Cell(p_text(claim.corrected))}
    row |= looked_cells(claim.looked) if claim.looked else {}
    return row | {"ours_mm": Cell(ours.mean, ours.deviation or None, mark=claim.mark)} | tested(ours)
