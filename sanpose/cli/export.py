"""`sanpose export`: write a run's network as safetensors and ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from sanpose.cli.options import checkpoint_option, run_option, runs_option

PATH = click.Path(path_type=Path)


@click.command()
@run_option
@runs_option
@checkpoint_option
@click.option("--out", type=PATH, default="export", show_default=True, help="The folder of the exported files.")
def export(run: str, runs: Path, checkpoint: str, out: Path) -> None:
    """Write model.safetensors, model.onnx and model.json, which describes input and output.

    First, the command compares the ONNX model with torch on random images. If the outputs differ by more than 1e-4, the
    command writes nothing.
    """
    from sanpose.inference import trained
    from sanpose.inference.export import BATCHES
    from sanpose.inference.export import export as write
    from sanpose.runs import lookup

    exported = write(trained.load(lookup.find(runs, run), checkpoint), out)
    for path in exported.files:
        click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    batches = " and ".join(str(n) for n in BATCHES)
    click.echo(f"ONNX Runtime against torch, batches of {batches}: largest difference {exported.difference:.2g}")
