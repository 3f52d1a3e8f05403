"""The study's journal on a file system that tears, refuses or does not answer."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from sweeps import definition, journal_file
from sweeps.study import Study
from tests.sweeps.studies import GRID, ask_all, study

R = TypeVar("R")

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
LINE = b'{"op":1,"text":"whole"}\n'


def patiently(_folder: Path, write: Callable[[], None]) -> None:
    for _ in range(20):
        with contextlib.suppress(OSError):
            return write()
    raise AssertionError("refused 20 times")


def failing(call: Callable[..., R], error: OSError, times: int) -> Callable[..., R]:
    """A call that is refused so many times, and then done."""
    errors = [error] * times

    def refused(*args: object, **kwargs: object) -> R:
        if errors:
            raise errors.pop()
        return call(*args, **kwargs)

    return refused


def opening_torn(monkeypatch: pytest.MonkeyPatch, errors: list[OSError]) -> None:
    """Let files that are opened for appending take half of what is written, and then refuse, once for each error."""
    open_, remaining = Path.open, list(errors)

    class Torn(io.FileIO):
        def write(self, data: bytes) -> int:
            if remaining:
                super().write(data[: len(data) // 2])
                raise remaining.pop()
            return super().write(data)

    monkeypatch.setattr(
        Path, "open", lambda p, mode, **more: Torn(p, "a+") if mode == "a+b" else open_(p, mode, **more)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "study.log"
    found.write_bytes(LINE)
    return found


def append(path: Path) -> None:
    journal_file.backend(path, patiently).append_logs([{"op": 2}, {"op": 3}])
    assert not path.with_name("study.log.lock").is_symlink()
    first, *others = path.read_bytes().splitlines(keepends=True)
    assert first == LINE and [json.loads(line)["op"] for line in others] == [2, 3]


def test_lines_are_appended(path: Path) -> None:
    append(path)


def test_a_torn_line_is_cut_off_before_the_next_try(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening_torn(monkeypatch, [FULL, FULL])
    append(path)


def test_a_torn_line_that_cannot_be_cut_off_at_once_is_so_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening_torn(monkeypatch, [READ_ONLY, FULL])
    monkeypatch.setattr(os, "ftruncate", failing(os.ftruncate, READ_ONLY, 3))
    append(path)


def test_what_another_writer_left_of_a_line_is_cut_off(path: Path) -> None:
    path.write_bytes(LINE + b'{"op":5,"te')
    append(path)


def test_lines_that_could_not_be_flushed_are_not_written_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(os.fsync, FULL, 2))
    append(path)


def test_a_lock_that_cannot_be_given_back_is_so_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "rename", failing(os.rename, READ_ONLY, 3))
    append(path)


def test_a_lock_that_cannot_be_made_is_so_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", failing(os.symlink, FULL, 3))
    append(path)


def test_a_lock_that_was_taken_from_us_is_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: path.with_name("study.log.lock").unlink())
    append(path)


def test_a_sweeps_study_knows_every_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening_torn(monkeypatch, [FULL] * 15)
    disturbed = Study(tmp_path, "s", definition.read(GRID, {}), 1, patiently=patiently)
    for trial in ask_all(disturbed):
        opening_torn(monkeypatch, [FULL])
        disturbed.tell(trial.number, f"run {trial.number}", {"mpjpe_mm": float(trial.number)})
    monkeypatch.undo()
    outcomes = [(t.state.name, t.value, t.user_attrs["run"]) for t in study(tmp_path).study.trials]
    assert outcomes == [("COMPLETE", float(i), f"run {i}") for i in range(6)]


def test_without_waiting_the_error_is_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(os.fsync, FULL, 1))
    with pytest.raises(OSError, match="No space left"):
        journal_file.backend(path, journal_file.at_once).append_logs([{"op": 2}])
    assert not path.with_name("study.log.lock").is_symlink()
