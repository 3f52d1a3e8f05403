"""The token that protects a private Ray from other users of the machine."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cluster.files import write_atomic


def require_private_token(folder: Path) -> None:
    """Make the token in the home folder private: Ray would write the token there readable for everybody.

    Without a home folder that can be written, the token lies in `folder`. Nothing is done where RAY_AUTH_MODE is
    "disabled", or where RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is set.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        path = Path.home() / ".ray" / "auth_token"
        if path.exists():
            path.chmod(0o600)
        else:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(path, secrets.token_hex(32), 0o600)
    except (OSError, RuntimeError):  # RuntimeError: neither HOME nor an entry in passwd
        path = folder / "auth_token"
        write_atomic(path, secrets.token_hex(32), 0o600)
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
