"""A tiny trained run, made once for all the test files that need one."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from sanpose import config, engine, loop
from sweeps import ledger
from tests.sanpose import tiny

NAME = "7a1b2c3d4e"


@cache
def tiny_run() -> Path:
    """The folder of a run (runs/7a1b2c3d4e) trained for two epochs on tiny files of all sources; not to be changed.

    figures.json beside `runs` holds what the training's last evaluation measured.
    """
    base = Path(tempfile.mkdtemp(prefix="tiny-run-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    more = ("data.epoch_samples=16", "eval.every=1", "model.attention_position=true", "model.attention_scale=true")
    plan = config.compose(tiny.overrides(base, *more))
    folder = ledger.create(base / "runs", NAME, plan.plain(), {})
    threads = torch.get_num_threads()
    with engine.single_process():
        figures = loop.train(plan, folder, engine.Place(0, 1, torch.device("cpu")))
    torch.set_num_threads(threads)
    (base / "figures.json").write_text(json.dumps(figures))
    return folder
