"""`sanpose tune`."""

from __future__ import annotations

import signal

import click
from rich.console import Console

from sanpose.errors import TrainingFailedError


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the plan and what it would cost; start nothing.")
@click.option("--retry-failed", is_flag=True, help="Try the trials that failed once more.")
@click.option(
    "--keep",
    "kept",
    default="best,last",
    show_default=True,
    help="Checkpoints that stay of a finished run: best, last, all, none. Of a pruned one none stay.",
)
@click.argument("overrides", nargs=-1)
def tune(dry_run: bool, retry_failed: bool, kept: str, overrides: tuple[str, ...]) -> None:
    """Run a sweep, or go on with one: sweep=table1 preset=quick seeds=3.

    OVERRIDES: sweep=NAME or FILE.yaml, seeds=N, name=TEXT (of the record; by default sweep and preset),
    search.KEY=VALUE (sampler, trials, pruner, objectives, ...), and Hydra's overrides of every trial. What has been run
    already, in any sweep, is taken from its record. With cluster=NAME the sweep is submitted, as by `sanpose submit`.
    """
    if any(override.startswith("cluster=") for override in overrides):
        from sanpose.cli.submit import submit

        context = click.get_current_context()
        context.invoke(submit, kind="tune", dry_run=dry_run, retry_failed=retry_failed, keep=kept, overrides=overrides)
        return
    from cluster import printing
    from sanpose.runs import control

    asked_to_stop = control.Signal()  # before what takes seconds to import
    from sanpose.runs import checkpoints
    from sanpose.tuning import sweep
    from sanpose.tuning.run import tune

    kinds, asked = checkpoints.kinds(kept), sweep.read(overrides)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    if dry_run:
        from sanpose.tuning import plan

        plan.show(plan.make(asked, retry_failed), console)
        return
    printing.outlast_full_disk()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler sends is taken like Ctrl-C
    counts = tune(asked, console, retry_failed=retry_failed, kept=kinds, signal=asked_to_stop)
    told = ", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing to do"
    console.print(f"sweep [bold]{asked.name}[/] has ended: {told}")
    console.print(f"`sanpose report --sweep {asked.name}` makes its tables")
    failed = counts.get("failed", 0) + counts.get("failed before", 0)
    if failed:
        raise TrainingFailedError(f"{failed} trials failed; --retry-failed tries them again")
