"""Batches for the training loop: the mix of sources, cut into each worker's part of every global batch.

The k-th global batch of an epoch is the same samples in the same order however many workers share it; worker r takes
the r-th of its equal parts. Batch shapes, with b = samples of one worker's part: images (b, H, W, 3) uint8 RGB;
target and weight (b, J, 3) float32, in the network's frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sanpose.config.schema import Config
from sanpose.data import packed, samples, sources
from sanpose.data.mix import Mix
from sanpose.errors import UserError

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

Place = tuple[int, int]  # (epoch, index within it)
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 RGB (b, H, W, 3) to (b, 3, H, W) float32 by ImageNet's mean and std, channels last in memory."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(std)


@dataclass(frozen=True)
class TrainingSet(Dataset[Any]):
    """The sources that have a share, mixed; a sample is addressed by its place (epoch, index)."""

    config: Config
    sources: tuple[samples.Samples, ...]
    mix: Mix

    def __getitem__(self, place: Place) -> samples.Item | UserError:
        """A bad sample's error is returned: raised in a loader process, it would lose what it says."""
        try:
            return self._item(*place)
        except UserError as error:
            return error

    def _item(self, epoch: int, index: int) -> samples.Item:
        source, sample = (a[index] for a in _epoch_order(self.mix, epoch))
        data = self.config.data
        random = np.random.default_rng([self.mix.seed, 1, epoch, index])
        return samples.item(
            self.sources[source], int(sample), data.input_width, data.input_height, data.augment, random
        )


@lru_cache(maxsize=2)
def _epoch_order(mix: Mix, epoch: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return mix.epoch(epoch)


def training_set(config: Config, files: dict[str, packed.Packed]) -> TrainingSet:
    """The mix that the configuration describes. Raises UserError when a source has nothing to train on."""
    parts, mix = sources.mixed(config, files)
    return TrainingSet(config, parts, mix)


@dataclass(frozen=True)
class _Parts(Sampler[list[Place]]):
    """One worker's part of every micro-batch from a step on, to the end of the training."""

    length: int
    batch: int
    accumulation: int
    epochs: int
    start: Place  # (epoch, step)
    rank: int
    world: int

    def __iter__(self) -> Iterator[list[Place]]:
        micro = self.batch // self.accumulation
        size = micro // self.world
        for epoch in range(self.start[0], self.epochs):
            first = self.start[1] if epoch == self.start[0] else 0
            for step in range(first, self.length // self.batch):
                for part in range(self.accumulation):
                    begin = step * self.batch + part * micro + self.rank * size
                    yield [(epoch, i) for i in range(begin, begin + size)]


def batches(data: TrainingSet, start: Place, rank: int, world: int) -> Iterator[Batch]:
    """Every micro-batch part of one worker from (epoch, step) to the end, epochs joined; the last samples of an epoch
    that do not fill a global batch are left out of it."""
    train = data.config.train
    parts = _Parts(data.mix.length, train.batch_size, train.accumulation, train.epochs, start, rank, world)
    workers = data.config.data.loader_workers
    loader: DataLoader[Any] = DataLoader(
        data,
        batch_sampler=parts,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)


def _collate(drawn: list[samples.Item | UserError]) -> Batch | UserError:
    items = []
    for one in drawn:
        if isinstance(one, UserError):
            return one
        items.append(one)
    return (
        torch.from_numpy(np.stack([i.image for i in items])),
        torch.from_numpy(np.stack([i.target for i in items])),
        torch.from_numpy(np.stack([i.weight for i in items])),
    )
