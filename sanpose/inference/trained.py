"""A trained network, read from a run's folder: its configuration, its weights, and its predictions.

Knows the record's config.yaml and the checkpoints' weights.safetensors; needs neither DeepSpeed nor Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml

from sanpose.config.compose import from_plain, with_overrides
from sanpose.config.schema import Config
from sanpose.data.loader import normalise
from sanpose.errors import UserError
from sanpose.inference import photos
from sanpose.inference.predict import Pinhole, PredictedPoses, predict, stacked
from sanpose.model.network import SAN
from sanpose.pose.joints import TRAINING, JointSet
from sanpose.runs import checkpoints
from sanpose.runs.checkpoints import Checkpoint
from sanpose.runs.paths import RunPaths

# Overrides of these keys leave the network itself as it was trained.
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

        The arithmetic is that of the run's evaluation: autocast to bfloat16 where train.precision is bf16.
        """
        bf16 = self.config.train.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.network.coordinates_and_scores(normalise(images.to(self.device)))

    def predict(
        self,
        images: photos.Image | Iterable[photos.Image],
        boxes: photos.Boxes | None = None,
        *,
        padding: float | None = None,
        camera: Pinhole | None = None,
        flip_test: bool = False,
    ) -> PredictedPoses:
        """The poses of all people in images, as `sanpose predict` gives them for the same images and boxes.

        images: one image or several. An image is RGB pixels (H, W, 3) uint8, or the path of a file. Pixels give the
        result of a PNG file with these pixels. Pass a JPEG file by its path: its pixels would be compressed again.
        boxes: people's boxes x, y, width, height in px of the upright image, (0, 0) the centre of the first pixel. For
        one image, an array (n, 4). For several images, one array (n, 4) or (4,) for each, or None for the whole image.
        Without boxes, each whole image is one person.
        padding: the factor by which boxes grow, 1.25 by default; 1 for squares of 2 m such as Human3.6M's.
        camera: the camera of all images and the depth of the pelvises, for positions and a scale in true mm.
        flip_test: average with the prediction on the mirrored image; takes twice the time.

        Raises UserError for an image that cannot be read, arrays of another type or shape, boxes outside their image,
        and a network whose output is not finite.
        """
        people = predict(
            self.config, self.forward, photos.from_arrays(images, boxes, padding), camera=camera, flip_test=flip_test
        )
        return stacked(people, self.joints, camera)


def load(folder: Path, which: str = "last", device: str | None = None, overrides: Sequence[str] = ()) -> TrainedNetwork:
    """The network of a run's folder, from its checkpoint `last`, `best` (by score), or of that name.

    device: "cpu", "cuda", "cuda:1", ...; by default a visible CUDA device, unless train.accelerator is cpu. overrides:
    key=value of `CHANGEABLE` keys. Raises UserError when the record or the checkpoint is missing, damaged, or of
    another network, and for an unknown device.
    """
    config = _changed(recorded_config(folder), overrides)
    paths = RunPaths(folder)
    if not any(paths.checkpoints.glob("epoch-*")):
        raise UserError(
            "this run has no checkpoint",
            where=paths.checkpoints,
            expected="a run that has trained for at least one epoch",
            hint=f"`sanpose train resume={folder.name}`",
        )
    chosen = checkpoints.choose(paths.checkpoints, which)
    place = _device(config, device)
    # The checkpoint holds the backbone's weights; the file of pretrained weights may no longer exist.
    model = replace(config.model, weights="none")
    network = SAN(model, config.data.input_height, config.data.input_width)
    try:
        network.load_state_dict(checkpoints.load_weights(chosen))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"the weights do not fit the network of the run's configuration ({' '.join(str(error).split())[:200]})",
            where=chosen.path / checkpoints.WEIGHTS,
            hint="remove the overrides of data.input_width and data.input_height" if overrides else None,
        ) from error
    network = network.to(place).to(memory_format=torch.channels_last).eval()
    return TrainedNetwork(folder.name, config, network, chosen, place)


def recorded_config(folder: Path) -> Config:
    """The resolved configuration in a run's config.yaml. Raises UserError when it is missing or unreadable."""
    path = RunPaths(folder).config
    try:
        plain = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        reason = (
            "is missing" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else f"cannot be read ({error})"
        )
        raise UserError(f"the run's configuration {reason}", where=path, expected="a run's folder") from error
    return from_plain(plain)


def _changed(config: Config, overrides: Sequence[str]) -> Config:
    changed = with_overrides(config, overrides)
    for override in overrides:
        if not override.startswith(CHANGEABLE):
            raise UserError(
                f"'{override}' cannot be changed after the training",
                expected="overrides of keys that start with " + ", ".join(CHANGEABLE),
                hint="train another run with this value",
            )
    return changed


def _device(config: Config, request: str | None) -> torch.device:
    if request is None:
        request = "cuda" if torch.cuda.is_available() and config.train.accelerator != "cpu" else "cpu"
    try:
        device = torch.device(request)
    except RuntimeError as error:
        raise UserError(f"'{request}' is not a device", where="device", expected="cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"no CUDA device is visible for device '{request}'", where="device", hint="device='cpu'")
    return device
