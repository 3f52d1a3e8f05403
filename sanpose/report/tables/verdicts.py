"""How a tested difference is said in a table: its columns, its cells, and what more an undecided one would take.

Knows paired differences; does not know between what they are.
"""

from __future__ import annotations

from sanpose.report.table import Cell, Column
from sanpose.report.tables.paired import MOST, Paired, pairs_needed

TESTED = (Column("interval", "95 % interval (t)"), Column("p_text", "p"))
NUMBERS = (
    Column("p", "p", machine_only=True),
    Column("interval_low", "Interval, low", machine_only=True),
    Column("interval_high", "Interval, high", machine_only=True),
)
BOOTSTRAP = Column("bootstrap", "95 % interval (bootstrap)")
BOOTSTRAP_NUMBERS = (
    Column("bootstrap_low", "Bootstrap, low", machine_only=True),
    Column("bootstrap_high", "Bootstrap, high", machine_only=True),
)
UNDECIDED = (
    "Undecided: 'about n more' is the number of seeds with which the test would find the mean difference seen so far"
    " in 80 % of cases, given the spread seen so far. One seed has no spread; two more are the least to ask for."
)
DECIDES = (
    "The t interval decides because the bootstrap (percentile, 10,000 resamples, fixed seed) is too narrow for few"
    " seeds: with three it can never reach beyond the smallest and largest difference."
)


def tested(found: Paired, digits: int = 2) -> dict[str, Cell]:
    """The cells of the columns above, without those of intervals where there are none; digits: of their ends."""
    row = {"p": Cell(found.p), "p_text": Cell(_p(found.p))}
    for name, interval in (("interval", found.interval), ("bootstrap", found.bootstrap)):
        if interval is not None:
            low, high = interval
            row |= {
                name: Cell(f"{low:+.{digits}f} to {high:+.{digits}f}"),
                f"{name}_low": Cell(low),
                f"{name}_high": Cell(high),
            }
    return row


def undecided(found: Paired | None, where: str) -> str:
    """What is lacking for a verdict. found: None where there is no pair; where: in what a seed must be done."""
    if found is None:
        return f"undecided: no seed done in {where}, at least 3 are needed"
    if found.deviation is None:
        return "undecided: one seed, at least 2 more"
    if found.deviation == 0:
        return "undecided: the seeds differ by the same amount to the last digit, which separate trainings do not"
    needed = pairs_needed(found.mean, found.deviation)
    if needed is None:
        return f"undecided: more than {MOST:,} seeds for so small a difference"
    return f"undecided: about {_plural(max(1, needed - found.pairs))}"


def _p(p: float | None) -> str | None:
    return None if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def _plural(seeds: int) -> str:
    return f"{seeds:,} more seed" + ("s" if seeds > 1 else "")
