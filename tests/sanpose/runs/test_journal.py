"""The journal of a run on a disk that is full."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sanpose import disk
from sanpose.runs import journal


class Full(io.FileIO):
    """A file that takes half of what is written, then refuses, until `times` is 0."""

    times = 0

    def write(self, data: bytes) -> int:
        if Full.times:
            Full.times -= 1
            if Full.times % 2:
                return super().write(data[: len(data) // 2])
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(data)


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[journal.Journal]:
    """A journal whose file is on a full disk."""
    monkeypatch.setattr(disk, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(Full, "times", 3)
    open_ = Path.open
    monkeypatch.setattr(Path, "open", lambda p, *mode, **k: Full(p, "a") if mode == ("ab",) else open_(p, *mode, **k))
    opened = journal.Journal(tmp_path, (0, 0))
    yield opened
    opened.close()


def test_a_torn_line_is_completed(full: journal.Journal) -> None:
    for step in range(2):
        full.write("note", 0, step, text="whole")
    assert [line["step"] for line in journal.read(full.path)] == [0, 1]


def test_a_quota_that_stays_exceeded_ends_as_a_message(full: journal.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk itself has room: writes are tried again with a pause."""
    Full.times = 2 * 10**6
    monkeypatch.setenv(disk.PATIENCE, "0.05")
    with pytest.raises(disk.NotWritable, match=os.strerror(errno.EDQUOT)):
        full.write("note", 0, 0, text="x" * 2**12)
    assert Full.times > 2 * 10**6 - 100
