"""The states of a Slurm job: every word of squeue and sacct, what it means, and that the rest is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["waiting", "running", "ended", "unknown"]


@dataclass(frozen=True)
class State:
    """`word`: for people. `stage`: waiting and running jobs live; of an unknown one nothing may be concluded."""

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
    "SPECIAL_EXIT": _HELD,  # requeued, and held until someone looks
    "COMPLETED": State("done", "ended"),
    "FAILED": State("failed", "ended"),
    "OUT_OF_MEMORY": State("out of memory", "ended"),
    "TIMEOUT": State("timed out", "ended"),
    "DEADLINE": State("deadline passed", "ended"),
    "CANCELLED": State("cancelled", "ended"),
    "REVOKED": State("revoked", "ended"),
    "PREEMPTED": State("preempted", "ended"),  # a job that is requeued shows as PENDING instead
    "NODE_FAIL": State("node lost", "ended"),
    "BOOT_FAIL": State("node lost", "ended"),
    "LAUNCH_FAILED": State("failed", "ended"),
    "RECONFIG_FAIL": State("failed", "ended"),
}


def state(text: str) -> State:
    """The state of squeue's or sacct's word; "CANCELLED by 1000" and a word cut short as "OUT_OF_ME+" count too."""
    words = text.split()
    word = words[0].upper() if words else ""
    if word.endswith("+"):
        meant = {TABLE[name] for name in TABLE if name.startswith(word[:-1])}
        return meant.pop() if len(meant) == 1 else UNKNOWN
    return TABLE.get(word, UNKNOWN)
