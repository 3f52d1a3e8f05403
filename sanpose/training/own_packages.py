"""Somebody's own `cluster.py`, or folder `sweeps`, must not be imported in place of the packages beside `sanpose`.

Imports nothing but the standard library and `sanpose.errors`: the packages must be imported before everything else.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from sanpose.errors import UserError

_PARENT = str(Path(__file__).resolve().parents[2])


def import_own_packages(names: tuple[str, ...] = ("cluster", "sweeps")) -> None:
    """Import the packages that lie beside this `sanpose`, whatever the module search path holds.

    Raises UserError when another module of such a name has been imported before.
    """
    _import(names)
    for name in names:
        module = sys.modules[name]
        places = [*getattr(module, "__path__", ()), getattr(module, "__file__", None) or name]
        if Path(places[0]).resolve() != Path(_PARENT, name):
            raise UserError(
                f"another module named '{name}' is imported in place of sanpose's package '{name}'",
                where=places[-1],
                expected=f"the package {Path(_PARENT, name)}",
                hint="rename that file or folder, or import sanpose first",
            )


def begin_worker() -> None:
    """Import the packages in a worker of Ray, where the driver's working folder comes first in the search path.

    Where the driver's folder of packages is missing, as on another machine, the search path decides.
    """
    if Path(_PARENT, "sanpose").is_dir():
        _import(("cluster", "sanpose", "sweeps"))


def _import(names: tuple[str, ...]) -> None:
    sys.path.insert(0, _PARENT)
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        sys.path.remove(_PARENT)
