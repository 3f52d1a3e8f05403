"""`sanpose train`."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from rich.console import Console


@click.command()
@click.argument("overrides", nargs=-1)
def train(overrides: tuple[str, ...]) -> None:
    """Train one network, evaluate it, record it.

    OVERRIDES are Hydra's: preset=quick ablation=c train.seed=1 train.workers=2. With resume=RUN (a prefix of a run's
    id is enough) a recorded run continues where it stopped; runs=DIR says where the runs lie. With cluster=NAME the
    training is submitted, as by `sanpose submit`.
    """
    if any(override.startswith("cluster=") for override in overrides):
        from sanpose.cli.submit import submit

        context = click.get_current_context()
        context.invoke(submit, kind="train", dry_run=False, retry_failed=False, kept=None, overrides=overrides)
        return
    from cluster import printing
    from sanpose.runs import control

    printing.outlast_full_disk()
    asked_to_stop = control.Signal()  # before what takes seconds to import
    from sanpose.config.compose import compose
    from sanpose.training.run import resume_config, train

    given = dict(o.split("=", 1) for o in overrides if o.startswith(("resume=", "runs=")))
    rest = [o for o in overrides if not o.startswith(("resume=", "runs="))]
    if "resume" in given:
        chosen = resume_config(Path(given.get("runs", "runs")), given["resume"], rest)
    else:
        chosen = compose([*rest, *([f"runs={given['runs']}"] if "runs" in given else [])])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler sends is taken like Ctrl-C
    train(chosen, Console(), asked_to_stop)
