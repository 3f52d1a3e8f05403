"""Activation recomputation: the backward pass computes activations again. Saves memory, costs time, changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(part: Callable[[Tensor], Tensor], norms: list[nn.BatchNorm2d], x: Tensor) -> Tensor:
    """part(x). Only x is stored for the backward pass, which computes the activations again.

    norms: the batch normalisations in the part; their running statistics are updated once. The part must draw no
    random numbers.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(norms)

    y: Tensor = checkpoint(part, x, use_reentrant=False, context_fn=contexts, preserve_rng_state=False)
    return y


@contextmanager
def _frozen_statistics(norms: list[nn.BatchNorm2d]) -> Iterator[None]:
    """Normalise by the batch's statistics, as in training, without updating the running statistics."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
