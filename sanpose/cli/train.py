"""`sanpose train` and `sanpose ablation`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

CELLS = ("a", "b", "c", "d", "e", "f", "g")


@click.command()
@click.argument("overrides", nargs=-1)
def train(overrides: tuple[str, ...]) -> None:
    """Train one network, evaluate it, record it.

    OVERRIDES are Hydra's: preset=quick ablation=c train.seed=1 train.workers=2. With resume=RUN (a prefix of a run's
    id is enough) a recorded run continues where it stopped; runs=DIR says where the runs lie.
    """
    from sanpose import config, train

    given = dict(o.split("=", 1) for o in overrides if o.startswith(("resume=", "runs=")))
    rest = [o for o in overrides if not o.startswith(("resume=", "runs="))]
    if "resume" in given:
        chosen = train.resume_config(Path(given.get("runs", "runs")), given["resume"], rest)
    else:
        chosen = config.compose([*rest, *([f"runs={given['runs']}"] if "runs" in given else [])])
    train.train(chosen, Console())


@click.command()
@click.option("--cells", default=",".join(CELLS), show_default=True, help="The rows of Table 1 to train.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Seeds per cell: 0, 1, ...")
@click.argument("overrides", nargs=-1)
def ablation(cells: str, seeds: int, overrides: tuple[str, ...]) -> None:
    """Train the cells of the paper's Table 1, one after the other; those that are done are taken from their records."""
    from sanpose import config, train
    from sanpose.errors import UserError

    wanted = [c.strip() for c in cells.split(",") if c.strip()]
    unknown = [c for c in wanted if c not in CELLS]
    if unknown or not wanted:
        raise UserError(f"Table 1 has no cell '{cells if not wanted else unknown[0]}'", expected=", ".join(CELLS))
    console = Console()
    plans = [
        config.compose([*overrides, f"ablation={cell}", f"train.seed={seed}"])
        for seed in range(seeds)
        for cell in wanted
    ]
    train.train_all(plans, console)
