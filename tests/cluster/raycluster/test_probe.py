"""A Ray cluster that does not answer is a message within seconds, for every command that needs one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.raycluster import probe
from tests.sanpose import tiny

BOUND = 30.0


def refused(folder: Path, address: str, *command: str) -> tuple[str, float]:
    begin = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sanpose")), *command, *tiny.overrides(folder)],
        env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr, time.monotonic() - begin


@pytest.mark.parametrize("command", [["train"], ["tune", "sweep=delta_init"]])
def test_a_dead_address(command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"  # nobody listens there after this block
    message, seconds = refused(tmp_path, address, *command)
    assert f"connecting to the Ray cluster at RAY_ADDRESS={address}" in message
    assert "error: no Ray cluster answers" in message and "unset RAY_ADDRESS" in message
    assert "Traceback" not in message and seconds < BOUND


def test_auto_without_a_cluster(tmp_path: Path) -> None:
    if Path("/tmp/ray/ray_current_cluster").exists():
        pytest.skip("`ray start` has noted a cluster on this machine")
    message, seconds = refused(tmp_path, "auto", "train")
    assert "error: no Ray cluster answers" in message and "RAY_ADDRESS=auto" in message
    assert "Traceback" not in message and seconds < BOUND


def test_auto_means_the_cluster_that_ray_start_has_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "ray_current_cluster"
    monkeypatch.setattr(probe, "CURRENT_CLUSTER", note)
    with socket.create_server(("127.0.0.1", 0)) as server:
        note.write_text(f"127.0.0.1:{server.getsockname()[1]}")
        probe.require_listener("auto")
    with pytest.raises(ConnectionError, match=f"nothing listens at {note.read_text()}"):
        probe.require_listener("auto")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "[::1]:1", "127.0.0.1:1"])
def test_every_form_of_an_address_is_tried(address: str) -> None:
    with pytest.raises(ConnectionError, match="nothing listens"):
        probe.require_listener(address)
