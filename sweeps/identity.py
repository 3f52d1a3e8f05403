"""A run's identity: the hash of the fully resolved configuration that defines it.

Knows how to write a configuration as one canonical text. Does not know which keys a project counts as nuisance (paths,
worker counts, log levels): the caller names them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence

_EXACT = 2**53  # below this every whole number has one float, so 1 and 1.0 can be told to be the same


def run_id(config: Mapping[str, object], *, leave_out: Collection[str] = (), schema: int) -> str:
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
