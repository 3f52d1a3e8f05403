"""From plain values and override texts to typed configuration: any dataclass, no knowledge of what its keys mean."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanpose.errors import UserError, nearest


def typed(cls: Any, plain: Any, where: str) -> Any:
    """Build a (nested) dataclass, casting only where nothing is lost (an int where a float is wanted).

    Raises UserError, naming the dotted key, for an unknown key or a value of another type.
    """
    if not isinstance(plain, Mapping):
        raise UserError(f"'{where}' must be a group of keys, not {plain!r}")
    hints = typing.get_type_hints(cls)
    for key in plain:
        if key not in hints:
            raise _unknown_key(f"{where}{key}", [f"{where}{k}" for k in hints])
    values = {}
    for key, hint in hints.items():
        if key not in plain:
            continue
        value, name = plain[key], f"{where}{key}"
        if dataclasses.is_dataclass(hint):
            values[key] = typed(hint, value, f"{name}.")
        elif typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)[0]
            if not isinstance(value, (list, tuple)):
                raise UserError(f"{name}={value!r} has the wrong type", expected=f"a list of {inner.__name__}")
            values[key] = tuple(_scalar(inner, v, name) for v in value)
        elif hint in (bool, int, float, str):
            values[key] = _scalar(hint, value, name)
        else:
            values[key] = value
    return cls(**values)


def _scalar(kind: type, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML 1.1 reads 1e-4 as text
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name}={value} is not a finite number")
    if kind is str and value is None:
        return ""
    if type(value) is not kind:
        raise UserError(
            f"{name}={value!r} has the wrong type", expected=kind.__name__, hint=f"{name}=<{kind.__name__}>"
        )
    return value


def known_keys(cls: Any, prefix: str = "") -> list[str]:
    """The dotted keys of a (nested) dataclass, groups included."""
    keys = []
    for name, hint in typing.get_type_hints(cls).items():
        keys.append(prefix + name)
        if dataclasses.is_dataclass(hint):
            keys += known_keys(hint, f"{prefix}{name}.")
    return keys


def check_keys(overrides: Sequence[str], folder: Path, cls: Any) -> None:
    """Name the nearest key before Hydra answers in its own words: of the dataclass, or a group in the folder.

    Raises UserError.
    """
    groups = {p.name for p in folder.iterdir() if p.is_dir() and p.name not in ("paper", "sweep", "cluster")}
    known = [*known_keys(cls), *sorted(groups)]
    for override in overrides:
        key, equals, value = override.partition("=")
        key = key.lstrip("+~").strip()
        if not equals and not override.startswith("~"):
            raise UserError(f"'{override}' is not an override", expected="key=value", hint=nearest(key, known))
        if override.startswith("~") and not key.startswith("deepspeed."):
            raise UserError(
                f"'{override}' removes a key that a configuration must have",
                expected="~ only before keys of deepspeed",
                hint=f"{key}=VALUE",
            )
        if key in groups:
            options = sorted(p.stem for p in (folder / key).glob("*.yaml"))
            if value not in options:
                raise UserError(
                    f"{key}={value}: there is no such {key}",
                    expected=", ".join(options),
                    hint=nearest(value, options),
                )
        elif key not in known and not key.startswith(("deepspeed.", "scale.")):
            raise _unknown_key(key, known)


def _unknown_key(key: str, known: Sequence[str]) -> UserError:
    return UserError(
        f"unknown configuration key '{key}'", hint=nearest(key, known), expected="a key of the configuration"
    )
