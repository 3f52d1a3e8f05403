"""`sanpose dashboard`: the live page of sweeps and runs."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="The folder of recorded runs.")
@click.option("--port", type=click.IntRange(1, 65535), help="By default the one it had last, else a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
def dashboard(runs: Path, port: int | None, host: str) -> None:
    """Show sweeps and runs as a live page; Ctrl-C ends it.

    The printed address holds a token; whoever has it can use the page. From another computer, forward the port:
    ssh -L PORT:127.0.0.1:PORT.
    """
    from sanpose.dashboard.address import keep, listen, token_and_port
    from sanpose.dashboard.server import app, serve

    token, last = token_and_port(runs)
    application = app(runs, token, host)
    listening = listen(host, port, last)
    chosen = listening.getsockname()[1]
    keep(runs, token, chosen)
    if host not in _LOOPBACK:
        warning = "the page is open to the network: no accounts, no encryption; whoever sees the address can use it"
        click.echo(f"warning: {warning}. Safer: leave out --host and use ssh -L.", err=True)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    with suppress(KeyboardInterrupt):  # the way to end it
        click.echo(f"dashboard: http://{name}:{chosen}/?token={token}")
        serve(application, listening)
