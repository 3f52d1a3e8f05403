"""YAML text in which no key may stand twice: PyYAML alone keeps the last value without a word."""

from __future__ import annotations

import yaml


class RepeatedKeyError(yaml.YAMLError):
    """A key of a mapping stands twice."""


def load(text: str, loader: type[yaml.SafeLoader] | type[yaml.BaseLoader] = yaml.SafeLoader) -> object:
    """The content of YAML text; None for empty text. Raises yaml.YAMLError, and RepeatedKeyError, which is one, with
    both lines."""
    reader = loader(text)
    try:
        node = reader.get_single_node()
        if node is None:
            return None
        _refuse_repeated_keys(node, set())
        return reader.construct_document(node)
    finally:
        reader.dispose()


def _refuse_repeated_keys(node: yaml.Node, seen: set[int]) -> None:
    """seen: the nodes checked before; an alias can make a node contain itself."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            raise RepeatedKeyError(f"the key '{name}' stands twice, in lines {lines[name]} and {line}")
        lines[name] = line
        _refuse_repeated_keys(value, seen)
