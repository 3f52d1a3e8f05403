"""`sanpose status`: what becomes of sweeps and runs, in the terminal or as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sanpose.status.jobs import Jobs
    from sanpose.status.watch import Watcher

FOLDER = click.Path(path_type=Path, file_okay=False)
_REFRESH_SECONDS = 2.0


@click.command()
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="The folder of recorded runs.")
@click.option("--sweep", metavar="NAME", help="Only this sweep.")
@click.option("--watch", is_flag=True, help="Stay, and look again every 2 s; Ctrl-C ends it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; its keys are documented and stable.")
@click.option("--all", "everything", is_flag=True, help="Show every finished trial, not the newest 20 of a sweep.")
def status(runs: Path, sweep: str | None, watch: bool, as_json: bool, everything: bool) -> None:
    """Show sweeps and runs: done, failed and why, pruned, interrupted, running, stopped, waiting.

    "stopped" is a run whose record says running, though no process holds it; a run of another machine is "unverified",
    unless it is a submitted job's. Of jobs Slurm's own word is shown: what it does not answer is unknown. Times left
    are estimates.
    """
    from sanpose.status.jobs import Jobs
    from sanpose.status.watch import Watcher

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other")
    watcher, jobs = Watcher(runs, sweep), Jobs(runs, sweep)
    if as_json:
        from sanpose.status import jobs as of_jobs
        from sanpose.status.states import plain

        snapshot, states = jobs.add(watcher.refresh())
        told = {**plain(snapshot), "jobs": [of_jobs.plain(state) for state in states]}
        click.echo(json.dumps(told, indent=1, allow_nan=False))
    else:
        _show(watcher, jobs, watch, everything)


def _look(watcher: Watcher, jobs: Jobs, everything: bool) -> RenderableType:
    from rich.console import Group

    from sanpose.status import jobtable
    from sanpose.status.terminal import to_terminal

    snapshot, states = jobs.add(watcher.refresh())
    shown = to_terminal(snapshot, everything=everything)
    return Group(jobtable.to_terminal(states, everything=everything), shown) if states else shown


def _show(watcher: Watcher, jobs: Jobs, watch: bool, everything: bool) -> None:
    from rich.console import Console

    console = Console()
    # A pipe or a log has no width of its own; 80 columns would break the table's rows into pieces.
    console = console if console.is_terminal else Console(width=180)
    if not watch:
        console.print(_look(watcher, jobs, everything))
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(_look(watcher, jobs, everything), refresh=True)
            time.sleep(_REFRESH_SECONDS)
