"""`sanpose status`: the terminal, JSON, and how little it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sanpose.cli.status import status
from sanpose.errors import UserError
from sanpose.status.states import iso, plain, run_plain
from sanpose.status.terminal import SHOWN
from sanpose.status.watch import snapshot
from tests.sanpose.run_records import (
    write_run,
    write_sweep,
)
from tests.sanpose.status.looking import shown

A, B, C = (letter * 10 for letter in "abc")


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    write_run(tmp_path, A, "done", 60.0)
    write_run(tmp_path, B, "failed")
    write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    (tmp_path / C).mkdir()
    result = CliRunner().invoke(status, ["--runs", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.output)
    assert set(content) == {"schema", "at", "runs", "sweeps", "loose", "broken", "jobs"}
    assert content["schema"] == 1
    (sweep,) = content["sweeps"]
    assert set(sweep) == {"name", "title", "state", "reason", "dashboard", "counts", "eta_s", "claims", "trials"}
    (trial,) = sweep["trials"]
    assert set(trial) == {"number", "label", "values", "seed", "run"}
    keys = (run_plain.__doc__ or "").split("`")[1::2]
    assert set(trial["run"]) == set(keys) == set(content["loose"][0])
    assert trial["run"]["mpjpe_mm"] == 60.0
    assert "config.yaml: is missing" in content["broken"][0]["reason"]


def test_names_and_text_that_are_not_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"run-\xff")
    write_run(tmp_path, name, "failed", reason="no 'a-\udcff.png' \ud800")
    write_sweep(tmp_path, os.fsdecode(b"sweep-\xff"), [("\udcff", 0, name)])
    command = [str(Path(sys.executable).with_name("sanpose")), "status", "--runs", str(tmp_path)]
    output = subprocess.run([*command, "--json"], check=True, capture_output=True).stdout
    (trial,) = json.loads(output)["sweeps"][0]["trials"]
    assert trial["run"]["id"] == name
    shown = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    assert "run-\N{REPLACEMENT CHARACTER}" in shown and "1 failed" in shown


def test_the_terminal_shows_trouble_first_and_folds_what_is_done(tmp_path: Path) -> None:
    for number in range(SHOWN + 5):
        write_run(tmp_path, f"{number:010d}", "done", 60.0)
    write_run(tmp_path, F := "f" * 10, "failed", reason="out \x1b[31mof\nmemory [bold]x[/]")
    text = shown(tmp_path)
    assert text.index(F) < text.index(f"{SHOWN + 4:010d}")
    assert "and 5 done more; --all shows them" in text
    assert "out \N{REPLACEMENT CHARACTER}[31mof memory [bold]x[/]" in text, "a reason commands nothing"
    assert "--all" not in shown(tmp_path, everything=True)


def test_a_time_beyond_every_calendar_is_none() -> None:
    assert [iso(1e12), iso(1e100), iso(0.0)] == [None, None, "1970-01-01T00:00:00+00:00"]


def test_no_runs_and_no_folder(tmp_path: Path) -> None:
    assert "no runs in" in shown(tmp_path)
    assert plain(snapshot(tmp_path))["sweeps"] == []
    with pytest.raises(UserError, match="no folder of runs"):
        snapshot(tmp_path / "none")


def test_nothing_heavy_is_imported() -> None:
    heavy = {"torch", "ray", "hydra", "omegaconf", "optuna", "matplotlib", "numpy"}
    code = "import sys, sanpose.cli.status, sanpose.status.watch, sanpose.status.terminal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not heavy & set(loaded)
