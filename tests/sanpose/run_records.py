"""Records of runs and sweeps as trainer and driver write them, without any training."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sanpose.runs import ledger
from sweeps import record

EPOCHS, STEPS = 4, 100
_HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def config(**train: Any) -> dict[str, Any]:
    return {
        "preset": "quick",
        "cell": "c",
        "model": {"delta_init": 0.0},
        "train": {"epochs": EPOCHS, "seed": 0, **train},
    }


def figures(mpjpe: float) -> dict[str, Any]:
    whole = {"mean_over_frames": mpjpe, "mean_over_actions": mpjpe, "per_action": {}}
    return {"h36m": {"mpjpe": whole}, "mpii": {"pckh@0.5": {"Mean": 50.0}}}


def write_run(
    root: Path, name: str, status: str, mpjpe: float | None = None, *, host: str | None = None, **keys: Any
) -> Path:
    """A run's folder with its record; `keys` are more keys of result.json."""
    plain = config(seed=keys.get("seed", 0))
    folder = ledger.create(root, name, plain, {"machine": {"hostname": host or socket.gethostname()}})
    result = {
        "started": "2026-01-01T10:00:00+00:00",
        "config": plain,
        "cell": "c",
        "seed": 0,
        "synthetic": True,
        **keys,
    }
    if status == "failed":
        result.setdefault("reason", "the loss is nan in epoch 2, step 7")
    if status != "running":
        result.setdefault("ended", "2026-01-01T10:10:00+00:00")
    ledger.write_result(folder, {**result, "status": status, "metrics": figures(mpjpe) if mpjpe is not None else {}})
    return folder


def journal(folder: Path, *lines: dict[str, Any]) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def within(epoch: int, step: int, loss: float = 0.25, **values: Any) -> dict[str, Any]:
    """A line written within an epoch (from 0)."""
    means = {"loss": loss, "loss_plane": 0.2, "loss_depth": 0.05, "steps": STEPS, "delta": 0.125}
    return {"kind": "train", "epoch": epoch, "step": step, **means, "images_per_s": 80.0, "eta_s": 60.0, **values}


def after(epoch: int, loss: float = 0.2, **values: Any) -> dict[str, Any]:
    """The line of an epoch's means."""
    means = {"loss": loss, "loss_plane": 0.15, "loss_depth": 0.05, "delta": 0.25, "learning_rate": 0.001}
    return {"kind": "epoch", "epoch": epoch, "step": 0, **means, **values}


def measured(epoch: int, mpjpe: float, kind: str = "evaluation") -> dict[str, Any]:
    return {"kind": kind, "epoch": epoch, "step": 0, "figures": figures(mpjpe)}


def write_sweep(root: Path, name: str, trials: list[tuple[str, int, str]], **head: Any) -> Path:
    """A sweep of trials (label, seed, run), driven by this process."""
    driver = {"host": socket.gethostname(), "pid": os.getpid(), "started": None, "dashboard": None}
    folder = record.write_head(root, name, {"title": f"What {name} buys", "driver": driver, "ended": None, **head})
    for number, (label, seed, run) in enumerate(trials):
        record.append_trial(folder, record.TrialRecord(number, label, {"model.delta_init": label}, seed, run))
    return folder


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds a run's lock, until the block ends or it is killed."""
    command = [sys.executable, "-c", _HOLD, str(folder / ".lock")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def held(*folders: Path) -> Iterator[None]:
    """This process holds the locks of runs."""
    files = [(folder / ".lock").open("w") for folder in folders]
    try:
        for file in files:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        for file in files:
            file.close()
