"""The list of what a bundle holds.

bundle.json     this list: a hash of every file, and when each run's record last changed
runs/           the records, as in a folder of runs; without pictures, logs and TensorBoard's files
configs/        the definitions of presets and cells, and the paper's published tables
tables/         every table of the report, as Markdown, LaTeX, CSV and JSON
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sanpose.errors import UserError
from sweeps.files import BrokenRecord, read_json, to_json, write_atomic

NAME, RUNS, CONFIGS, TABLES = "bundle.json", "runs", "configs", "tables"
SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """`sweep`: the only sweep, None for all runs. `created`: UTC, ISO 8601. `version`: of sanpose. `files`: path within
    the bundle -> SHA-256. `changed`: run id -> when the record last changed, seconds since 1970. `tables`: names."""

    sweep: str | None
    created: str
    version: str
    files: Mapping[str, str]
    changed: Mapping[str, float]
    tables: tuple[str, ...]

    def write(self, folder: Path) -> None:
        write_atomic(folder / NAME, to_json({"schema": SCHEMA, **asdict(self)}))


def read(folder: Path) -> Manifest:
    """The list of a bundle's folder. Raises UserError when there is none, or of another schema."""
    path = folder / NAME
    try:
        content = read_json(path)
        if content.pop("schema") != SCHEMA:
            raise UserError("this bundle is of another schema", where=path, expected=f"schema {SCHEMA}")
        return Manifest(**{**content, "tables": tuple(content["tables"])})
    except (BrokenRecord, KeyError, TypeError) as error:
        raise UserError(
            f"this is not a bundle: {error}", where=path, expected="a folder or archive that `sanpose bundle` has made"
        ) from error


def hashes(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file in a bundle's folder except the list."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    return {path.relative_to(folder).as_posix(): _hash(path) for path in files}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
