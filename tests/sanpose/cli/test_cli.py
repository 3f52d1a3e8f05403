"""An error of the operating system reaches the user as one message."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sanpose import cli
from tests.sanpose import tiny
from tests.sanpose import tiny_sets as sets
from tests.sanpose.recorded import add


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["sanpose", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def message(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().err.partition("error: ")[2].splitlines()  # after the lines of progress
    assert lines[0].startswith("the operating system reports an error: ")
    assert [line[:10] for line in lines[1:]] == ["  where:  ", "  try:    "]
    return lines


def test_a_packed_file_in_a_place_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets.coco(tmp_path / "coco")
    prepare = ("data", "prepare", "coco", "--src", tmp_path / "coco", "--out")
    assert run(monkeypatch, *prepare, "/proc/x/c.h5") == 2
    assert message(capsys)[1].endswith("/proc/x")
    (tmp_path / "a.h5").touch()
    assert run(monkeypatch, *prepare, tmp_path / "a.h5" / "x.h5") == 2
    assert str(tmp_path / "a.h5") in message(capsys)[1]


def test_runs_in_a_place_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", *tiny.overrides(tmp_path), "runs=/proc/x") == 2
    assert message(capsys)[1].endswith("/proc/x")


def test_any_system_error_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(error: OSError) -> list[str]:
        def fail(**_: object) -> None:
            raise error

        monkeypatch.setattr(cli.cli, "main", fail)
        assert run(monkeypatch) == 2
        return capsys.readouterr().err.splitlines()

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert refuse(full)[0] == "error: the operating system reports an error: No space left on device"
    assert refuse(OSError("h5py's own words"))[0] == "error: the operating system reports an error: h5py's own words"
    assert "a -> b" in refuse(PermissionError(13, "Permission denied", "a", None, b"b"))[1]


def test_text_that_no_encoding_has_a_code_for_is_shown_escaped(tmp_path: Path) -> None:
    add(tmp_path / "runs", "a", status="failed", reason="cannot read \udcff.jpg")
    command = [sys.executable, "-m", "sanpose", "report", "--no-page", "--all"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\\udcff.jpg" in done.stdout and "\\udcff.jpg" in (tmp_path / "out" / "table1.csv").read_text()
