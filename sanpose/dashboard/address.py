"""The address of the dashboard of a folder of runs: its token and port, which a restart uses again.

A file in $XDG_STATE_HOME/sanpose (~/.local/state/sanpose) stores them, readable by its owner only. So an open page
finds a restarted dashboard.
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
    """The stored token of a folder's dashboard, or a new one, and the port of its last start, 0 without one."""
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):  # an unusable file: a new token
        path = _file(runs)
        stored = json.loads(path.read_bytes())
        private = path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o077
        if private and len(stored["token"]) >= _TOKEN_BYTES and isinstance(stored["port"], int):
            return stored["token"], stored["port"]
    return secrets.token_urlsafe(_TOKEN_BYTES), 0


def store(runs: Path, token: str, port: int) -> None:
    """Store token and port for the next start; if they cannot be stored, the next start has a new token."""
    with suppress(OSError, RuntimeError):  # RuntimeError: the user has no home directory
        path = _file(runs)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump({"token": token, "port": port, "runs": str(runs.absolute())}, file)
        os.replace(part, path)


def listen(host: str, port: int | None, last: int = 0) -> socket.socket:
    """A socket bound to `port`; without `port`, to `last` if it is free, else to any free port.

    Raises UserError when the host is not this machine's or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in (port,) if port is not None else (last, 0):
        try:
            return socket.create_server((host, number), family=family)
        except OSError as error:
            problem = error
    raise UserError(
        f"the dashboard cannot listen at this address: {problem.strerror}",
        where=f"{host}:{port or 'any port'}",
        expected="an address of this machine and a free port",
        hint="omit --port to use a free port",
    )


def _file(runs: Path) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(str(runs.resolve()).encode()).hexdigest()[:16]
    return state / "sanpose" / f"dashboard-{name}.json"
