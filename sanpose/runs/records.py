"""The recorded runs of a folder as one value: a sequence of records, with a table for pandas."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from sanpose.errors import UserError
from sanpose.runs import ledger
from sanpose.runs.ledger import Broken, RunRecord

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RunRecords(Sequence[RunRecord]):
    """The runs of a folder, in order of their ids. `broken`: the folders whose record cannot be read, and why."""

    records: tuple[RunRecord, ...]
    broken: tuple[Broken, ...]

    @overload
    def __getitem__(self, index: int) -> RunRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RunRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> RunRecord | tuple[RunRecord, ...]:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per run, indexed by its id.

        Columns: folder, status, reason, started, ended, epoch, and the configuration, the figures and the other entries
        of the record by their dotted keys, such as `config.model.delta_init` and
        `metrics.h36m.mpjpe.mean_over_frames` (mm). Raises UserError where pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "a table of runs needs pandas, which is not installed", expected="pandas", hint="pip install pandas"
            ) from error
        rows = [dict(_row(run)) for run in self.records]
        return pandas.DataFrame(rows, index=pandas.Index([run.id for run in self.records], name="id"))


def read(folder: str | os.PathLike[str] = "runs") -> RunRecords:
    """The records of all runs in a folder. Raises UserError when the folder does not exist or cannot be read."""
    try:
        records, broken = ledger.read_all(Path(folder))
    except OSError as error:
        raise UserError(
            f"the runs cannot be read ({error.strerror})",
            where=Path(folder).absolute(),
            expected="the folder in which `sanpose train` and `sanpose tune` record runs",
        ) from error
    return RunRecords(tuple(records), tuple(broken))


def _row(run: RunRecord) -> Iterator[tuple[str, object]]:
    for name in ("folder", "status", "reason", "started", "ended", "epoch"):
        yield name, getattr(run, name)
    for name, group in (("config", run.config), ("metrics", run.metrics), ("extra", run.extra)):
        yield from _flat(name, group)


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """The leaves of nested mappings by their dotted keys."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(f"{prefix}.{key}", inner)
