"""`sanpose tune`."""

from __future__ import annotations

import signal

import click
from rich.console import Console

from sanpose.errors import TrainingFailedError


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the plan and an estimate of its cost; start nothing.")
@click.option("--retry-failed", is_flag=True, help="Retry failed trials.")
@click.option(
    "--keep",
    default="best,last",
    show_default=True,
    help="Checkpoints to keep of a finished run: best, last, all, none. A pruned run keeps none.",
)
@click.argument("overrides", nargs=-1)
def tune(dry_run: bool, retry_failed: bool, keep: str, overrides: tuple[str, ...]) -> None:
    """Run or resume a sweep: sweep=table1 preset=quick seeds=3.

    OVERRIDES: sweep=NAME or FILE.yaml, seeds=N, first_seed=N (default 0), name=TEXT (default: sweep and preset),
    search.KEY=VALUE (sampler, trials, pruner, objectives, ...), and Hydra's overrides of every trial. With seeds=auto
    the sweep ends when its claims are decided: max_seeds=N, alpha=P, power=P, hours=H. A run that any sweep has
    finished is taken from its record. With cluster=NAME the sweep is submitted to Slurm, as `sanpose submit` does.
    """
    if any(override.startswith("cluster=") for override in overrides):
        from sanpose.cli.submit import submit

        context = click.get_current_context()
        context.invoke(submit, kind="tune", dry_run=dry_run, retry_failed=retry_failed, keep=keep, overrides=overrides)
        return
    from cluster import printing
    from sanpose.runs import control

    stop_signal = control.Signal()  # before imports that take seconds
    from sanpose.runs import checkpoints
    from sanpose.tuning import sweep
    from sanpose.tuning.run import tune

    kinds, requested = checkpoints.kinds(keep), sweep.read(overrides)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    if dry_run:
        from sanpose.tuning import plan

        plan.show(plan.make(requested, retry_failed), console)
        return
    printing.outlast_full_disk()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's SIGTERM acts like Ctrl-C
    counts = tune(requested, console, retry_failed=retry_failed, keep=kinds, signal=stop_signal)
    outcomes = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing to do"
    console.print(f"sweep [bold]{requested.name}[/] has finished: {outcomes}")
    console.print(f"`sanpose report --sweep {requested.name}` makes its tables")
    failed = counts.get("failed", 0) + counts.get("failed before", 0)
    if failed:
        raise TrainingFailedError(f"{failed} trials failed; --retry-failed retries them")
