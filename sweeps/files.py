"""Files that are whole or absent, and line files that survive a killed writer.

Knows how the ledger's files are written and read; does not know what is in them.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

_DEEPEST = 100  # mappings and lists within each other; what is deeper ends those who walk through it


class BrokenRecord(Exception):  # noqa: N818 - it names what is wrong
    """A run's folder holds a file that cannot be read as what it should be."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return BrokenRecord, (self.path, self.reason)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to the disk, then os.replace.

    What UTF-8 has no code for, as half of a pair or a byte of a file's name, is written as an escape (\\udcff).
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(mode)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def append_line(path: Path, line: Mapping[str, object]) -> None:
    """Append one JSON object to a .jsonl file; what a killed writer left of a last line is cut off first."""
    text = json.dumps(json_ready(line), allow_nan=False)
    with path.open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode() + b"\n")


def read_lines(path: Path, but: bytes | None = None) -> list[dict[str, Any]]:
    """The complete lines of a .jsonl file; a last line without its line end is ignored.

    but: leave out, unread, the lines that begin so. Raises FileNotFoundError when there is no file, and BrokenRecord
    when it cannot be read, or for any other line that is not a JSON object.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenRecord(path, f"cannot be read: {error.strerror}") from error
    lines = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if but is not None and line.startswith(but):
            continue
        try:
            value = parsed(line)
        except ValueError as error:
            raise BrokenRecord(path, f"line {number} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise BrokenRecord(path, f"line {number} is not a JSON object")
        lines.append(value)
    return lines


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BrokenRecord when there is none."""
    try:
        value = parsed(path.read_bytes())
    except FileNotFoundError as error:
        raise BrokenRecord(path, "is missing") from error
    except (OSError, ValueError) as error:
        raise BrokenRecord(path, f"cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise BrokenRecord(path, "is not a JSON object")
    return value


def parsed(data: bytes) -> Any:
    """What JSON text says. Raises ValueError for what is none, or is nested deeper than any record."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    # Most texts have not even so many brackets, and to count them costs next to nothing.
    if data.count(b"{") + data.count(b"[") > _DEEPEST and _too_deep(value):
        raise ValueError("it is nested too deep")
    return value


def _too_deep(value: object) -> bool:
    level: list[Any] = [[value]]
    for _ in range(_DEEPEST + 1):
        inside = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def to_json(value: object) -> str:
    """JSON text, indented, of what `json_ready` makes of a value."""
    return json.dumps(json_ready(value), indent=1, allow_nan=False) + "\n"


def json_ready(value: object) -> object:
    """Plain data: NumPy scalars and arrays become numbers and lists, paths text, numbers that aren't finite None.

    Raises ValueError for anything else, since a record must be readable anywhere.
    """
    if isinstance(value, Mapping):
        return {str(k): json_ready(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, Sequence):
        return [json_ready(v) for v in value]
    if isinstance(value, SupportsFloat):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{value!r} cannot be written into a record")
