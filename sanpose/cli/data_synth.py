"""`sanpose data synth`: make pictures of synthetic people in the data sets' own formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from sanpose.cli.image_progress import ImageProgress
from sanpose.cli.subjects import parse_subjects
from sanpose.data.synth.generate import generate
from sanpose.data.synth.options import PRESETS, SETS, SetName

_COUNTS = (
    ("--h36m-frames", "Frames per training subject, action and camera."),
    ("--h36m-test-frames", "Frames per test subject (9, 11), action and camera."),
    ("--mpii-train", "Pictures of the MPII-like training split."),
    ("--mpii-val", "Pictures of the MPII-like evaluation split."),
    ("--coco-train", "Pictures of the COCO-like training split."),
    ("--coco-val", "Pictures of the COCO-like evaluation split."),
)


Command = TypeVar("Command", bound=Callable[..., object])


def _with_counts(command: Command) -> Command:
    for name, text in reversed(_COUNTS):
        command = click.option(name, type=click.IntRange(1), help=text)(command)
    return command


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="The folder in which to make h36m/, mpii/ and coco/.")  # fmt: skip
@click.option("--preset", type=click.Choice(list(PRESETS)), default="quick", show_default=True,
              help="quick: the data of `make ablation`; smoke: a few dozen pictures, in seconds.")  # fmt: skip
@click.option("--only", type=click.Choice(SETS), multiple=True, help="Only this set; repeatable.")
@click.option("--seed", type=click.IntRange(0), help="The seed of all random numbers; default: 0.")
@click.option(
    "--scale",
    type=float,
    help="The scale of the pictures: 1 is 1000 x 1002 px; default: 0.25, where 2 m are about 115 px.",
)
@click.option(
    "--subjects", help="The studio set's subjects, as 1,5,9; default: 1, 5, 6, 7, 8 (training), 9, 11 (test)."
)
@_with_counts
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes that draw.")
@click.option("--force", is_flag=True, help="Replace existing synthetic sets.")
def synth(
    out: Path,
    preset: str,
    only: tuple[SetName, ...],
    subjects: str | None,
    workers: int,
    force: bool,
    **numbers: float | None,
) -> None:
    """Make pictures of jointed people: a studio set with 3D (Human3.6M's form and cameras), and two sets in the wild
    with 2D (MPII's and COCO's form).

    The same options make the same files. A finished set is not changed.
    """
    changes: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    if subjects is not None:
        changes["subjects"] = parse_subjects(subjects)
    options = replace(PRESETS[preset], **changes)
    console = Console()
    with ImageProgress(console) as progress:
        made = generate(out, options, only=only or SETS, workers=workers, force=force, progress=progress.show)
    for name, is_new in made.items():
        console.print(f"{out / name}: {'made' if is_new else 'already exists'}", soft_wrap=True)
