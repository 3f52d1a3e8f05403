"""The states of a Slurm job: every state word of squeue and sacct and its meaning. Any other word means unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["waiting", "running", "ended", "unknown"]


@dataclass(frozen=True)
class State:
    """`word`: for people. `stage`: a waiting or running job is live; "unknown" allows no conclusion."""

    word: str
    stage: Stage

    @property
    def live(self) -> bool:
        return self.stage in ("waiting", "running")


UNKNOWN = State("unknown", "unknown")
_PENDING, _RUNNING, _ENDING = State("pending", "waiting"), State("running", "running"), State("ending", "running")
_REQUEUED, _HELD = State("requeued", "waiting"), State("held", "waiting")

# squeue(1) and sacct(1) of Slurm 22.05 to 25.05, "JOB STATE CODES".
TABLE = {
    "PENDING": _PENDING,
    "CONFIGURING": State("starting", "running"),
    "POWER_UP_NODE": State("starting", "running"),
    "RUNNING": _RUNNING,
    "EXPEDITING": _PENDING,
    "RESIZING": _RUNNING,
    "SIGNALING": _RUNNING,
    "SUSPENDED": State("suspended", "running"),
    "STOPPED": State("suspended", "running"),
    "COMPLETING": _ENDING,
    "STAGE_OUT": _ENDING,
    "UPDATE_DB": _ENDING,
    "REQUEUED": _REQUEUED,
    "REQUEUE_FED": _REQUEUED,
    "REQUEUE_HOLD": _HELD,
    "RESV_DEL_HOLD": _HELD,
    "SPECIAL_EXIT": _HELD,  # requeued and held until a person releases the job
    "COMPLETED": State("done", "ended"),
    "FAILED": State("failed", "ended"),
    "OUT_OF_MEMORY": State("out of memory", "ended"),
    "TIMEOUT": State("timed out", "ended"),
    "DEADLINE": State("deadline passed", "ended"),
    "CANCELLED": State("cancelled", "ended"),
    "REVOKED": State("revoked", "ended"),
    "PREEMPTED": State("preempted", "ended"),  # a requeued job shows PENDING instead
    "NODE_FAIL": State("node lost", "ended"),
    "BOOT_FAIL": State("node lost", "ended"),
    "LAUNCH_FAILED": State("failed", "ended"),
    "RECONFIG_FAIL": State("failed", "ended"),
}


def state(text: str) -> State:
    """The state of a word of squeue or sacct, also of "CANCELLED by 1000" and of a cut word such as "OUT_OF_ME+"."""
    words = text.split()
    word = words[0].upper() if words else ""
    if word.endswith("+"):
        matches = {TABLE[name] for name in TABLE if name.startswith(word[:-1])}
        return matches.pop() if len(matches) == 1 else UNKNOWN
    return TABLE.get(word, UNKNOWN)
