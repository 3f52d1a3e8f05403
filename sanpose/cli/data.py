"""`sanpose data`: prepare packed files from the data sets, check them, synthesise people."""

from __future__ import annotations

import click

from sanpose.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "prepare": ("sanpose.cli.data_prepare:prepare", "Pack a data set into one HDF5 file."),
        "check": ("sanpose.cli.data_check:check", "Examine a packed file; draw a contact sheet."),
        "synth": ("sanpose.cli.data_synth:synth", "Make synthetic data in the data sets' own formats."),
    },
)
def data() -> None:
    """Prepare, check and synthesise data."""
