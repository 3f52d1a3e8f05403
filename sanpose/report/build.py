"""From a folder of runs to tables, and from tables to files. Reads only records and published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sanpose.errors import UserError
from sanpose.report.gather import gather, no_collection
from sanpose.report.table import Table
from sanpose.report.writers import WRITERS
from sweeps.files import write_atomic


def tables(runs: Path, config_dir: Path, only_preset: str | None = None) -> tuple[Table, ...]:
    """The paper's Tables 1, 2, 3 a, 3 b, 4 and 5 from the records in a folder. Raises UserError as `gather` does."""
    return gather(runs, config_dir, only_preset=only_preset).tables


def write(all_tables: Sequence[Table], out: Path) -> list[Path]:
    """Write each table as <name>.md, .tex, .csv and .json, and all tables as report.md; returns the written files.

    Each file is replaced whole. Raises UserError when the folder cannot be made or written to.
    """
    with no_collection():
        texts = {f"{table.name}.{ending}": writer(table) for table in all_tables for ending, writer in WRITERS.items()}
    texts["report.md"] = "\n".join(texts[f"{table.name}.md"] for table in all_tables)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(out / name, text)
    except OSError as error:
        raise UserError("the report cannot be written", where=out, expected="a writable folder") from error
    return [out / name for name in texts]
