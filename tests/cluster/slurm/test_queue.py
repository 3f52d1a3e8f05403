"""One query for all jobs: squeue, then sacct, then unknown; less often when nothing changes."""

from __future__ import annotations

import time

import pytest

from cluster.slurm import queue
from cluster.slurm.commands import NotAnsweringError
from cluster.slurm.queue import FORGOTTEN, Queue, look
from tests.cluster.fakes import Commands, commands

__all__ = ["commands"]
RUNNING = "7|RUNNING|node[1-2]|1:02:03|None\n"
PENDING = "8|PENDING||0:00|ReqNodeNotAvail, UnavailableNodes:node3|x\n"


def test_one_squeue_for_all_jobs(commands: Commands) -> None:
    commands.prints("squeue", RUNNING + PENDING)
    statuses = look(["7", "8"])
    assert [(t.state.word, t.nodes, t.elapsed) for t in statuses.values()] == [
        ("running", "node[1-2]", "1:02:03"),
        ("pending", "", "0:00"),
    ]
    assert statuses["8"].reason == "ReqNodeNotAvail, UnavailableNodes:node3|x"
    assert statuses["7"].reason == ""
    (call,) = commands.calls("squeue")
    assert "--jobs=7,8" in call
    assert "--states=all" in call
    assert "--format=" in call


def test_sacct_is_asked_only_for_what_squeue_has_forgotten(commands: Commands) -> None:
    commands.prints("squeue", RUNNING)
    commands.prints("sacct", "6|CANCELLED by 1000|None assigned|00:10:00\n")
    statuses = look(["6", "7"])
    assert statuses["6"].state.word == "cancelled"
    assert statuses["6"].nodes == ""
    (call,) = commands.calls("sacct")
    assert "--jobs=6" in call
    assert "7" not in call.partition("--jobs=")[2]


def test_what_neither_knows_is_unknown(commands: Commands) -> None:
    commands.prints("squeue", "", 1, "slurm_load_jobs error: Invalid job id specified\n")
    commands.prints("sacct", "", 1, "Slurm accounting storage is disabled\n")
    assert look(["5"])["5"].reason == FORGOTTEN
    assert look(["5"])["5"].state.stage == "unknown"


def test_a_state_that_nobody_knows_is_unknown_and_shown(commands: Commands) -> None:
    commands.prints("squeue", "7|TELEPORTED|node1|0:01|None\n")
    (status,) = look(["7"]).values()
    assert (status.state.stage, status.slurm) == ("unknown", "TELEPORTED")


def test_a_cluster_that_does_not_answer(commands: Commands) -> None:
    commands.prints("squeue", "", 1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    (status,) = look(["7"]).values()
    assert status.state.stage == "unknown"
    assert "Unable to contact slurm controller" in status.reason
    assert commands.calls("sacct") == []


def test_a_cluster_that_hangs(commands: Commands) -> None:
    commands.put("squeue", "exec sleep 30")
    (status,) = look(["7"], seconds=0.2).values()
    assert status.reason == "squeue has not answered within 0.2 s"


def test_no_slurm_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert look(["7"])["7"].reason == "squeue is not on PATH"


def test_a_user_s_habits_do_not_hide_jobs(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    monkeypatch.setenv("SLURM_CONF", "/etc/somewhere")
    commands.put("squeue", 'echo "7|RUNNING|$SQUEUE_PARTITION$SLURM_CONF|0:01|None"')
    assert look(["7"])["7"].nodes == "/etc/somewhere"


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_it_asks_less_often_when_nothing_happens(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slurm = Clock(monkeypatch), Queue(shortest=2)
    commands.prints("squeue", RUNNING)
    for _ in range(600):
        slurm.statuses(["7"])
        clock.now += 1
    calls = len(commands.calls("squeue"))
    assert 10 <= calls <= 16, "0, 2, 6, 14, 30, 62 s, then every minute"
    commands.prints("squeue", RUNNING.replace("RUNNING", "FAILED"))
    clock.now += 60
    assert slurm.statuses(["7"])["7"].state.word == "failed"
    clock.now += 2
    slurm.statuses(["7"])
    assert len(commands.calls("squeue")) == calls + 2, "after a change it looks again soon"


def test_a_new_job_is_asked_about_at_once(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    slurm = Queue()
    commands.prints("squeue", RUNNING + PENDING)
    slurm.statuses(["7"])
    slurm.statuses(["7", "8"])
    assert len(commands.calls("squeue")) == 2


def test_an_end_is_believed_when_it_is_seen_twice(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slurm = Clock(monkeypatch), Queue()
    words = []
    for word in ("FAILED", "PENDING", "FAILED", "FAILED", "PENDING"):
        commands.prints("squeue", RUNNING.replace("RUNNING", word))
        words.append(slurm.statuses(["7"])["7"].state.word)
        clock.now += 100
    assert words == ["failed", "pending", "failed", "failed", "failed"]
    assert len(commands.calls("squeue")) == 4, "it has ended: there are no more queries"


def test_jobs_that_follow(commands: Commands) -> None:
    commands.prints("squeue", "9|afternotok:7(unfulfilled)\n10|afterok:77(unfulfilled)\n11|(null)\n")
    assert queue.followers("7") == ["9"]
    commands.prints("squeue", "", 1, "no\n")
    with pytest.raises(NotAnsweringError, match="no"):
        queue.followers("7")
