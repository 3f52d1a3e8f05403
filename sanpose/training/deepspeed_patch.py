"""A patch of DeepSpeed: its checkpoint writers wait for a full file system.

Works around: DeepSpeed's TorchCheckpointEngine calls `torch.save` without a retry. A full disk then kills one worker,
and all others wait for it in a barrier.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from sanpose import disk


def wait_for_disk(engine: Any) -> None:
    """Let a DeepSpeed engine wait for a full file system. A writer chosen in DeepSpeed's configuration stays as it
    is."""
    from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine

    engine._copy_recovery_script = lambda _: None  # scripts that join shards: the checkpoint holds the whole weights
    writer = engine.checkpoint_engine
    if type(writer) is TorchCheckpointEngine:
        writer.save = lambda state_dict, path: save(state_dict, Path(path))


def save(value: object, path: Path) -> None:
    """As torch.save, but wait for a full file system."""
    disk.patiently(path.parent, lambda: write(path, lambda file: fill(file, value)))


def write(path: Path, content: Callable[[IO[bytes]], object]) -> None:
    """Write a file and flush it to the disk. A file that cannot be written whole is removed: it takes no room."""
    try:
        with path.open("wb") as out:
            content(out)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def fill(file: IO[bytes], value: object) -> None:
    """As torch.save into an open file. Raises the OSError of the file, which torch hides."""
    try:
        torch.save(value, file)
    except RuntimeError as error:  # torch hides the error of its file
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
