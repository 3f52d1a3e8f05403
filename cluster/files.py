"""Files of a job, written whole or not at all: other nodes read them while they are made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a file in place by one rename, with its final mode from the start."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as out:
            os.fchmod(handle, mode)
            out.write(text)
            out.flush()
            os.fsync(handle)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
