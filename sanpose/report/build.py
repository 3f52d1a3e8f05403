"""From a folder of runs to the tables, and from the tables to files. Reads records and published numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sanpose.errors import UserError
from sanpose.report.ablation import table1
from sanpose.report.comparisons import table3, table4, table5
from sanpose.report.runs import missing_key, select
from sanpose.report.table import Table
from sanpose.report.writers import WRITERS, to_markdown
from sweeps import ledger
from sweeps.ledger import Broken, Record


def tables(runs: Path, config_dir: Path, only_preset: str | None = None) -> tuple[Table, ...]:
    """Tables 1, 3 a, 3 b, 4 and 5 from the records in a folder.

    only_preset: leave out the runs of other presets. A record that can't be read is named below Table 1, not fatal.
    Raises UserError when the folder, or a table of the paper, can't be read.
    """
    if not runs.is_dir():
        raise UserError(
            "there is no folder of runs", where=runs, hint="train something first, or name the folder: --runs DIR"
        )
    found, broken = ledger.read_all(runs)
    records, foreign = _usable(found)
    cells = select(records, only_preset)
    return (
        table1(cells, records, [*broken, *foreign], config_dir),
        table3(cells, config_dir, 1),
        table3(cells, config_dir, 2),
        table4(cells, config_dir),
        table5(cells, config_dir),
    )


def write(found: Sequence[Table], out: Path) -> list[Path]:
    """Write each table as <name>.md, .tex, .csv and .json, and all of them as report.md; gives the files written.

    Each file is replaced whole. Raises UserError when the folder can't be made or written to.
    """
    texts = {f"{table.name}.{ending}": writer(table) for table in found for ending, writer in WRITERS.items()}
    texts["report.md"] = "\n".join(to_markdown(table) for table in found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            ledger.write_atomic(out / name, text)
    except OSError as error:
        raise UserError(
            "the report cannot be written", where=out, expected="a folder that can be written to"
        ) from error
    return [out / name for name in texts]


def _usable(records: Sequence[Record]) -> tuple[list[Record], list[Broken]]:
    usable, foreign = [], []
    for record in records:
        lacking = missing_key(record.config)
        if lacking is None:
            usable.append(record)
        else:
            foreign.append(Broken(record.folder, f"its configuration has no '{lacking}'"))
    return usable, foreign
