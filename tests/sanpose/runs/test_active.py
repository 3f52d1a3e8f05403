"""What a run's record says of its cost, however it ended."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sanpose.config.compose import compose
from sanpose.runs import active, ledger
from sanpose.runs.identity import Identified
from sanpose.runs.paths import RunPaths
from sanpose.runs.result import TrainingResult

STEPS, BATCH = 10, 8


def opened(
    folder: Path, device: str | None, threads: int = 3, workers: int = 2, accelerator: str = "auto"
) -> active.ActiveRun:
    """A run of three epochs that has been begun."""
    plain = compose()
    train = replace(plain.train, epochs=3, batch_size=BATCH, threads=threads, workers=workers, accelerator=accelerator)
    config = replace(plain, train=train)
    ledger.create(folder.parent, folder.name, config.plain(), {})
    lock = (folder / ".lock").open("w")
    identified = Identified(replace(config, runs=str(folder.parent)), folder.name, {}, synthetic=False)
    return active.ActiveRun(identified, "2026-01-01T00:00:00+00:00", 100.0, lock, time.monotonic(), device)


def trained(folder: Path, *positions: tuple[int, int]) -> None:
    """Its journal: a line of progress for each (epoch, step), and one of an epoch's end."""
    lines: list[dict[str, Any]] = [{"kind": "untrained", "epoch": 0, "step": 0, "figures": {}}]
    for epoch, step in positions:
        lines.append({"kind": "train", "epoch": epoch, "step": step, "steps": STEPS, "images_per_s": 40.0})
        if step == STEPS:
            lines.append({"kind": "epoch", "epoch": epoch + 1, "step": 0, "loss": 0.5})
    (RunPaths(folder).journal).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("ending", ["failed", "pruned", "interrupted"])
def test_a_run_that_was_stopped_early_has_its_device_and_the_images_it_saw(tmp_path: Path, ending: str) -> None:
    run = opened(tmp_path / "run", "cuda")
    trained(run.paths.folder, (0, 4), (0, STEPS), (1, 3))
    record = run.failed("no memory") if ending == "failed" else getattr(run, ending)()
    bill = record.extra["bill"]
    assert (record.status, bill["device"], bill["accelerators"]) == (ending, "cuda", 2)
    assert bill["images"] == (STEPS + 3) * BATCH and bill["images_per_s"] == 40.0 and bill["step_s"] == BATCH / 40
    assert 100.0 <= bill["wall_s"] < 110.0


def test_a_run_that_is_done_saw_every_epoch(tmp_path: Path) -> None:
    run = opened(tmp_path / "run", "cuda")
    trained(run.paths.folder, *((epoch, STEPS) for epoch in range(3)))
    result = TrainingResult(figures={}, device="cpu", threads=5, macs=1, parameters=1)
    bill = run.done(result).extra["bill"]
    assert bill["images"] == 3 * STEPS * BATCH
    assert (bill["device"], bill["accelerators"]) == ("cpu", 10), "the workers know better than the driver"


def test_a_run_that_never_took_a_step(tmp_path: Path) -> None:
    bill = opened(tmp_path / "run", "cpu").failed("bad data").extra["bill"]
    assert (bill["images"], bill["images_per_s"], bill["step_s"]) == (0, None, None)
    assert (bill["device"], bill["accelerators"]) == ("cpu", 6)


def test_what_is_not_known_is_taken_from_the_configuration(tmp_path: Path) -> None:
    bill = opened(tmp_path / "a", None, accelerator="cuda").failed("no GPU").extra["bill"]
    assert (bill["device"], bill["accelerators"]) == ("cuda", 2)
    bill = opened(tmp_path / "b", None, threads=0).failed("bad data").extra["bill"]
    cores = len(os.sched_getaffinity(0))
    assert (bill["device"], bill["accelerators"]) == ("cpu", 2 * max(1, cores // 2))
