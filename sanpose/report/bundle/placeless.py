"""Records without the places and names of the machine that made them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_FOLDERS = re.compile(r"(^|=)/(?:[^/]*/)*")
_HOSTS = ("host", "hostname")


def placeless(value: object) -> object:
    """Plain data in which an absolute path, also after `key=`, is its last part alone, and a host's name is "host"."""
    if isinstance(value, Mapping):
        return {key: "host" if key in _HOSTS and entry else placeless(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [placeless(entry) for entry in value]
    return _FOLDERS.sub(r"\1", value) if isinstance(value, str) else value


def placeless_lines(text: str) -> str:
    """JSON lines, each made placeless. A last line that is torn is left out."""
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.dumps(placeless(json.loads(line))) + "\n")
        except ValueError:
            continue
    return "".join(lines)
