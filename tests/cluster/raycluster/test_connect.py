"""A private Ray belongs to one command: its folder, its workers, its processes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from cluster.raycluster import connect, dashboard


def test_only_a_folder_of_ones_own_is_taken_for_ones_private_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make a folder of such a name in /tmp, and what it tells becomes the environment of a process."""
    monkeypatch.setattr(connect, "TEMPORARY", tmp_path)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    mine = Path(tempfile.mkdtemp(dir=tmp_path))
    (mine / "ray.json").write_text(
        '{"address": {"gcs_address": "a:1"}, "environment": {}, "secret": ["RAY_AUTH_TOKEN"]}'
    )
    folder = tmp_path / f"sanpose-ray-{os.getpid()}-x"
    folder.symlink_to(mine)
    assert connect.private(os.getpid()) is None
    folder.unlink()
    mine.rename(folder)
    assert connect.private(os.getpid()) == folder and connect.read_private(folder).missing == ["RAY_AUTH_TOKEN"]
    monkeypatch.setattr("sys.argv", ["", str(os.getpid()), "1"])
    with pytest.raises(SystemExit, match="only in the variable RAY_AUTH_TOKEN"):
        dashboard.main()
    folder.chmod(0o777)
    assert connect.private(os.getpid()) is None
    if os.getuid() == 0:
        folder.chmod(0o700)
        os.chown(folder, 65534, 65534)
        assert connect.private(os.getpid()) is None
    with pytest.raises(SystemExit, match="has no private Ray"):
        dashboard.main()


def test_the_workers_of_a_private_ray_do_not_stand_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_worker_niceness", raising=False)
    with connect.ray_cluster(1):
        import ray

        there = ray.get(ray.remote(lambda: os.nice(0)).remote(), timeout=60)
    assert there == os.nice(0)


def test_a_private_ray_starts_no_process_before_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_prestart_worker_first_driver", raising=False)
    with connect.ray_cluster(2):
        time.sleep(2)  # Ray would start them as soon as a driver is there
        below = [p for p in psutil.Process().children(recursive=True) if p.name() != "raylet"]
        commands = [" ".join(p.cmdline()) for p in below]
    assert any("gcs_server" in line for line in commands)
    assert not [line for line in commands if "default_worker.py" in line or "ray::IDLE" in line]


def test_a_private_ray_asks_no_other_rays_dashboard_what_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Ray would say that a training of ours is dead, and Ray Train would believe it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265")

    def look() -> str:
        from ray.util.state import get_actor
        from ray.util.state.exception import RayStateApiException

        try:
            return str(get_actor("0" * 32, timeout=5))
        except RayStateApiException as error:
            return str(error)

    with connect.ray_cluster(1):
        import ray

        reply = ray.get(ray.remote(look).remote(), timeout=60)
    assert "Failed to connect" in reply and "http://127.0.0.1:1/" in reply
