"""What identifies a run: a hash of its configuration and of the data files it uses."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sanpose.config.schema import SCHEMA, SOURCES, Config, identity_of
from sanpose.errors import UserError


def run_id(config: Config) -> str:
    """The identity of a run: the hash of what defines it, the data's fingerprints included.

    Raises UserError when a data file cannot be read.
    """
    return hash_of(identity_of(config, fingerprints(config)), schema=SCHEMA)


def fingerprints(config: Config) -> dict[str, str]:
    """What the files that a run uses hold, by source and for a file of weights. Raises UserError as `run_id` does."""
    return {name: fingerprint(name, file) for name, file in files(config).items()}


def files(config: Config) -> dict[str, str]:
    """The files that a run uses, by source; one of weights as "weights"."""
    sources = {name: getattr(config.data.sources, name) for name in SOURCES}
    used = {n: s.file for n, s in sources.items() if s.share > 0 or n in config.eval.sets}
    weights = config.model.weights
    return used | ({} if weights in ("none", "imagenet") else {"weights": weights})


def fingerprint(name: str, file: str) -> str:
    """What one of `files` holds. Raises UserError as `run_id` does."""
    from sanpose.data import packed

    return _digest(Path(file)) if name == "weights" else packed.fingerprint(file)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(
            "the file of weights cannot be read",
            where=path,
            expected="none, imagenet or a file",
            hint="model.weights=none",
        ) from error


def is_synthetic(config: Config) -> bool:
    from sanpose.data import packed

    files = (getattr(config.data.sources, n) for n in SOURCES)
    return any(packed.is_synthetic(s.file) for s in files if s.share > 0)


_EXACT = 2**53  # below this every whole number has one float, so 1 and 1.0 can be told to be the same


def hash_of(config: Mapping[str, object], *, leave_out: Collection[str] = (), schema: int) -> str:
    """Ten hexadecimal characters of the SHA-256 of `canonical(config)`, with the schema version mixed in.

    `leave_out`: dotted keys (`"data.root"`) of values, or whole sections, that do not define the run. `schema`: raised
    by the project whenever the same configuration begins to mean something else. Raises ValueError as `canonical` does.
    """
    text = canonical({"config": without(config, leave_out), "schema": schema})
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def canonical(value: object) -> str:
    """One JSON text for equal configurations: keys sorted, no spaces, floats by `repr`, whole floats as integers.

    So 1 and 1.0 are equal, as are a tuple and a list; True is not 1. Raises ValueError, naming the dotted key, for NaN,
    an infinity, a key that is not a string, or a value that is not plain data.
    """
    return json.dumps(_plain(value, ""), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def without(config: Mapping[str, object], leave_out: Collection[str], *, missing_ok: bool = False) -> dict[str, object]:
    """A copy of a nested configuration without the given dotted keys.

    Raises ValueError for a key that the configuration does not have, since a misspelt one would silently change every
    identity, unless `missing_ok`. Below a section that is null, any key may be named.
    """
    result = dict(config)
    for dotted in sorted(leave_out):
        result = _remove(result, dotted.split("."), dotted, missing_ok)
    return result


def _remove(section: Mapping[str, object], path: Sequence[str], dotted: str, missing_ok: bool) -> dict[str, object]:
    result = dict(section)
    head, rest = path[0], path[1:]
    if head not in result and missing_ok:
        return result
    if head not in result:
        raise ValueError(f"'{dotted}' is to be left out of the identity, but the configuration has no such key")
    if not rest:
        del result[head]
        return result
    inner = result[head]
    if isinstance(inner, Mapping):
        result[head] = _remove(inner, rest, dotted, missing_ok)
    elif inner is not None and not missing_ok:
        raise ValueError(f"'{dotted}' is to be left out of the identity, but '{head}' is not a section")
    return result


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
