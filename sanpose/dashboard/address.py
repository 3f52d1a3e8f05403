"""Where the dashboard of a folder of runs is reached: its token and port, kept so that it comes back at the same place.

They are in $XDG_STATE_HOME/sanpose (~/.local/state/sanpose), in a file that only its owner can read: an open page then
finds a dashboard that was started again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from sanpose.errors import UserError

_TOKEN_BYTES = 32


def token_and_port(runs: Path) -> tuple[str, int]:
    """The token of a folder's dashboard, made at the first time, and the port it had last, 0 when there was none."""
    with suppress(
        OSError, RuntimeError, ValueError, KeyError, TypeError
    ):  # whatever is wrong with it, a new one will do
        path = _file(runs)
        kept = json.loads(path.read_bytes())
        private = path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o077
        if private and len(kept["token"]) >= _TOKEN_BYTES and isinstance(kept["port"], int):
            return kept["token"], kept["port"]
    return secrets.token_urlsafe(_TOKEN_BYTES), 0


def keep(runs: Path, token: str, port: int) -> None:
    """Keep them for the next start; where nothing can be kept, the next start has a new token."""
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody's home
        path = _file(runs)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump({"token": token, "port": port, "runs": str(runs.absolute())}, file)
        os.replace(part, path)


def listen(host: str, port: int | None, last: int = 0) -> socket.socket:
    """A socket bound to `port`; without one to `last` if that is free, else to any free one.

    Raises UserError when the host is not this machine's or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (port,) if port is not None else (last, 0):
        try:
            return socket.create_server((host, wanted), family=family)
        except OSError as error:
            problem = error
    raise UserError(
        f"the dashboard cannot listen there: {problem.strerror}",
        where=f"{host}:{port or 'any port'}",
        expected="an address of this machine and a free port",
        hint="leave out --port, and a free one is chosen",
    )


def _file(runs: Path) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(str(runs.resolve()).encode()).hexdigest()[:16]
    return state / "sanpose" / f"dashboard-{name}.json"
