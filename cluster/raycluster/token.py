"""The token that protects a private Ray from other users of the machine."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.files import write_atomic


@contextmanager
def private_token(folder: Path) -> Iterator[None]:
    """Make the token in the home folder private: Ray would write the token there readable for everybody.

    Without a home folder that can be written, the token lies in `folder`, and RAY_AUTH_TOKEN_PATH names it for the time
    of the context. Nothing is done where RAY_AUTH_MODE is "disabled", or where RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is
    set.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        yield
        return
    if _at_home():
        yield
        return
    path = folder / "auth_token"
    write_atomic(path, _token(), 0o600)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN_PATH"]


def _at_home() -> bool:
    """Whether the home folder holds a private token now."""
    try:
        path = Path.home() / ".ray" / "auth_token"
        if path.exists():
            path.chmod(0o600)
        else:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(path, secrets.token_hex(32), 0o600)
    except (OSError, RuntimeError):  # RuntimeError: neither HOME nor an entry in passwd
        return False
    return True


@functools.cache
def _token() -> str:
    return secrets.token_hex(32)  # one for a process: Ray reads its token once
