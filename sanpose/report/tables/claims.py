"""What each step of the paper's Table 1 buys: the paper's difference beside ours over seeds, and whether ours decides.

Two cells are compared only where their runs were trained in the same way, on the same files of the data that both use,
seed by seed: the pair's two runs start from the same seed and differ in nothing but what the step changes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sanpose.errors import UserError
from sanpose.report import paper
from sanpose.report.selection.cells import LETTERS, Standing
from sanpose.report.selection.groups import CellGroup, RunSelection, same_data
from sanpose.report.selection.runs import RUNS, CellRuns, ids, listed, lookup, preset, scale_of
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.paired import Paired, paired
from sanpose.report.tables.verdicts import (
    BOOTSTRAP,
    BOOTSTRAP_NUMBERS,
    DECIDES,
    NUMBERS,
    TESTED,
    UNDECIDED,
    tested,
    undecided,
)
from sanpose.runs.ledger import RunRecord

STEPS = (
    ("b", "c", "SAN, shallow network"),
    ("f", "g", "SAN, deep network"),
    ("a", "b", "2D data: MPII"),
    ("c", "d", "2D data: COCO"),
    ("d", "e", "input size, with flip test"),
    ("e", "g", "depth"),
)
COLUMNS = (
    Column("step", "Step"),
    Column("choice", "What it adds"),
    Column("paper_mm", "Paper", signed=True),
    Column("ours_mm", "Ours", digits=2, signed=True),
    Column("seeds", "Seeds", digits=0),
    TESTED[0],
    BOOTSTRAP,
    *TESTED[1:],
    Column("verdict", "Verdict"),
    Column("runs_status", "Runs"),
    *NUMBERS,
    *BOOTSTRAP_NUMBERS,
    Column("preset", "Preset", machine_only=True),
    RUNS,
)
_NOTES = (
    "Differences of MPJPE in mm, later cell minus earlier: below 0 the step helps. Ours: mean ± sample standard"
    " deviation of the differences between runs of the same seed, trained in the same way but for the step, on the same"
    " files of every source that both use.",
    "Verdict: by a two-sided paired t-test over seeds at 5 %, one test per row, without correction for the number of"
    " rows. Confirmed: a difference of the paper's sign; its size is not judged. Contradicted: of the other sign.",
    UNDECIDED,
    DECIDES,
    "The paper gives one number per cell, without a spread; its d → e changes the flip test along with the input size."
    " Its text credits 3.3 mm to {e, f}; in its table that is e → g.",
)


@dataclass(frozen=True)
class Claim:
    """One step. `published`: the paper's difference, mm. `seeds`: those done in both cells. `found`: ours, None without
    a seed in common. `runs`: the pairs' runs, earlier and later cell in turn. `changes`: their settings that
    aren't the preset's. `others`: what else could be compared for this step, in words. `lacking`: without `found`, why
    runs that are done don't make a pair; "" where it takes seeds."""

    start: str
    end: str
    choice: str
    published: float
    seeds: tuple[int, ...]
    found: Paired | None
    runs: tuple[RunRecord, ...]
    changes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    lacking: str = ""

    @property
    def mark(self) -> str:
        """Why the verdict isn't one on the paper's experiment, in words; "" where it is."""
        reasons = [scale_of(self.runs)] if scale_of(self.runs) else []
        reasons += [f"other settings than the preset's ({listed(self.changes, 3)})"] if self.changes else []
        return f"{', '.join(reasons)}: a verdict on these runs, not on the paper's experiment" if reasons else ""

    @property
    def verdict(self) -> str:
        """ "confirmed", "contradicted", or "undecided" with the seeds that are lacking."""
        if self.lacking:
            return f"undecided: {self.lacking}"
        if self.found is None or not self.found.decided:
            return undecided(self.found, "both cells")
        same = (self.found.mean < 0) == (self.published < 0)
        return "confirmed" if same else "contradicted"


def claims(selection: RunSelection, config_dir: Path) -> tuple[Claim, ...]:
    """The six steps, from whatever runs there are. Raises UserError when the paper's table can't be read."""
    published = {row["method"]: row["mpjpe_mm"] for row in paper.rows(config_dir, paper.ABLATION)}
    figures = {letter: paper.number(published.get(letter, ""), paper.ABLATION) for letter in LETTERS}
    found = []
    for start, end, choice in STEPS:
        before, after = figures[start], figures[end]
        if before is None or after is None:
            raise UserError(f"the paper's figure of cell {start} or {end} is missing", where=paper.ABLATION)
        found.append(_claim(start, end, choice, after - before, selection.groups))
    return tuple(found)


def claims_table(found: Sequence[Claim], cells: Mapping[str, CellRuns]) -> Table:
    """The claims as a table, one row per step, whatever became of its runs."""
    rows = tuple(_row(claim, cells) for claim in found)
    others = (
        f"{claim.start} → {claim.end} can also be tested on other runs, not in its row: {listed(claim.others, 4)}."
        for claim in found
        if claim.others
    )
    title = "What each choice buys: the paper's steps, tested (MPJPE, mm)"
    return Table("claims", title, COLUMNS, rows, (*_NOTES, *others))


def _claim(start: str, end: str, choice: str, published: float, groups: Sequence[CellGroup]) -> Claim:
    comparable = _comparable(start, end, groups)
    pairs = [(common, a, b) for a, b in comparable if (common := _pairs(a, b))]
    if not pairs:
        alike = any(a.done and b.done for a, b in comparable)
        return Claim(start, end, choice, published, (), None, (), lacking="" if alike else _apart(start, end, groups))
    # The fullest preset first, and as it is shipped, as in Table 1; then the most seeds; then the newest.
    (common, a, b), *others = sorted(pairs, key=lambda pair: _preference(*pair), reverse=True)
    runs = tuple(run for seed in common for run in (a.done[seed], b.done[seed]))
    seen = tuple(_other(*pair) for pair in others)
    return Claim(start, end, choice, published, tuple(common), paired(list(common.values())), runs, a.changes, seen)


def _comparable(start: str, end: str, groups: Sequence[CellGroup]) -> list[tuple[CellGroup, CellGroup]]:
    """Every two groups of the two cells, both as defined, that were trained in the same way on the same files."""
    ends: dict[str, list[CellGroup]] = {}
    for group in groups:
        if group.standing == Standing(end):
            ends.setdefault(group.base, []).append(group)
    starts = [group for group in groups if group.standing == Standing(start)]
    return [(a, b) for a in starts for b in ends.get(a.base, ()) if same_data(a.runs[0], b.runs[0])]


def _apart(start: str, end: str, groups: Sequence[CellGroup]) -> str:
    """What finished runs of both cells there are that cannot be compared, in words; "" where one cell has none."""
    done = [[g for g in groups if g.standing == Standing(letter) and g.done] for letter in (start, end)]
    if not all(done):
        return ""
    who = (
        f"{x}: {listed(dict.fromkeys(preset(g.runs[0].config) for g in own), 3)}"
        for x, own in zip((start, end), done, strict=True)
    )
    return f"no run of one was trained as a run of the other, on the same files ({'; '.join(who)})"


def _preference(common: Mapping[int, float], a: CellGroup, b: CellGroup) -> tuple[int, bool, int, float, float, float]:
    return a.rank, not a.changes, len(common), max(a.changed, b.changed), a.changed, b.changed


def _other(common: Mapping[int, float], a: CellGroup, b: CellGroup) -> str:
    """A comparison that is not the one in the table, in words: between which runs, and what it gives."""
    mean, first = statistics.fmean(common.values()), next(iter(common))
    seeds = f"{len(common)} seed{'s' if len(common) > 1 else ''}"
    return f"{mean:+.2f} ({preset(a.runs[0].config)}, {seeds}, as {a.done[first].id} and {b.done[first].id})"


def _pairs(a: CellGroup, b: CellGroup) -> dict[int, float]:
    """Seed -> difference of MPJPE (mm), b minus a, of the seeds that both have finished and measured."""
    found = {}
    for seed in sorted(a.done.keys() & b.done.keys()):
        before, after = (lookup(g.done[seed].metrics, "h36m", "mpjpe", "mean_over_frames") for g in (a, b))
        if before is not None and after is not None:
            found[seed] = after - before
    return found


def _row(claim: Claim, cells: Mapping[str, CellRuns]) -> dict[str, Cell]:
    row = {
        "step": Cell(f"{claim.start} → {claim.end}"),
        "choice": Cell(claim.choice),
        "paper_mm": Cell(claim.published),
        "seeds": Cell(len(claim.seeds)),
        "verdict": Cell(claim.verdict, mark=claim.mark),
        "runs_status": Cell("; ".join(f"{x}: {cells[x].status}" for x in (claim.start, claim.end))),
        "preset": Cell(preset(claim.runs[0].config) if claim.runs else None),
        RUNS.key: ids(claim.runs),
    }
    if claim.found is None:
        return row
    ours = claim.found
    return row | {"ours_mm": Cell(ours.mean, ours.deviation or None, mark=claim.mark)} | tested(ours)
