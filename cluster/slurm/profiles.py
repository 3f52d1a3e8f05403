"""Cluster profiles: from YAML and `cluster.KEY=VALUE` to a checked `Profile`, and to plain data and back.

Scalars are read as text and typed by the fields of `Profile`: YAML itself would read 2:00:00 as the number 7200.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import shlex
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster import yaml_text
from cluster.errors import ClusterError
from cluster.slurm.spec import Profile

LOCAL = "local"  # no cluster: this machine, in the foreground
_KEYS = {key: kind for key, kind in typing.get_type_hints(Profile).items() if key != "name"}


def read(name: str, folder: Path, overrides: Sequence[str] = ()) -> Profile:
    """The profile of `cluster=NAME cluster.KEY=VALUE ...`.

    name: "local", the stem of a profile in `folder`, or a YAML file. Raises ClusterError when the profile does not
    exist, and when the profile or an override has an unknown key or an invalid value.
    """
    if name == LOCAL:
        if overrides:
            raise ClusterError("cluster=local has no settings", where=" ".join(overrides), hint="leave them out")
        return Profile(LOCAL)
    path = _file(name, folder)
    try:
        plain = yaml_text.load(path.read_text("utf-8-sig"), yaml.BaseLoader) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(f"the cluster profile cannot be read: {error}", where=path) from error
    if not isinstance(plain, dict):
        raise ClusterError("the cluster profile is not a mapping", where=path, expected="key: value")
    for key in plain:
        _check_key(key, str(path))
    return from_plain({**changed(plain, overrides), "name": path.stem})


def changed(plain: Mapping[str, object], overrides: Sequence[str]) -> dict[str, object]:
    """A profile's plain data with overrides `cluster.KEY=VALUE` applied. Raises ClusterError for an unknown key."""
    result = dict(plain)
    for override in overrides:
        key, equals, text = override.removeprefix("cluster.").partition("=")
        if not equals:
            raise ClusterError(f"'{override}' is not an override", expected="cluster.KEY=VALUE")
        key, dot, option = key.partition(".")
        _check_key(key, override)
        value = _value(key, text, override)
        if dot and key != "extra":
            raise ClusterError(f"cluster.{key} has no keys of its own", where=override, expected=f"cluster.{key}=VALUE")
        if dot:
            extra = result.get(key)
            result[key] = {**(extra if isinstance(extra, dict) else {}), option: value}
        else:
            result[key] = value
    return result


def from_plain(plain: Mapping[str, object]) -> Profile:
    """A profile from plain data, as in a job's record. Raises ClusterError as `Profile` does."""
    where = f"cluster profile {plain['name']}"
    values = {key: _typed(_KEYS[key], value, key, where) for key, value in plain.items() if key in _KEYS}
    return Profile(name=str(plain["name"]), **values)


def to_plain(profile: Profile) -> dict[str, object]:
    """A profile as lists, texts and numbers, for JSON."""
    plain = {f.name: getattr(profile, f.name) for f in dataclasses.fields(profile)}
    return {k: list(v) if isinstance(v, tuple) else dict(v) if isinstance(v, Mapping) else v for k, v in plain.items()}


def _value(key: str, text: str, where: str) -> object:
    """The text itself; for a key that holds a list or a group, YAML's [a, b] and {a: b} are read too."""
    if _KEYS[key] in (str, int, bool) or text[:1] not in ("[", "{"):
        return text
    try:
        return yaml_text.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ClusterError(f"the value cannot be read as YAML ({error})", where=where) from error


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """A hint that names the choice closest to a misspelt word, or None."""
    match = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else None


def _file(name: str, folder: Path) -> Path:
    shipped = sorted(path.stem for path in folder.glob("*.yaml"))
    if name in shipped:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    choices = [*shipped, LOCAL]
    raise ClusterError(
        f"cluster={name}: there is no such profile" if name else "no cluster is named",
        where=folder,
        expected=f"cluster=NAME: {', '.join(choices)}, or a YAML file",
        hint=nearest(name, choices)
        or f"copy {folder}/{shipped[0] if shipped else 'gpu'}.yaml and write cluster=FILE.yaml",
    )


def _check_key(key: str, where: str) -> None:
    if key not in _KEYS:
        hint = nearest(key, _KEYS)
        raise ClusterError(
            f"'{key}' is not a key of a cluster profile", where=where, expected=", ".join(_KEYS), hint=hint
        )


def _typed(kind: type, value: object, key: str, where: str) -> Any:
    if kind is int and (type(value) is int or (isinstance(value, str) and re.fullmatch(r"-?\d+", value))):
        return int(value)
    if kind is bool and (type(value) is bool or value in ("true", "false")):
        return value in (True, "true")
    if kind is str and isinstance(value, str):
        return value
    if typing.get_origin(kind) is tuple:
        return _lines(value, key, where)
    if typing.get_origin(kind) is not None and (value == "" or isinstance(value, Mapping)):
        return _texts(value if isinstance(value, Mapping) else {}, key, where)
    expected = {int: "a whole number", bool: "true or false", str: "text"}.get(kind, "a group of keys and texts")
    raise ClusterError(f"{key}={value!r} has the wrong type", where=where, expected=expected)


def _lines(value: object, key: str, where: str) -> tuple[str, ...]:
    """A list of texts. A single text is split: `container` into the words of a command, other keys into lines."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value) if key == "container" else filter(None, value.splitlines()))
        except ValueError as error:
            raise ClusterError(f"{key} is not a command: {error}", where=where) from error
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return tuple(value)
    raise ClusterError(f"{key}={value!r} has the wrong type", where=where, expected="text, or a list of texts")


def _texts(value: Mapping[object, object], key: str, where: str) -> dict[str, str]:
    texts = {}
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ClusterError(f"{key}.{name} has the wrong type", where=where, expected="text")
        texts[name] = text
    return texts
