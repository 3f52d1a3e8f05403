"""A tested difference in a table: its columns, its cells, and what an undecided difference still needs.

Knows paired differences; does not know what is compared.
"""

from __future__ import annotations

from sanpose.report.table import Cell, Column
from sanpose.statistics.paired import MOST, Paired, pairs_needed

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
    "Undecided: 'about n more' is the number of seeds with which the test would detect the current mean difference in"
    " 80 % of cases, given the current spread. One seed has no spread, so at least two more are needed."
)
DECIDES = (
    "The t interval decides, because the bootstrap interval (percentile, 10,000 resamples, fixed seed) is too narrow"
    " for few seeds: with three seeds it never extends beyond the smallest and the largest difference."
)


def tested(difference: Paired, digits: int = 2) -> dict[str, Cell]:
    """The cells of the columns above, without cells for missing intervals; digits: of an interval's ends."""
    row = {"p": Cell(difference.p), "p_text": Cell(p_text(difference.p))}
    for name, interval in (("interval", difference.interval), ("bootstrap", difference.bootstrap)):
        if interval is not None:
            low, high = interval
            row |= {
                name: Cell(f"{low:+.{digits}f} to {high:+.{digits}f}"),
                f"{name}_low": Cell(low),
                f"{name}_high": Cell(high),
            }
    return row


def undecided(difference: Paired | None, where: str, tests: int = 1) -> str:
    """What a verdict still needs. difference: None without a pair; where: what a seed must be finished in; tests: the
    number of tests that the verdict is corrected for."""
    if difference is None:
        return f"undecided: no seed done in {where}, at least 3 are needed"
    if difference.deviation is None:
        return "undecided: one seed, at least 2 more"
    if difference.deviation == 0:
        return "undecided: every seed has the same difference to the last digit, which separate trainings never give"
    needed = pairs_needed(difference.mean, difference.deviation, tests)
    if needed is None:
        return f"undecided: more than {MOST:,} seeds for so small a difference"
    return f"undecided: about {_plural(max(1, needed - difference.pairs))}"


def p_text(p: float | None) -> str | None:
    """A p for people."""
    return None if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def _plural(seeds: int) -> str:
    return f"{seeds:,} more seed" + ("s" if seeds > 1 else "")
