"""Which options a person gave, apart from those that have their default: to refuse what would be ignored."""

from __future__ import annotations

import click
from click.core import ParameterSource


def given(*names: str) -> list[str]:
    """Those of the running command's parameters that were given, as `--option`."""
    context = click.get_current_context()
    told = [name for name in names if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    return ["--" + name.replace("_", "-") for name in told]
