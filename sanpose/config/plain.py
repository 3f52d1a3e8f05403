"""Nested plain configurations: copies without some keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def without(config: Mapping[str, object], keys: Collection[str]) -> dict[str, object]:
    """A copy of a nested configuration without the dotted keys (`"data.root"`), which name values or whole sections.

    Raises ValueError for a key that the configuration does not have: a misspelt key would silently change every
    identity. Below a section that is null, any key may be named.
    """
    result = dict(config)
    for key in sorted(keys):
        result = _remove(result, key, key)
    return result


def _remove(section: Mapping[str, object], path: str, key: str) -> dict[str, object]:
    result = dict(section)
    head, dot, inner_path = path.partition(".")
    if head not in result:
        raise ValueError(f"the configuration has no key '{key}' to leave out")
    if not dot:
        del result[head]
        return result
    inner = result[head]
    if isinstance(inner, Mapping):
        result[head] = _remove(inner, inner_path, key)
    elif inner is not None:
        raise ValueError(f"the configuration has no key '{key}' to leave out: '{head}' is not a section")
    return result
