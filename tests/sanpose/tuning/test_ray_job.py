"""`ray job submit -- python -m sanpose.tune` against a Ray that stands already: run, stop, go on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sanpose.runs import identity, journal, ledger
from sanpose.runs.paths import RunPaths
from sanpose.tuning import sweep
from tests.sanpose import tiny

RAY = str(Path(sys.executable).with_name("ray"))
DELTAS = {"title": "delta", "fixed": ["ablation=c"], "axes": {"model.delta_init": [0.0, 0.5]}}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dashboard's address of a Ray head with two CPUs."""
    # Where some Ray has left a token in the home folder, `ray start` asks for it, and its clients don't give it.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    folder, port, dashboard = tempfile.mkdtemp(prefix="sp-", dir="/tmp"), free_port(), free_port()
    command = [RAY, "start", "--head", "--block", f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=2"]
    command += [f"--temp-dir={folder}", f"--ray-client-server-port={free_port()}", "--disable-usage-stats"]
    command += [f"--dashboard-agent-listen-port={free_port()}"]  # by default that of any other Ray on the machine
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 120
        first = [RAY, "job", "submit", f"--address=http://127.0.0.1:{dashboard}", "--no-wait", "--", "true"]
        while subprocess.run(first, capture_output=True).returncode:  # it takes an agent too, which comes last
            assert time.monotonic() < until and process.poll() is None, "Ray's head did not start"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(400)
def test_a_submitted_sweep_runs_stops_with_its_checkpoints_and_goes_on(head: str, tmp_path: Path) -> None:
    data = tiny.overrides(tmp_path / "data")
    work = tmp_path / "work"
    work.mkdir()
    (work / "deltas.yaml").write_text(yaml.safe_dump(DELTAS))
    overrides = [*data, "train.epochs=60", "eval.sets=[h36m]", "eval.every=0", f"runs={tmp_path / 'runs'}"]
    entry = [sys.executable, "-m", "sanpose.tune", "sweep=deltas.yaml", *overrides]
    submit = [RAY, "job", "submit", f"--address={head}", f"--working-dir={work}"]
    requested = sweep.read([f"sweep={work / 'deltas.yaml'}", *overrides])
    folder = tmp_path / "runs" / identity.run_id(requested.config({"model.delta_init": 0.0}, 0))

    first = subprocess.run(
        [*submit, "--submission-id=first", "--no-wait", "--", *entry], capture_output=True, text=True
    )
    assert first.returncode == 0, first.stdout + first.stderr
    until = time.monotonic() + 120
    while not any((folder / "checkpoints").glob("epoch-*")):
        assert time.monotonic() < until, subprocess.run(
            [RAY, "job", "logs", f"--address={head}", "first"], capture_output=True, text=True
        )
        time.sleep(0.2)
    stopped = subprocess.run([RAY, "job", "stop", f"--address={head}", "first"], capture_output=True, text=True)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert ledger.read(folder).status == "interrupted" and list((folder / "checkpoints").glob("epoch-*"))

    second = subprocess.run([*submit, "--submission-id=second", "--", *entry], capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"run {folder.name} is done" in second.stdout and "sweep deltas-smoke has finished: 2 done" in second.stdout
    notes = [line["text"] for line in journal.read(RunPaths(folder).journal) if line["kind"] == "note"]
    assert any(n.startswith("resumes from checkpoint") for n in notes)
    assert {r.status for r in ledger.read_all(tmp_path / "runs")[0]} == {"done"}
