"""A folder of links to the runs of one sweep, for a program that shows everything in a folder."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from sweeps import record

_LABEL = 80  # characters of a link's name before the run's id
_STRANGE = re.compile(r"[^\w .,=+-]")


def link(runs: Path, sweep: str, folder: Path) -> None:
    """Link the runs of the sweep's started trials that have no link yet; a link's name has the point and the run.

    Raises BrokenRecord when the sweep's record cannot be read, OSError when no link can be made.
    """
    linked = {path.readlink().name for path in folder.iterdir() if path.is_symlink()}
    for trial in record.read(runs, sweep).trials:
        run = trial.run
        if run and run not in linked and run == Path(run).name and run != ".." and (runs / run).is_dir():
            linked.add(run)
            with suppress(FileExistsError):  # another thread has just made the link
                (folder / f"{_STRANGE.sub('_', trial.label)[:_LABEL]} {run}").symlink_to(runs / run)
