"""`seeds=auto`: how many seeds at most, how often a decision may be false, and how long the sweep may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sanpose.errors import UserError
from sanpose.statistics import FIRST_LOOK, MOST_LOOKS

KEYS = ("max_seeds", "alpha", "power", "hours")


@dataclass(frozen=True)
class AutoSeeds:
    """`alpha`: the chance that any claim is decided though no claim has an effect. `power`: the chance of a decision
    that "n more seeds" refers to; a claim with a chance below 1 - power is given up. `hours`: no run starts that would
    probably end later after the sweep's start; None for no limit."""

    max_seeds: int = 12
    alpha: float = 0.05
    power: float = 0.8
    hours: float | None = None

    def definition(self) -> dict[str, object]:
        """What must not change between starts: the test counts on it."""
        return {"max_seeds": self.max_seeds, "alpha": self.alpha}

    def plain(self) -> dict[str, object]:
        return asdict(self)


def from_arguments(values: Mapping[str, str]) -> AutoSeeds:
    """From the arguments `max_seeds`, `alpha`, `power` and `hours` of a command. Raises UserError for a bad value."""
    usual = AutoSeeds()
    seeds = values.get("max_seeds", str(usual.max_seeds))
    if not seeds.isdecimal() or not FIRST_LOOK <= int(seeds[:9]) <= MOST_LOOKS:
        raise UserError(
            f"max_seeds={seeds} cannot be used", expected=f"{FIRST_LOOK}, {FIRST_LOOK + 1}, ... {MOST_LOOKS}"
        )
    alpha = _share("alpha", values.get("alpha", str(usual.alpha)), 0.5)
    power = _share("power", values.get("power", str(usual.power)), 1.0)
    hours = _hours(values["hours"]) if "hours" in values else None
    return AutoSeeds(int(seeds), alpha, power, hours)


def _share(name: str, text: str, below: float) -> float:
    number = _number(text)
    if number is None or not 0 < number < below:
        raise UserError(f"{name}={text} cannot be used", expected=f"a number above 0 and below {below:g}")
    return number


def _hours(text: str) -> float:
    number = _number(text)
    if number is None or not 0 < number < 1e6:
        raise UserError(f"hours={text} cannot be used", expected="a number of hours above 0, such as 6 or 0.5")
    return number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
