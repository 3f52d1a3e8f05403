"""Batches for the training loop: the mix of sources, divided into each worker's part of every global batch.

The k-th global batch of an epoch holds the same samples in the same order for any number of workers; worker r gets the
r-th of its equal parts. Batch shapes, with b = samples of one worker's part: images (b, H, W, 3) uint8 RGB;
target and weight (b, J, 3) float32, in the network's frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sanpose.config.schema import Config
from sanpose.data import packed, samples, sources
from sanpose.data.mix import Mix
from sanpose.errors import UserError

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

EpochIndex = tuple[int, int]
"""An epoch, and an index or a step in it."""
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 RGB (b, H, W, 3) to (b, 3, H, W) float32 by ImageNet's mean and std, channels last in memory."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(std)


@dataclass(frozen=True)
class TrainingSet(Dataset[samples.Item | UserError]):
    """The mix of the sources that have a share, indexed by (epoch, index)."""

    config: Config
    sources: tuple[samples.Samples, ...]
    mix: Mix

    def __getitem__(self, index: EpochIndex) -> samples.Item | UserError:
        """Returns a bad sample's error, as an error raised in a loader process would lose its message."""
        try:
            return self._item(*index)
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
def _epoch_order(mix: Mix, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return mix.epoch(epoch)


def training_set(config: Config, files: dict[str, packed.Packed]) -> TrainingSet:
    """The mix that the configuration describes. Raises UserError when a source has no samples to train on."""
    parts, mix = sources.mixed(config, files)
    return TrainingSet(config, parts, mix)


@dataclass(frozen=True)
class _Parts(Sampler[list[EpochIndex]]):
    """One worker's part of every micro-batch from a start to the end of the training."""

    length: int
    batch: int
    accumulation: int
    epochs: int
    start: EpochIndex  # (epoch, step)
    rank: int
    world: int

    def __iter__(self) -> Iterator[list[EpochIndex]]:
        micro = self.batch // self.accumulation
        size = micro // self.world
        for epoch in range(self.start[0], self.epochs):
            first = self.start[1] if epoch == self.start[0] else 0
            for step in range(first, self.length // self.batch):
                for part in range(self.accumulation):
                    begin = step * self.batch + part * micro + self.rank * size
                    yield [(epoch, i) for i in range(begin, begin + size)]


def batches(data: TrainingSet, start: EpochIndex, rank: int, world: int) -> Iterator[Batch]:
    """One worker's part of every micro-batch, from (epoch, step) to the end of the last epoch. The last samples of an
    epoch that do not fill a global batch are left out. Raises UserError for a bad sample."""
    train = data.config.train
    parts = _Parts(data.mix.length, train.batch_size, train.accumulation, train.epochs, start, rank, world)
    workers = data.config.data.loader_workers
    loader: DataLoader[samples.Item | UserError] = DataLoader(
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


def _collate(results: list[samples.Item | UserError]) -> Batch | UserError:
    items = []
    for result in results:
        if isinstance(result, UserError):
            return result
        items.append(result)
    return (
        torch.from_numpy(np.stack([i.image for i in items])),
        torch.from_numpy(np.stack([i.target for i in items])),
        torch.from_numpy(np.stack([i.weight for i in items])),
    )
