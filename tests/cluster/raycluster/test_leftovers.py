"""No process of a private Ray outlives the command that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from cluster.raycluster import connect
from cluster.raycluster.leftovers import end_processes

STUBBORN = """
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
out = os.open(sys.argv[1] + "/worker.out", os.O_WRONLY | os.O_CREAT)
os.dup2(out, 1)
os.dup2(out, 2)
open(sys.argv[2], "w").write(str(os.getpid()))
time.sleep(60)
"""


def stubborn(folder: Path, note: Path) -> psutil.Process:
    """A process of another session that ignores signals, and whose output goes to a file in `folder`."""
    subprocess.run([sys.executable, "-c", STUBBORN, str(folder), str(note)], check=True)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    return psutil.Process(int(note.read_text()))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_process_that_does_not_end_is_killed_and_others_live(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "rays").mkdir()
    ours = stubborn(tmp_path / "ray", tmp_path / "1")
    other = stubborn(tmp_path / "rays", tmp_path / "2")
    try:
        end_processes(tmp_path / "ray", grace=0.2)
        assert not alive(ours) and alive(other)
    finally:
        other.kill()


def test_the_next_command_ends_what_a_killed_command_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a private Ray ends what it left itself."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connect, "GRACE_SECONDS", 0.3)
    dead = subprocess.Popen(["true"])
    dead.wait()
    old = Path(tempfile.mkdtemp(prefix=f"sanpose-ray-{dead.pid}-", dir="/tmp"))
    left = stubborn(old, tmp_path / "1")
    with connect.ray_cluster(1):
        assert not alive(left) and not old.exists()
        (new,) = Path("/tmp").glob(f"sanpose-ray-{os.getpid()}-*")
        own = stubborn(new, tmp_path / "2")
    assert not alive(own) and not new.exists()
