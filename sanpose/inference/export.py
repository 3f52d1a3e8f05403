"""Export a trained network for other programs: safetensors weights, ONNX, and JSON that describes input and output.

No file is written unless ONNX Runtime gives the same numbers as torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sanpose.errors import UserError
from sanpose.inference.description import describe, metadata
from sanpose.inference.trained import TrainedNetwork
from sanpose.model.network import SAN

WEIGHTS, ONNX, DESCRIPTION = "model.safetensors", "model.onnx", "model.json"
TOLERANCE = 1e-4
BATCHES = (1, 3)
OUTPUTS = ("coordinates", "scores")


@dataclass(frozen=True)
class Exported:
    """The files that were written, and the largest absolute difference of ONNX Runtime's outputs from torch's."""

    files: tuple[Path, ...]
    difference: float


class Exportable(nn.Module):
    """The network with `coordinates_and_scores` as its forward pass."""

    def __init__(self, network: SAN):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.coordinates_and_scores(images)


def export(network: TrainedNetwork, out: Path, tolerance: float = TOLERANCE) -> Exported:
    """Write model.safetensors, model.onnx and model.json into a folder, all or none, in float32.

    The ONNX model maps normalised float32 images (N, 3, H, W), N free, to coordinates (N, J, 3) and scores (N, J).
    Raises UserError when ONNX Runtime's outputs for random images in batches of 1 and 3 differ from torch's by more
    than `tolerance`, and when the folder cannot be created.
    """
    if out.exists() and not out.is_dir():
        raise UserError("the folder to export into is a file", where=out, hint="another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be created ({error.strerror})", where=out.parent) from error
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.absolute().parent) as name:
        part = Path(name)
        # On the CPU: on a CUDA device torch may compute in TF32, which is no reference.
        module = Exportable(network.network.cpu()).eval()
        write_onnx(module, network.config.data.input_height, network.config.data.input_width, part / ONNX)
        _add_metadata(part / ONNX, metadata(network))
        difference = compare(module, network.config.data.input_height, network.config.data.input_width, part / ONNX)
        network.network.to(network.device)
        if not difference <= tolerance:
            raise UserError(
                f"ONNX Runtime and torch differ by up to {difference:.2g}",
                where=network.checkpoint.path,
                expected=f"at most {tolerance:g}; no file is written",
            )
        weights = {k: v.detach().cpu().contiguous() for k, v in network.network.state_dict().items()}
        save_file(weights, part / WEIGHTS, metadata={"run": network.run, "checkpoint": network.checkpoint.path.name})
        about = describe(network, {"weights": WEIGHTS, "onnx": ONNX}, difference, BATCHES)
        (part / DESCRIPTION).write_text(json.dumps(about, indent=1) + "\n")
        out.mkdir(exist_ok=True)
        for file in (WEIGHTS, ONNX, DESCRIPTION):
            (part / file).chmod(0o644)
            os.replace(part / file, out / file)
    return Exported(tuple(out / file for file in (WEIGHTS, ONNX, DESCRIPTION)), difference)


def write_onnx(module: nn.Module, height: int, width: int, path: Path) -> None:
    """Write a module, images (N, 3, height, width) -> coordinates, scores, as ONNX with a free N. Prints nothing."""
    with _quiet():
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, height, width),),  # the exporter would treat a batch of one as a constant
            path,
            dynamo=True,
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            external_data=False,
        )


def _add_metadata(path: Path, items: dict[str, str]) -> None:
    model = onnx.load(path)
    onnx.helper.set_model_props(model, items)
    onnx.save(model, path)


@torch.no_grad()
def compare(module: nn.Module, height: int, width: int, path: Path) -> float:
    """The largest absolute difference of an ONNX file's outputs from torch's, over random images in batches of 1, 3."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in BATCHES:
        images = torch.randn(batch, 3, height, width, generator=random)
        theirs = session.run(list(OUTPUTS), {"images": images.numpy()})
        for ours, other in zip(module(images), theirs, strict=True):
            if ours.shape != other.shape:
                raise RuntimeError(f"the ONNX output has the shape {other.shape}, torch's {tuple(ours.shape)}")
            difference = float((ours - torch.from_numpy(other)).abs().max())
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the output, logs and warnings of torch's exporter."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
