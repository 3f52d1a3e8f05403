"""`sanpose status`: the state of sweeps and runs, in the terminal or as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sanpose.cli.console import wide_console
from sanpose.cli.options import runs_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sanpose.status.jobs import Jobs
    from sanpose.status.watch import Watcher

_REFRESH_SECONDS = 2.0


@click.command()
@runs_option
@click.option("--sweep", metavar="NAME", help="Show only this sweep.")
@click.option("--watch", is_flag=True, help="Refresh every 2 s until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; its keys are documented and stable.")
@click.option("--all", "everything", is_flag=True, help="Show every finished trial, not only the newest 20 of a sweep.")
def status(runs: Path, sweep: str | None, watch: bool, as_json: bool, everything: bool) -> None:
    """Show sweeps and runs: done, failed (with the reason), pruned, interrupted, running, stopped, waiting.

    A run is "stopped" if its record says running but no process holds its lock. A run on another machine is
    "unverified", unless it belongs to a submitted job. Job states come from Slurm; if Slurm does not answer, the state
    is "unknown". Remaining times are estimates.
    """
    from sanpose.status.jobs import Jobs
    from sanpose.status.watch import Watcher

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other")
    watcher, jobs = Watcher(runs, sweep), Jobs(runs, sweep)
    if as_json:
        from sanpose.status.jobs import plain as plain_job
        from sanpose.status.states import plain

        snapshot, states = jobs.add(watcher.refresh())
        content = {**plain(snapshot), "jobs": [plain_job(state) for state in states]}
        click.echo(json.dumps(content, indent=1, allow_nan=False))
    else:
        _show(watcher, jobs, watch, everything)


def _refreshed(watcher: Watcher, jobs: Jobs, everything: bool) -> RenderableType:
    from rich.console import Group

    from sanpose.status import jobtable
    from sanpose.status.terminal import to_terminal

    snapshot, states = jobs.add(watcher.refresh())
    table = to_terminal(snapshot, everything=everything)
    return Group(jobtable.to_terminal(states, everything=everything), table) if states else table


def _show(watcher: Watcher, jobs: Jobs, watch: bool, everything: bool) -> None:
    console = wide_console(180)
    if not watch:
        console.print(_refreshed(watcher, jobs, everything))
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(_refreshed(watcher, jobs, everything), refresh=True)
            time.sleep(_REFRESH_SECONDS)
