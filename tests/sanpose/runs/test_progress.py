"""What a person sees of a run: every line once, also when the run has gone on from a checkpoint."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sanpose.runs import progress
from sanpose.runs.paths import RunPaths
from tests.slurmlab.shell import until


def note(text: str) -> str:
    return json.dumps({"kind": "note", "epoch": 0, "step": 0, "text": text}) + "\n"


def train(step: int) -> str:
    losses = {"loss": 1.0, "loss_plane": 1.0, "loss_depth": 1.0, "delta": None}
    line = {"kind": "train", "epoch": 0, "step": step, "steps": 9, "images_per_s": 1.0, "eta_s": 1}
    return json.dumps(line | losses) + "\n"


def replace(path: Path, text: str) -> None:
    part = path.with_name("part")
    part.write_text(text)
    part.replace(path)


@pytest.mark.parametrize("there", ["", note("earlier") + train(1)])
def test_each_line_is_shown_once_although_a_continued_run_writes_its_journal_anew(tmp_path: Path, there: str) -> None:
    path, out, steps = RunPaths(tmp_path).journal, io.StringIO(), []
    path.write_text(there)
    with progress.shown(tmp_path, Console(file=out), 2, lambda: steps.append(1)):
        with path.open("a") as file:
            file.write(note("one"))
        assert until(lambda: "one" in out.getvalue(), 10)
        assert not steps
        replace(path, there + note("one") + note("goes on"))
        assert until(lambda: "goes on" in out.getvalue(), 10)
        assert not steps, "the steps of an earlier start are no first step of this one"
        replace(path, there + note("one") + note("goes on") + train(2))
    assert steps == [1]
    assert [line.strip() for line in out.getvalue().splitlines() if line.strip()] == ["one", "goes on"]
