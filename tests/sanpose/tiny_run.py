"""A tiny trained run, made once for all the test files that need one."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from sanpose.config.compose import compose
from sanpose.runs import ledger
from sanpose.training import engine, loop
from tests.sanpose import tiny

NAME = "7a1b2c3d4e"


@cache
def tiny_run() -> Path:
    """The folder of a run (runs/7a1b2c3d4e) trained for two epochs on tiny files of all sources; not to be changed.

    figures.json beside `runs` holds what the training's last evaluation measured.
    """
    base = Path(tempfile.mkdtemp(prefix="tiny-run-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    attention = ("model.attention_position=true", "model.attention_scale=true", "model.delta_init=0.5")
    # A high rate, so that the few steps leave a network whose answers depend on what it sees.
    train = ("data.epoch_samples=16", "eval.every=1", "train.learning_rate=0.03", "train.threads=1")
    plan = compose(tiny.overrides(base, *attention, *train))
    folder = ledger.create(base / "runs", NAME, plan.plain(), {})
    engine.single_process()
    figures = loop.train(plan, folder, engine.WorkerPlace(0, 1, torch.device("cpu")))
    (base / "figures.json").write_text(json.dumps(figures))
    return folder
