"""`sanpose train`."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from rich.console import Console

from sanpose.config.arguments import last_value, split


@click.command()
@click.argument("overrides", nargs=-1)
def train(overrides: tuple[str, ...]) -> None:
    """Train one network, evaluate it, and record the run.

    OVERRIDES are Hydra's: preset=quick ablation=c train.seed=1 train.workers=2. With resume=RUN (a prefix of a run's
    id is enough) a recorded run resumes where it stopped; runs=DIR is the folder of runs. With cluster=NAME the
    training is submitted to Slurm, as `sanpose submit` does.
    """
    if last_value(overrides, "cluster") is not None:
        from sanpose.cli.submit import submit

        context = click.get_current_context()
        context.invoke(submit, kind="train", dry_run=False, retry_failed=False, keep=None, overrides=overrides)
        return
    from cluster import printing
    from sanpose.runs import control

    printing.outlast_full_disk()
    stop_signal = control.Signal()  # before imports that take seconds
    from sanpose.config.compose import compose
    from sanpose.training.run import resume_config, train

    values, others = split(overrides, "resume", "runs")
    runs = values.get("runs", "runs")
    if "resume" in values:
        run, config = resume_config(Path(runs), values["resume"], others)
    else:
        run, config = "", compose([*others, *([f"runs={runs}"] if "runs" in values else [])])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's SIGTERM acts like Ctrl-C
    train(config, Console(), stop_signal, resume=run)
