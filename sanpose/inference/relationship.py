"""The similarity of a trained network's features at two joints: the maps of the paper's Figure 3.

The paper (Section 4.3, Figure 3) shows "the feature gain of the corresponding joint with other joints" for values of
delta and does not say how the gain is computed. Our definition, for one value of delta: read the output
o = X + delta * W of the attention block (Eq. 6) at every labelled joint, bilinearly between cell centres; subtract the
mean over all joints and samples; the entry (i, j) of the map is the mean over samples of the cosine between the
features at i and j. 1 means equal features; 0 means no more alike than any two joints of any two people. At delta 0 the
map is the backbone's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor

from sanpose.data import packed
from sanpose.data import samples as packed_samples
from sanpose.data.loader import normalise
from sanpose.errors import UserError
from sanpose.inference import trained
from sanpose.inference.trained import TrainedNetwork
from sanpose.model.attention import ChannelAttention, PositionAttention
from sanpose.runs import checkpoints
from sanpose.runs.joint_maps import JointMaps
from sanpose.runs.paths import RunPaths

DELTAS = (0.0, 0.2, 0.4, 0.6, 0.8)  # the values of the paper's Figure 3
SAMPLES = 256
Floats = npt.NDArray[np.float64]


def relationship(
    folder: Path, deltas: Sequence[float] = DELTAS, samples: int = SAMPLES, which: str = "last"
) -> JointMaps:
    """The maps of a run's network for each value of `deltas`, and of every checkpoint of the run with its own delta.

    samples: the largest number of samples, evenly spaced in the run's evaluation set (Human3.6M where the run has it).
    which: the checkpoint `last`, `best`, or a name. Raises UserError for a run without attention, without a sound
    checkpoint, or without its data.
    """
    network = trained.load(folder, which)
    attention_block(network)
    shown = _samples(network, samples)
    before, attended, delta = _features(network, shown)
    along, damaged = _along(folder, shown)
    return JointMaps(
        joints=network.joints.joints,
        bones=network.joints.bone_indices,
        deltas=np.array(deltas, np.float64),
        maps=np.stack([similarity(before + value * attended, shown.labelled) for value in deltas]),
        along_deltas=np.array([step.delta for step in along], np.float64),
        along_epochs=np.array([step.epoch for step in along], np.float64),
        along=np.stack([step.map for step in along]),
        trained_delta=delta,
        samples=len(shown.images),
        checkpoint=network.checkpoint.path.name,
        protocol=_protocol(network, shown, delta, damaged),
    )


def similarity(features: npt.ArrayLike, labelled: npt.ArrayLike) -> Floats:
    """The map (J, J) of features (N, J, C), where labelled (N, J) is true; NaN for a pair never labelled together."""
    values, mask = np.asarray(features, np.float64), np.asarray(labelled, bool)
    values = np.where(mask[..., None], values, 0.0)
    values = np.where(mask[..., None], values - values.sum((0, 1)) / max(int(mask.sum()), 1), 0.0)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    unit = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
    pairs = np.einsum("ni,nj->ij", mask, mask, dtype=np.float64)
    sums = np.einsum("nic,njc->ij", unit, unit, optimize=True)
    return np.asarray(np.divide(sums, pairs, out=np.full_like(sums, np.nan), where=pairs > 0))


@dataclass(frozen=True)
class _Samples:
    """Images (N, H, W, 3) uint8, the joints' places (N, J, 2) in the network's frame, and whether a joint is labelled
    and inside the crop (N, J)."""

    source: str
    images: npt.NDArray[np.uint8]
    places: npt.NDArray[np.float32]
    labelled: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Step:
    epoch: float
    delta: float
    map: Floats


def attention_block(network: TrainedNetwork) -> PositionAttention | ChannelAttention:
    block = network.network.attention
    if block is None:
        raise UserError(
            "this run's network has no attention, so there is no delta to set",
            where=network.run,
            expected="a run with attention, such as of cells c, d, e and g",
        )
    return block


def _samples(network: TrainedNetwork, limit: int) -> _Samples:
    config = network.config
    source = "h36m" if "h36m" in config.eval.sets else config.eval.sets[0]
    file = packed.read(Path(config.data.sources[source].file))
    chosen = packed_samples.evaluation(file, config.data, network.joints)
    index = np.unique(np.linspace(0, len(chosen) - 1, min(limit, len(chosen))).round().astype(np.int64))
    width, height = config.data.input_width, config.data.input_height
    views = [chosen.view(int(i), width, height) for i in index]
    targets = [chosen.target(int(i), view, width, height) for i, view in zip(index, views, strict=True)]
    return _Samples(
        source,
        np.stack([chosen.image(int(i), view, width, height) for i, view in zip(index, views, strict=True)]),
        np.stack([place[:, :2] for place, _ in targets]),
        np.stack([weight[:, 0] > 0 for _, weight in targets]),
    )


@torch.no_grad()
def _features(network: TrainedNetwork, shown: _Samples) -> tuple[Floats, Floats, float]:
    """The block's input X and its mask W at the joints' places, (N, J, C) each, and the trained delta.

    The output is X + delta * W for any delta, so one pass gives the features for all values of delta.
    """
    block, size = attention_block(network), network.config.eval.batch_size
    delta = float(block.delta)
    block.delta.fill_(1.0)
    before, attended = [], []
    for begin in range(0, len(shown.images), size):
        images = torch.from_numpy(shown.images[begin : begin + size]).to(network.device)
        places = torch.from_numpy(shown.places[begin : begin + size]).to(network.device)
        x = network.network.backbone(normalise(images))
        before.append(_at(x, places))
        attended.append(_at(block(x) - x, places))
    block.delta.fill_(delta)
    return np.concatenate(before), np.concatenate(attended), delta


def _at(features: Tensor, places: Tensor) -> Floats:
    """Features (b, C, H, W) read at places (b, J, 2) in [-0.5, 0.5]: (b, J, C)."""
    grid = (2 * places).unsqueeze(2)
    read = functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return np.asarray(read.squeeze(3).transpose(1, 2).double().cpu().numpy())


def _along(folder: Path, shown: _Samples) -> tuple[list[_Step], list[str]]:
    """A map for each sound checkpoint of a run, in order, and the names of the damaged checkpoints."""
    steps, damaged = [], []
    for path in sorted(RunPaths(folder).checkpoints.glob("epoch-*")):
        if checkpoints.damage(path):
            damaged.append(path.name)
            continue
        network = trained.load(folder, path.name)
        before, attended, delta = _features(network, shown)
        position = network.checkpoint.position
        steps.append(_Step(position.epoch, delta, similarity(before + delta * attended, shown.labelled)))
    return steps, damaged


def _protocol(network: TrainedNetwork, shown: _Samples, delta: float, damaged: Sequence[str]) -> str:
    data = network.config.data
    text = (
        "Cosine similarity of the attention block's output at the labelled places of two joints, minus the mean over"
        f" all joints and samples, averaged over {len(shown.images)} evaluation samples of {shown.source}"
        f" ({data.input_width}×{data.input_height} px). Network: checkpoint {network.checkpoint.path.name}"
        f" of run {network.run}, trained to δ = {delta:.3g}; the maps for other values set δ by hand."
    )
    return text + (f" Damaged checkpoints, not measured: {', '.join(damaged)}." if damaged else "")
