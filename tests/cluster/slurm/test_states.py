"""Every state that Slurm documents has a meaning, and what is not documented has none."""

from __future__ import annotations

import pytest

from cluster.slurm.states import TABLE, UNKNOWN, state

# squeue(1) and sacct(1) of Slurm 22.05, JOB STATE CODES
DOCUMENTED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "CONFIGURING", "COMPLETING", "DEADLINE", "FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PENDING", "PREEMPTED", "RUNNING", "RESV_DEL_HOLD", "REQUEUE_FED", "REQUEUE_HOLD", "REQUEUED",
    "RESIZING", "REVOKED", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED", "TIMEOUT",
)  # fmt: skip


@pytest.mark.parametrize("word", DOCUMENTED)
def test_every_documented_state_means_something(word: str) -> None:
    assert state(word).stage != "unknown"


@pytest.mark.parametrize(
    "word", ["PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"]
)
def test_what_waits_has_not_failed(word: str) -> None:
    assert state(word).stage == "waiting"
    assert state(word).live


@pytest.mark.parametrize("word", ["COMPLETING", "STAGE_OUT", "SUSPENDED", "CONFIGURING"])
def test_what_holds_nodes_lives(word: str) -> None:
    assert state(word).stage == "running"


def test_words_with_more_behind_them() -> None:
    assert state("CANCELLED by 1000") == state("CANCELLED+") == state("CANCELLED")
    assert state("OUT_OF_ME+").word == "out of memory"
    assert state("NODE_FAIL").word == "node lost"


@pytest.mark.parametrize("word", ["", "  ", "TELEPORTED", "C+", "REQUEUE+", "+"])
def test_what_nobody_knows_stays_unknown(word: str) -> None:
    assert state(word) is UNKNOWN
    assert not UNKNOWN.live


def test_only_one_state_is_done() -> None:
    assert [word for word, state in TABLE.items() if state.word == "done"] == ["COMPLETED"]
