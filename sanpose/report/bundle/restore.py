"""From a bundle back to a folder of runs: a sweep there takes the restored runs from their records."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sanpose.errors import UserError
from sanpose.report.bundle import manifest
from sanpose.report.bundle.manifest import RUNS
from sanpose.report.bundle.verify import opened, verify
from sweeps.record import FOLDER


@dataclass(frozen=True)
class Restored:
    """Run ids: `copied` into the folder, and `present` there already, which stay as they are."""

    copied: tuple[str, ...]
    present: tuple[str, ...]


def restore(bundle: Path, runs: Path) -> Restored:
    """Copy the runs of a bundle into a folder of runs, each whole or not at all. Sweeps are not copied: the sweep's
    command makes its record again.

    Raises UserError for anything that is not a bundle, for a bundle that contradicts itself, and when the folder cannot
    be written to.
    """
    checked = verify(bundle)
    if checked.problems:
        raise UserError(
            f"this bundle contradicts itself: {checked.problems[0]}",
            where=bundle,
            hint=f"`sanpose verify {bundle}` lists all {len(checked.problems)} contradictions",
        )
    copied, present = [], []
    with opened(bundle) as folder:
        listed = manifest.read(folder)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            for source in sorted((folder / RUNS).iterdir()):
                if source.name == FOLDER:
                    continue
                if (runs / source.name).exists():
                    present.append(source.name)
                else:
                    _copy(source, runs / source.name, listed.changed.get(source.name))
                    copied.append(source.name)
        except OSError as error:
            raise UserError(f"the runs cannot be restored: {error.strerror}", where=runs) from error
    return Restored(tuple(copied), tuple(present))


def _copy(source: Path, target: Path, changed: float | None) -> None:
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        shutil.copytree(source, stage / target.name)
        if changed is not None:
            for path in (stage / target.name).iterdir():
                os.utime(path, (changed, changed))
        (stage / target.name).rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
