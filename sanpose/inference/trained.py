"""A trained network, read from a run's folder: its configuration, its weights, and how to ask it.

Knows the record's config.yaml and the checkpoints' weights.safetensors; needs neither DeepSpeed nor Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml

from sanpose.config.compose import from_plain, with_overrides
from sanpose.config.schema import Config
from sanpose.data.loader import normalise
from sanpose.errors import UserError
from sanpose.model.network import SAN
from sanpose.pose.joints import TRAINING, JointSet
from sanpose.runs import checkpoints
from sanpose.runs.checkpoints import Checkpoint

# A trained network stays what it is; only what it is asked, and where, can change.
CHANGEABLE = ("eval.", "data.sources.", "data.test_", "data.input_", "train.precision", "train.accelerator")


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network in evaluation mode on `device`, its configuration (overrides applied), and its checkpoint."""

    run: str
    config: Config
    network: SAN
    checkpoint: Checkpoint
    device: torch.device

    @property
    def joints(self) -> JointSet:
        return TRAINING[self.config.model.joints]

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 RGB images (b, H, W, 3) -> coordinates (b, J, 3) in the network's frame, scores (b, J), on `device`.

        With the arithmetic that the run was evaluated with: autocast to bfloat16 where train.precision is bf16.
        """
        bf16 = self.config.train.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.network.coordinates_and_scores(normalise(images.to(self.device)))


def load(folder: Path, which: str = "last", device: str | None = None, overrides: Sequence[str] = ()) -> TrainedNetwork:
    """The network of a run's folder, from its checkpoint `last`, `best` (by score), or of that name.

    device: "cpu", "cuda", ...; without it, a visible CUDA device unless train.accelerator is cpu. overrides: key=value,
    of `CHANGEABLE` keys. Raises UserError when the record or the checkpoint is missing, damaged, or of another network.
    """
    config = _changed(recorded_config(folder), overrides)
    if not (folder / "checkpoints").is_dir() or not any((folder / "checkpoints").glob("epoch-*")):
        raise UserError(
            "this run has no checkpoint",
            where=folder / "checkpoints",
            expected="a run that has trained for at least one epoch",
            hint=f"`sanpose train resume={folder.name}`",
        )
    chosen = checkpoints.choose(folder / "checkpoints", which)
    place = _device(config, device)
    # The backbone's own weights are part of the checkpoint; their file may be gone.
    model = replace(config.model, weights="none")
    network = SAN(model, config.data.input_height, config.data.input_width)
    try:
        network.load_state_dict(checkpoints.load_weights(chosen))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"the weights do not fit the network of the run's configuration ({' '.join(str(error).split())[:200]})",
            where=chosen.path / checkpoints.WEIGHTS,
            hint="leave out overrides of data.input_width and data.input_height" if overrides else None,
        ) from error
    network = network.to(place).to(memory_format=torch.channels_last).eval()
    return TrainedNetwork(folder.name, config, network, chosen, place)


def recorded_config(folder: Path) -> Config:
    """The resolved configuration in a run's config.yaml. Raises UserError when it is missing or unreadable."""
    path = folder / "config.yaml"
    try:
        plain = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise UserError(f"the run's configuration {reason}", where=path, expected="a run's folder") from error
    return from_plain(plain)


def _changed(config: Config, overrides: Sequence[str]) -> Config:
    changed = with_overrides(config, overrides)
    for override in overrides:
        if not override.startswith(CHANGEABLE):
            raise UserError(
                f"'{override}' cannot be changed once the network is trained",
                expected="overrides of keys that begin with " + ", ".join(CHANGEABLE),
                hint="train another run with it",
            )
    return changed


def _device(config: Config, wanted: str | None) -> torch.device:
    if wanted is None:
        wanted = "cuda" if torch.cuda.is_available() and config.train.accelerator != "cpu" else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"no CUDA device is visible for device {wanted}", hint="device cpu")
    return torch.device(wanted)
