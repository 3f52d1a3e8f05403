"""`sanpose dashboard`: the live page of sweeps and runs."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import click

from sanpose.cli.options import runs_option

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@runs_option
@click.option("--port", type=click.IntRange(1, 65535), help="By default the port of the last start, else a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
def dashboard(runs: Path, port: int | None, host: str) -> None:
    """Show sweeps and runs as a live page until Ctrl-C.

    The printed address holds a token; anyone with the token can use the page. From another computer, forward the port:
    ssh -L PORT:127.0.0.1:PORT.
    """
    from sanpose.dashboard.address import listen, store, token_and_port
    from sanpose.dashboard.server import app, serve

    token, last = token_and_port(runs)
    application = app(runs, token, host)
    listening = listen(host, port, last)
    chosen = listening.getsockname()[1]
    store(runs, token, chosen)
    if host not in _LOOPBACK:
        warning = "the page is open to the network, without accounts and encryption; anyone with the address can use it"
        click.echo(f"warning: {warning}. Safer: omit --host and use ssh -L.", err=True)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    with suppress(KeyboardInterrupt):  # the normal way to stop
        click.echo(f"dashboard: http://{name}:{chosen}/?token={token}")
        serve(application, listening)
