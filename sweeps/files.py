"""Files that are whole or absent, and line files that survive a killed writer.

Knows how the files of records are written and read; does not know their content.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

_DEEPEST = 100  # nested mappings and lists; deeper values exhaust the stack of recursive readers


class BrokenRecord(Exception):  # noqa: N818 - it names what is wrong
    """A recorded file cannot be read: it is absent, torn or malformed."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return BrokenRecord, (self.path, self.reason)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all: into a temporary file beside it, flushed to the disk, then os.replace.

    A character without a UTF-8 code, such as half of a surrogate pair or a byte of a file name, becomes an escape
    (\\udcff).
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
    """Append one JSON object to a .jsonl file. The torn last line of a killed writer is cut off first."""
    text = json.dumps(json_ready(line), allow_nan=False)
    with path.open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode() + b"\n")


def read_lines(path: Path, skip: bytes | None = None) -> list[dict[str, object]]:
    """The complete lines of a .jsonl file; a last line without its line end is ignored.

    skip: leave out the lines that begin with this text, without parsing them. Raises FileNotFoundError when there is no
    file, and BrokenRecord when the file cannot be read, or another line is not a JSON object.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenRecord(path, f"cannot be read: {error.strerror}") from error
    lines = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if skip is not None and line.startswith(skip):
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
    """The JSON object in a file. Raises BrokenRecord when the file does not hold one."""
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
    """The value of a JSON text. Raises ValueError when the text is not JSON, or is nested deeper than any record."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    # Most texts have fewer brackets than that, and counting is cheap.
    if data.count(b"{") + data.count(b"[") > _DEEPEST and _too_deep(value):
        raise ValueError("it is nested too deep")
    return value


def _too_deep(value: object) -> bool:
    level: list[dict[object, object] | list[object]] = [[value]]
    for _ in range(_DEEPEST + 1):
        inside = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def to_json(value: object) -> str:
    """The indented JSON text of `json_ready(value)`."""
    return json.dumps(json_ready(value), indent=1, allow_nan=False) + "\n"


def json_ready(value: object) -> object:
    """Plain data: NumPy scalars and arrays become numbers and lists; a path becomes text; a number that is not finite
    becomes None.

    Raises ValueError for any other type: a record must be readable anywhere.
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
