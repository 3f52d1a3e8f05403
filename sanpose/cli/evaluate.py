"""`sanpose evaluate`: measure a recorded run's network again, for instance on other files or by another protocol."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click
import numpy as np

from sanpose.cli.quiet import quiet_libraries
from sanpose.config.arguments import split
from sanpose.config.schema import Config
from sanpose.errors import UserError

if TYPE_CHECKING:
    from sanpose.data.array_files import Array
    from sanpose.data.packed import Packed
    from sanpose.evaluation.measure import Result
    from sanpose.evaluation.predictions import Predictions
    from sanpose.inference.trained import TrainedNetwork


@click.command()
@click.argument("overrides", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--predictions",
    "saved",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Save the predictions, for `sanpose metrics`.",
)
@quiet_libraries()
def evaluate(overrides: tuple[str, ...], as_json: bool, saved: Path | None) -> None:
    """Evaluate a trained run: run=ID (a prefix is enough).

    OVERRIDES: checkpoint=last|best|NAME, runs=DIR, and keys of the run's configuration that do not change the network:
    eval.flip_test=true eval.boxes=detected eval.sets=[h36m,mpii] data.sources.mpii.file=F.h5 data.test_subjects=[11].
    The command also writes the figures into the run's folder, as evaluation-CHECKPOINT-HASH.json.

    --predictions writes keypoints3d (Human3.6M) and keypoints (MPII) into FILE.npz, Human3.6M's ground truth of the
    same samples into FILE.truth.npz, and COCO's results before rescoring and NMS into FILE.coco.json.
    """
    from sanpose.cli.metrics import show
    from sanpose.data.sources import predicted
    from sanpose.evaluation.measure import measure
    from sanpose.evaluation.predictions import predict
    from sanpose.inference import trained
    from sanpose.runs import lookup

    arguments, changes = _split(overrides)
    if saved is not None and (saved.suffix != ".npz" or not saved.parent.is_dir()):
        raise UserError("the predictions cannot be saved", where=saved, expected="a .npz file in an existing folder")
    folder = lookup.find(Path(arguments.get("runs", "runs")), arguments["run"])
    network = trained.load(folder, arguments.get("checkpoint", "last"), overrides=changes)
    files = _open(network.config)
    predictions = {
        name: predict(network.config, predicted(network.config, name, file), network.forward)
        for name, file in files.items()
    }
    results = {name: measure(network.config, p) for name, p in predictions.items()}
    document = _document(network, changes, files, results)
    # Printed first: minutes of work must not be lost where the figures cannot be saved.
    if as_json:
        click.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        for result in results.values():
            show(result)
    with _saving("the figures", folder):
        path = _record(folder, document)
    if saved is not None:
        with _saving("the predictions", saved):
            _save(saved, network.config, predictions)
    if not as_json:
        click.echo(f"run {network.run}, checkpoint {network.checkpoint.path.name}: {path}")


@contextlib.contextmanager
def _saving(what: str, where: Path) -> Iterator[None]:
    """Turn a refusal of the system into an error that says that the figures above are right."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{what} cannot be saved: {error.strerror or error}",
            where=error.filename or where,
            hint="the figures above are complete; make room or get the right to write there, and evaluate again",
        ) from error


def _split(overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The command's own arguments, and the overrides of the run's configuration. Raises UserError without run=ID."""
    arguments, changes = split(overrides, "run", "runs", "checkpoint")
    if not arguments.get("run"):
        raise UserError("no run is named", expected="run=<id>, or a prefix of the id", hint="run=1a2b")
    return arguments, changes


def _open(config: Config) -> dict[str, Packed]:
    """The packed files of `eval.sets` only: the training files may be missing."""
    from sanpose.data.sources import opened

    shareless = {name: replace(source, share=0.0) for name, source in config.data.sources.items()}
    sources = replace(config.data.sources, **shareless)
    if not config.eval.sets:
        raise UserError("eval.sets is empty, so there is nothing to measure", hint="eval.sets=[h36m]")
    return opened(replace(config, data=replace(config.data, sources=sources)))


class _File(TypedDict):
    path: str
    fingerprint: str
    synthetic: bool


class _Document(TypedDict):
    """An evaluation's file: what was measured, how, and the figures; no times or places except the files' paths."""

    run: str
    checkpoint: str
    overrides: list[str]
    eval: object
    data: dict[str, object]
    precision: str
    files: dict[str, _File]
    metrics: dict[str, dict[str, object]]


def _document(
    network: TrainedNetwork, overrides: Sequence[str], files: Mapping[str, Packed], results: Mapping[str, Result]
) -> _Document:
    config, data = network.config, network.config.data
    return {
        "run": network.run,
        "checkpoint": network.checkpoint.path.name,
        "overrides": list(overrides),
        "eval": config.plain()["eval"],
        "data": {
            "input_width": data.input_width,
            "input_height": data.input_height,
            "test_subjects": list(data.test_subjects),
            "test_stride": data.test_stride,
        },
        "precision": config.train.precision,
        "files": {
            name: {"path": str(file.path), "fingerprint": file.fingerprint, "synthetic": file.synthetic}
            for name, file in files.items()
        },
        "metrics": {name: result.as_dict() for name, result in results.items()},
    }


def _record(folder: Path, document: _Document) -> Path:
    """Write the document into the run's folder. A repeated evaluation has the same file name."""
    from sanpose.runs.identity import hash_of
    from sweeps.files import to_json, write_atomic

    fingerprints = {name: file["fingerprint"] for name, file in document["files"].items()}
    identity = {
        "eval": document["eval"],
        "data": document["data"],
        "precision": document["precision"],
        "files": fingerprints,
    }
    name = hash_of(identity, leave_out=("eval.batch_size", "eval.every", "eval.every_samples"), schema=1)
    path = folder / f"evaluation-{document['checkpoint']}-{name}.json"
    write_atomic(path, to_json(document))
    return path


def _save(path: Path, config: Config, predictions: dict[str, Predictions]) -> None:
    """Save the predictions for `sanpose metrics`: mm in the camera frame, or 0-based px of the whole image."""
    from sanpose.evaluation.measure import coco_results
    from sanpose.evaluation.predictions import space
    from sweeps.files import to_json, write_atomic

    arrays: dict[str, Array] = {}
    if "h36m" in predictions:
        chosen = predictions["h36m"].samples
        shared: dict[str, Array] = {
            "unit": np.array("mm"),
            "action": chosen.column("action"),
            "subject": chosen.column("subject"),
        }
        arrays |= {"keypoints3d": space(predictions["h36m"]), **shared}
        write_atomic(path.with_suffix(".truth.npz"), _npz({"keypoints3d": chosen.column("keypoints3d"), **shared}))
    if "mpii" in predictions:
        arrays["keypoints"] = predictions["mpii"].native(predictions["mpii"].pixels())
    if "coco" in predictions:
        write_atomic(path.with_suffix(".coco.json"), to_json(coco_results(config, predictions["coco"])))
    if arrays:
        write_atomic(path, _npz(arrays))


def _npz(arrays: Mapping[str, Array]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
