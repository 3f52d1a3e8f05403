"""A run on disk: identity, record, journal, checkpoints, locks. Free of torch; does not know how a run is trained.

The package is callable: `sanpose.runs("runs")` gives the records of a folder, `records.read("runs")`.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sanpose.runs.records import RunRecords


class _CallablePackage(ModuleType):
    # Importing this package replaces the function `sanpose.runs` by the package: both must do the same.
    def __call__(self, folder: str | os.PathLike[str] = "runs") -> RunRecords:
        from sanpose.runs import records

        return records.read(folder)


sys.modules[__name__].__class__ = _CallablePackage
