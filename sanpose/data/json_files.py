"""JSON files, which may be missing or damaged: an error says in which line."""

from __future__ import annotations

import json
from pathlib import Path

from sanpose.errors import UserError


def read_json(path: Path) -> object:
    """A JSON file's content. Raises UserError when the file is missing, unreadable or not valid JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the file cannot be read ({error})", where=path) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"broken JSON: {error.msg}",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            expected="one complete JSON document",
            hint="write or copy the file again: it may be cut short",
        ) from error


def begins_with_object(path: Path) -> bool:
    """Whether a file's first sign is "{", in any encoding that `read_json` reads. Raises UserError for an unreadable
    file."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UserError(f"the file cannot be read ({error})", where=path) from error
    return head.decode(json.detect_encoding(head), "ignore").lstrip().startswith("{")


def read_object(path: Path) -> dict[str, object]:
    """A JSON file whose content is an object. Raises UserError for anything else."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise _wrong_type(path, content, "an object")
    return content


def read_list(path: Path) -> list[object]:
    """A JSON file whose content is a list. Raises UserError for anything else."""
    content = read_json(path)
    if not isinstance(content, list):
        raise _wrong_type(path, content, "a list")
    return content


def _wrong_type(path: Path, content: object, expected: str) -> UserError:
    return UserError(f"the JSON file holds a {type(content).__name__}", where=path, expected=expected)
