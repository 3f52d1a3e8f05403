"""What identifies a run: a hash of its configuration and of the data files that it uses."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sanpose.config.compose import located
from sanpose.config.plain import without
from sanpose.config.schema import NUISANCE, SCHEMA, Config
from sanpose.data import packed
from sanpose.errors import UserError
from sanpose.runs.paths import RunPaths

_EXACT = 2**53  # below this every whole number has one float, so 1 and 1.0 can count as equal


@dataclass(frozen=True)
class Identified:
    """A configuration with absolute paths, and the run that it stands for.

    fingerprints: of the data files, by source, and of a file of weights as "weights". synthetic: whether a training
    source holds synthetic people.
    """

    config: Config
    id: str
    fingerprints: Mapping[str, str]
    synthetic: bool

    @property
    def paths(self) -> RunPaths:
        return RunPaths(Path(self.config.runs) / self.id)


def identify(config: Config, files: Mapping[str, packed.Packed] | None = None) -> Identified:
    """Name the run of a configuration. Opens every data file once, or no file where `files` holds them by source.

    Raises UserError when a data file or a file of weights cannot be read, and as `located` does.
    """
    config = located(config)
    heads = {name: _head(name, file, files) for name, file in files_of(config).items()}
    fingerprints = {name: head.fingerprint for name, head in heads.items()}
    name = hash_of(identity_of(config, fingerprints), schema=SCHEMA)
    return Identified(config, name, fingerprints, any(heads[source].synthetic for source in config.data.sources.used()))


def run_id(config: Config) -> str:
    """The id of a configuration's run. Raises UserError as `identify` does."""
    return identify(config).id


def identity_of(config: Config, fingerprints: Mapping[str, str]) -> dict[str, object]:
    """What defines a run, as plain values: the configuration without `NUISANCE`, and the fingerprint of each used file.
    A file of weights counts by its fingerprint too, not by its path."""
    if config.model.own_weights:
        config = replace(config, model=replace(config.model, weights="file"))
    return {**without(config.plain(), NUISANCE), "fingerprints": dict(sorted(fingerprints.items()))}


def files_of(config: Config) -> dict[str, str]:
    """The files that a run uses, by source, and a file of weights as "weights"."""
    sources = config.data.sources.items()
    files = {name: source.file for name, source in sources if source.share > 0 or name in config.eval.sets}
    return files | ({"weights": config.model.weights} if config.model.own_weights else {})


def fingerprint(name: str, file: str) -> str:
    """The fingerprint of one of `files_of`. Raises UserError as `identify` does."""
    return _head(name, file, None).fingerprint


def _head(name: str, file: str, files: Mapping[str, packed.Packed] | None) -> packed.PackedHead:
    if name == "weights":
        return packed.PackedHead(_weights_fingerprint(Path(file)), synthetic=False)
    if files is None:
        return packed.head(file)
    return packed.PackedHead(files[name].fingerprint, files[name].synthetic)


def _weights_fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(
            "cannot read the file of weights",
            where=path,
            expected="none, imagenet or a file",
            hint="model.weights=none",
        ) from error


def hash_of(config: Mapping[str, object], *, leave_out: Collection[str] = (), schema: int) -> str:
    """Ten hexadecimal characters of the SHA-256 of `canonical(config)`, with the schema version mixed in.

    `leave_out`: dotted keys (`"data.root"`) of values, or whole sections, that do not define the run. `schema`: raised
    by the project whenever the meaning of a configuration changes. Raises ValueError as `canonical` and `without` do.
    """
    text = canonical({"config": without(config, leave_out), "schema": schema})
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def canonical(value: object) -> str:
    """One JSON text for equal configurations: keys sorted, no spaces, floats by `repr`, whole floats as integers.

    So 1 and 1.0 are equal, and so are a tuple and a list; True is not 1. Raises ValueError, naming the dotted key, for
    NaN, an infinity, a key that is not a string, or a value that is not plain data.
    """
    return json.dumps(_plain(value, ""), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def _plain(value: object, where: str) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"'{where}' is {value}: a configuration must hold finite numbers")
        return int(value) if value.is_integer() and abs(value) < _EXACT else float(value)
    if isinstance(value, Mapping):
        bad = next((key for key in value if not isinstance(key, str)), None)
        if bad is not None:
            raise ValueError(f"'{where}' has the key {bad!r}: keys must be strings")
        return {str(k): _plain(v, f"{where}.{k}" if where else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise ValueError(f"'{where}' is a {type(value).__name__}: a configuration holds text, numbers, lists and mappings")
