"""From plain values and override texts to a typed configuration. Works for any dataclass; does not know what its keys
mean."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sanpose.errors import UserError, nearest

T = TypeVar("T")


def typed(cls: type[T], plain: object, where: str) -> T:
    """Build a (nested) dataclass. Cast a value only where nothing is lost (an int where a float is expected).

    Raises UserError, naming the dotted key, for an unknown key or a value of another type.
    """
    if not isinstance(plain, Mapping):
        raise UserError(f"'{where}' must be a group of keys, not {plain!r}")
    hints = typing.get_type_hints(cls)
    for key in plain:
        if key not in hints:
            raise _unknown_key(f"{where}{key}", [f"{where}{k}" for k in hints])
    return cls(**{key: _value(hint, plain[key], f"{where}{key}") for key, hint in hints.items() if key in plain})


def _value(hint: object, value: object, name: str) -> object:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return typed(hint, value, f"{name}.")
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{name}={value!r} has the wrong type", expected=f"a list of {inner.__name__}")
        return tuple(_scalar(inner, v, name) for v in value)
    return _scalar(hint, value, name) if hint in (bool, int, float, str) else value


def _scalar(kind: object, value: object, name: str) -> object:
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
        expected = getattr(kind, "__name__", str(kind))
        raise UserError(f"{name}={value!r} has the wrong type", expected=expected, hint=f"{name}=<{expected}>")
    return value


def dotted_keys(cls: type, prefix: str = "") -> list[str]:
    """The dotted keys of a (nested) dataclass, groups included."""
    keys = []
    for name, hint in typing.get_type_hints(cls).items():
        keys.append(prefix + name)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            keys += dotted_keys(hint, f"{prefix}{name}.")
    return keys


def check_keys(overrides: Sequence[str], folder: Path, cls: type) -> None:
    """Reject unknown keys with a suggestion, before Hydra's less helpful error.

    folder: the configuration folder, whose folders are groups. Raises UserError.
    """
    groups = {p.name for p in folder.iterdir() if p.is_dir() and p.name not in ("paper", "sweep", "cluster")}
    keys = [*dotted_keys(cls), *sorted(groups)]
    for override in overrides:
        key, equals, value = override.partition("=")
        key = key.lstrip("+~").strip()
        if not equals and not override.startswith("~"):
            raise UserError(f"'{override}' is not an override", expected="key=value", hint=nearest(key, keys))
        if override.startswith("~") and not key.startswith("deepspeed."):
            raise UserError(
                f"'{override}' removes a key that every configuration needs",
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
        elif key not in keys and not key.startswith(("deepspeed.", "scale.")):
            raise _unknown_key(key, keys)


def _unknown_key(key: str, keys: Sequence[str]) -> UserError:
    return UserError(
        f"unknown configuration key '{key}'", hint=nearest(key, keys), expected="a key of the configuration"
    )
