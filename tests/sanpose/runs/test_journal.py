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
from sanpose.runs.paths import RunPaths


class Full(io.FileIO):
    """Takes half of what is written, then refuses so many times."""

    times = 3

    def write(self, data: bytes) -> int:
        if self.times:
            self.times -= 1
            if self.times % 2:
                return super().write(data[: len(data) // 2])
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(data)


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[journal.Journal]:
    monkeypatch.setattr(disk, "_FIRST_SECONDS", 0.01)
    opened = journal.Journal(tmp_path, (0, 0))
    opened._file.close()
    opened._file = Full(RunPaths(tmp_path).journal, "a")
    yield opened
    opened.close()


def test_a_line_goes_on_where_it_was_torn(full: journal.Journal) -> None:
    for step in range(2):
        full.write("note", 0, step, text="whole")
    assert [line["step"] for line in journal.read(full.path)] == [0, 1]


def test_a_quota_that_stays_exceeded_ends_as_a_message(full: journal.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk itself has room: it is not asked again and again without a pause."""
    full._file.times = 2 * 10**6
    monkeypatch.setenv(disk.PATIENCE, "0.05")
    with pytest.raises(disk.NotWritable, match=os.strerror(errno.EDQUOT)):
        full.write("note", 0, 0, text="x" * 2**12)
    assert full._file.times > 2 * 10**6 - 100
