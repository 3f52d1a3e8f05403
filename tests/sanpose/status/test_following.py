"""Only what changed is read again, and a file is followed as it grows."""

from __future__ import annotations

from pathlib import Path

from sanpose.status.follow import FollowedFile
from sanpose.status.watch import Watcher
from sweeps.files import write_atomic
from tests.sanpose.run_records import (
    EPOCHS,
    after,
    held_elsewhere,
    journal,
    measured,
    within,
    write_run,
    write_sweep,
)
from tests.sanpose.status.looking import opened

A = "a" * 10


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    for number in range(20):
        journal(write_run(tmp_path, f"{number:010d}", "done", 60.0), after(EPOCHS), measured(EPOCHS, 60.0, "final"))
    running = write_run(tmp_path, A, "running")
    journal(running, *(within(0, step) for step in range(1, 100)))
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    with held_elsewhere(running):
        watcher = Watcher(tmp_path)
        first = watcher.refresh()
        with opened() as files:
            second = watcher.refresh()
        assert [file for file in files if str(tmp_path) in file] == [str(running / ".lock")]
        assert all(a is b for a, b in zip(first.loose, second.loose, strict=True))
        journal(running, within(1, 1, 0.0625))
        with opened() as files:
            third = watcher.refresh()
        assert {Path(f).name for f in files if str(tmp_path) in f} == {"metrics.jsonl", ".lock"}
        assert third.sweeps[0].trials[0].run.loss == 0.0625
    write_run(tmp_path, "0" * 10, "done", 55.0)
    assert watcher.refresh().loose[0].figures["mpjpe_mm"] == 55.0


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = FollowedFile(path)
    assert not file.changed() and file.lines() == []
    path.write_bytes(b"one\ntwo\nthr")
    assert file.changed() and file.lines() == [b"one", b"two"]
    assert not file.changed()
    with path.open("ab") as end:
        end.write(b"ee\nfour\n")
    assert file.changed() and file.lines() == [b"three", b"four"]
    write_atomic(path, b"another\nfile, and a longer one\n")
    assert file.changed() and file.offset == 0 and file.lines() == [b"another", b"file, and a longer one"]
    path.unlink()
    assert file.changed() and file.lines() == [] and file.offset == 0


def test_the_end_of_a_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"line %03d\n" % number for number in range(100)))
    for last, first in ((20, 98), (18, 99), (17, 99), (900, 0), (5000, 0)):
        file = FollowedFile(path)
        assert file.changed() and file.lines(last)[0] == b"line %03d" % first, last
        assert file.offset == 900 and file.lines(last) == []
