"""The order of the samples: the source and the sample at each index of each epoch.

The order depends only on (seed, epoch, index), never on the number of workers or loader processes. Each source is an
endless stream of permutations of all its samples; an epoch uses the next part of each stream. So every sample of a
source is used once before any is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sanpose.errors import UserError

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mix:
    """`sizes`: samples of each source; `shares`: their proportions, in any unit; `epoch_samples` 0: the longest epoch
    in which no source repeats."""

    sizes: tuple[int, ...]
    shares: tuple[float, ...]
    seed: int
    epoch_samples: int = 0

    def __post_init__(self) -> None:
        empty = [
            i for i, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True)) if share > 0 and not size
        ]
        if empty:
            raise UserError("a source with a share has no samples to train on", where=f"source number {empty[0] + 1}")

    @property
    def length(self) -> int:
        """Samples in an epoch."""
        if self.epoch_samples:
            return self.epoch_samples
        total = sum(self.shares)
        return int(min(n * total / s for n, s in zip(self.sizes, self.shares, strict=True) if s > 0))

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each source in an epoch: by the shares; the largest fractions are rounded up."""
        exact = np.array(self.shares) / sum(self.shares) * self.length
        counts = np.floor(exact).astype(np.int64)
        rounded_up = np.argsort(counts - exact, kind="stable")[: self.length - int(counts.sum())]
        counts[rounded_up] += 1
        return tuple(int(c) for c in counts)

    def epoch(self, epoch: int) -> tuple[Index, Index]:
        """(source (n,), sample (n,)) of every index of an epoch."""
        sources = np.repeat(np.arange(len(self.counts)), self.counts)
        samples = np.concatenate([self._part(s, epoch * n, n) for s, n in enumerate(self.counts)])
        order = np.random.default_rng([self.seed, epoch]).permutation(len(sources))
        return sources[order], samples[order]

    def _part(self, source: int, start: int, count: int) -> Index:
        """Samples start .. start+count of a source's endless stream."""
        if not count:
            return np.empty(0, np.int64)
        size = self.sizes[source]
        first, last = start // size, (start + count - 1) // size
        stream = np.concatenate([_permutation(self.seed, source, k, size) for k in range(first, last + 1)])
        return stream[start - first * size :][:count]


@lru_cache(maxsize=8)
def _permutation(seed: int, source: int, turn: int, size: int) -> Index:
    return np.random.default_rng([seed, source, turn, size]).permutation(size)
