"""Claims over the rounds of a sweep: what is decided, what is given up, which seeds are requested; simulated sweeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from sanpose.claims import progress as progress_module
from sanpose.claims.allocation import wanted
from sanpose.claims.auto import AutoSeeds
from sanpose.claims.claim import claims_of, key_of
from sanpose.claims.progress import Progress, progress
from sanpose.statistics.paired import pairs_needed
from sweeps.definition import Values

CELLS: list[Values] = [{"ablation": letter} for letter in "abcdefg"]
CLAIMS = claims_of(CELLS)
SD = 1.0  # of a claim's differences


def simulated(
    means: Mapping[str, float], rng: np.random.Generator, auto: AutoSeeds
) -> tuple[tuple[Progress, ...], int]:
    """Run a sweep of Table 1's cells on drawn figures. Returns its claims at the end, and the number of its runs."""
    seeds = range(auto.max_seeds)
    results: dict[str, dict[int, float | None]] = {}
    for cell in CELLS:
        results[key_of(cell)] = {s: means[str(cell["ablation"])] + rng.normal(0, SD / 2**0.5) for s in range(3)}
    while True:
        state = progress(CLAIMS, results, auto, seeds)
        started = {(point, seed) for point, own in results.items() for seed in own}
        new = wanted(state, results, started, seeds)
        if not new:
            return state, sum(map(len, results.values()))
        for point, seed in new:
            results[key_of(point)][seed] = means[str(point["ablation"])] + rng.normal(0, SD / 2**0.5)


def effects(size: float) -> dict[str, float]:
    """Means with which each of the six steps has the effect `size`, in standard deviations of its differences."""
    return {"a": 0.0, "b": -size, "c": -2 * size, "d": -3 * size, "e": -4 * size, "g": -5 * size, "f": -4 * size}


def test_without_an_effect_at_most_one_sweep_in_twenty_decides_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    # Giving up can only prevent a decision; without it, every claim has all its looks, and the test takes seconds.
    monkeypatch.setattr(progress_module, "outlook", lambda *rest: ("open" if rest[3] else "out of seeds", None))
    rng, auto = np.random.default_rng(5), AutoSeeds(max_seeds=8)
    decided = sum(
        any(one.state in ("better", "worse") for one in simulated(effects(0.0), rng, auto)[0]) for _ in range(2000)
    )
    assert decided <= 2000 * 0.05 + 2 * (2000 * 0.05 * 0.95) ** 0.5


def test_a_large_effect_is_decided_with_fewer_seeds_than_a_fixed_plan() -> None:
    rng, auto = np.random.default_rng(6), AutoSeeds(max_seeds=12)
    sweeps = [simulated(effects(1.5), rng, auto) for _ in range(40)]
    better = np.mean([one.state == "better" for state, _ in sweeps for one in state])
    fixed = pairs_needed(1.5, 1.0, 6)
    assert better >= 0.8
    assert fixed is not None
    assert np.mean([one.seeds for state, _ in sweeps for one in state]) < fixed
    assert np.mean([runs for _, runs in sweeps]) < 7 * fixed
