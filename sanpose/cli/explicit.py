"""The options on the command line, without those that have their default: to refuse options that have no effect."""

from __future__ import annotations

import click
from click.core import ParameterSource


def explicit_options(*names: str) -> list[str]:
    """Those of the running command's parameters that the command line sets, as `--option`."""
    context = click.get_current_context()
    explicit = [name for name in names if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    return ["--" + name.replace("_", "-") for name in explicit]
