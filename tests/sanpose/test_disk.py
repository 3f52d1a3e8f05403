"""Waiting for a file system that refuses to be written to for a while."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sanpose import disk
from sanpose.errors import UserError


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "FIRST_SECONDS", 0.01)


def refusing(times: int, error: Exception) -> Callable[[], int]:
    """A write that fails so many times, then gives how often it was called."""
    calls: list[int] = []

    def write() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_what_may_pass_is_tried_again_from_the_beginning(tmp_path: Path, number: int) -> None:
    assert disk.patiently(tmp_path / "new", refusing(3, OSError(number, "refused"))) == 4


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), RuntimeError("a shape"), KeyError("a")])
def test_anything_else_is_raised_at_once(tmp_path: Path, error: Exception) -> None:
    write = refusing(1, error)
    with pytest.raises(type(error)):
        disk.patiently(tmp_path, write)
    assert write() == 2


def test_a_write_that_is_always_refused_ends_as_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over a quota, where the file system says that it has room."""
    monkeypatch.setenv(disk.PATIENCE, "0.05")
    with pytest.raises(UserError, match=f"has not been writable for .*: {os.strerror(errno.EDQUOT)}"):
        disk.patiently(tmp_path, refusing(10**6, OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))))


def test_waiting_for_more_room_than_there_is_ends_as_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disk.PATIENCE, "0.05")
    with pytest.raises(UserError, match="MiB are free"):
        disk.patiently(tmp_path, lambda: None, 2**60)
