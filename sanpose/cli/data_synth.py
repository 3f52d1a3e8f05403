"""`sanpose data synth`: make synthetic people in the data sets' own formats."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sanpose.data.synth.generate import generate
from sanpose.data.synth.options import PRESETS, SETS, Options, SetName
from sanpose.errors import UserError

_COUNTS = (
    ("--h36m-frames", "Frames per training subject, action and camera."),
    ("--h36m-test-frames", "Frames per test subject (9, 11), action and camera."),
    ("--mpii-train", "Pictures of the MPII-like training split."),
    ("--mpii-val", "Pictures of the MPII-like evaluation split."),
    ("--coco-train", "Pictures of the COCO-like training split."),
    ("--coco-val", "Pictures of the COCO-like evaluation split."),
)


def _with_counts(command: Any) -> Any:
    for name, text in reversed(_COUNTS):
        command = click.option(name, type=click.IntRange(1), help=text)(command)
    return command


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where h36m/, mpii/ and coco/ are made.")  # fmt: skip
@click.option("--preset", type=click.Choice(list(PRESETS)), default="quick", show_default=True,
              help="quick: what `make ablation` learns from; smoke: a few dozen pictures, in seconds.")  # fmt: skip
@click.option("--only", type=click.Choice(SETS), multiple=True, help="Only this set; may be given again.")
@click.option("--seed", type=click.IntRange(0), help="Of all random numbers; 0 if not given.")
@click.option(
    "--scale", type=float, help="Of the pictures: 1 is 1000 x 1002 px; 0.25 if not given: 2 m are about 115 px."
)
@click.option("--subjects", help="Of the studio set, as 1,5,9; of 1, 5, 6, 7, 8 (training), 9, 11 (test).")
@_with_counts
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes that draw.")
@click.option("--force", is_flag=True, help="Make the sets anew, whatever synthetic sets are there.")
def synth(out: Path, preset: str, only: tuple[SetName, ...], workers: int, force: bool, **given: Any) -> None:
    """Make pictures of jointed people: a studio set with 3D (Human3.6M's form and cameras), and two sets in the wild
    with 2D (MPII's and COCO's form).

    The same options make the same files. A finished set is left as it is.
    """
    if given["subjects"] is not None:
        given["subjects"] = _numbers(given["subjects"])
    options: Options = replace(PRESETS[preset], **{key: value for key, value in given.items() if value is not None})
    console = Console()
    tasks: dict[SetName, TaskID] = {}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:

        def step(name: SetName, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        made = generate(out, options, only=only or SETS, workers=workers, force=force, progress=step)
    for name, now in made.items():
        console.print(f"{out / name}: {'made' if now else 'already there'}", soft_wrap=True)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--subjects {text} is not a list of numbers", expected="numbers, as 1,5,9") from None
