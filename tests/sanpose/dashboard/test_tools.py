"""The dashboards beside ours, Optuna's, TensorBoard and Ray's: started on demand, ended with ours."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from sanpose.dashboard.links import link
from sanpose.dashboard.tools import Tools
from sanpose.errors import UserError
from sweeps import record
from tests.sanpose.dashboard.served import dashboard, get
from tests.sanpose.run_records import write_run, write_sweep

A, B, C = (letter * 10 for letter in "abc")


def _study(folder: Path) -> None:
    code = (
        "import sys, optuna; from optuna.storages import JournalStorage as S; "
        "from optuna.storages.journal import JournalFileBackend as F; "
        "s = optuna.create_study(study_name='delta', storage=S(F(sys.argv[1]))); "
        "s.optimize(lambda t: t.suggest_float('x', 0, 1), n_trials=2)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / "study.log")], check=True, capture_output=True)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # in a container nobody may wait for orphans
    except psutil.NoSuchProcess:
        return False


def _gone(pids: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(_runs, pids))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_optuna_s_dashboard_shows_the_study_and_ends_with_ours(tmp_path: Path, sign: signal.Signals) -> None:
    write_run(tmp_path / "runs", A, "done", 60.0)
    _study(write_sweep(tmp_path / "runs", "delta", [("delta 0", 0, A)]))
    with dashboard(tmp_path / "runs") as served:
        served.json("/api/changes")
        status, _, body = served.ask("/tools/optuna?sweep=delta", method="POST", **served.origin)
        assert status == 200, body
        port = json.loads(body)["port"]
        (study,) = json.loads(get(port, "/api/studies"))["study_summaries"]
        assert study["study_name"] == "delta"
        assert json.loads(served.ask("/tools/optuna?sweep=delta", method="POST", **served.origin)[2])["port"] == port
        below = [child.pid for child in psutil.Process(served.process.pid).children(recursive=True)]
        assert len(below) >= 2
        served.process.send_signal(sign)
        served.process.wait(20)
        assert _gone(below)


def test_a_tool_that_does_not_start_says_why(tmp_path: Path) -> None:
    (write_sweep(tmp_path, "delta", []) / "study.log").mkdir()
    tools = Tools(tmp_path)
    with pytest.raises(UserError, match="no Optuna study"):
        tools.port("optuna", "delta")
    with pytest.raises(UserError, match="no tool 'rm'"):
        tools.port("rm")


def test_a_database_s_password_is_on_no_command_line(tmp_path: Path) -> None:
    url = "postgresql://u:secr\u00e9t@h/db"
    folder = write_sweep(tmp_path, "delta", [], storage=url)
    record.keep_storage(folder, url)
    (tmp_path / "tool").mkdir()
    command = Tools(tmp_path)._command("optuna", "delta", 1, tmp_path / "tool")
    assert "secr" not in " ".join(command)
    given = tomllib.loads(Path(command[command.index("--from-config") + 1]).read_text())
    assert given["optuna_dashboard"]["storage"] == url
    (folder / "storage").unlink()
    (folder / "storage").mkdir()  # unreadable, also for root
    with pytest.raises(UserError, match="only its owner"):
        Tools(tmp_path)._command("optuna", "delta", 1, tmp_path / "tool")


def test_the_runs_of_a_sweep_are_linked_as_they_begin(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", A, "done", 60.0)
    write_run(tmp_path / "runs", C, "done", 60.0)
    trials = [
        ("lr 1/3", 0, A),
        ("lr 1/3", 0, A),
        ("lr 2", 0, B),
        ("lr 3", 0, ".."),
        ("lr 4", 0, "../runs"),
        ("lr 5", 0, ""),
    ]
    write_sweep(tmp_path / "runs", "delta", trials)
    folder = tmp_path / "links"
    folder.mkdir()
    link(tmp_path / "runs", "delta", folder)
    assert [path.name for path in folder.iterdir()] == [f"lr 1_3 {A}"]
    assert (folder / f"lr 1_3 {A}").samefile(tmp_path / "runs" / A)
    write_run(tmp_path / "runs", B, "running")
    link(tmp_path / "runs", "delta", folder)
    assert {path.name for path in folder.iterdir()} == {f"lr 1_3 {A}", f"lr 2 {B}"}


@pytest.mark.slow
def test_tensorboard_shows_a_sweep_s_runs_and_all_runs_where_no_sweep_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.setattr("sanpose.dashboard.tools.LINK_SECONDS", 0.2)

    def begin(name: str) -> None:
        with SummaryWriter(str(write_run(tmp_path, name, "running") / "tensorboard")) as board:
            board.add_scalar("loss", 1.0, 0)

    def shown(port: int, count: int) -> set[str]:
        deadline = time.monotonic() + 30
        while len(found := json.loads(get(port, "/data/runs"))) < count and time.monotonic() < deadline:
            time.sleep(0.5)
        return set(found)

    for name in (A, C):
        begin(name)
    write_sweep(tmp_path, "delta", [("lr 1", 0, A), ("lr 2", 0, B)])
    tools = Tools(tmp_path)
    try:
        one = tools.port("tensorboard", "delta")
        (folder,) = (tool.folder for tool in tools.by_key.values())
        assert shown(one, 1) == {f"lr 1 {A}/tensorboard"}
        begin(B)
        assert shown(one, 2) == {f"lr 1 {A}/tensorboard", f"lr 2 {B}/tensorboard"}
        every = tools.port("tensorboard")
        assert every != one
        assert shown(every, 3) == {f"{name}/tensorboard" for name in (A, B, C)}
    finally:
        tools.stop()
    assert not folder.exists()
    assert (tmp_path / A / "result.json").exists(), "the links go, not what they lead to"


DRIVER = """
import sys
from cluster.raycluster.connect import ray_cluster
with ray_cluster(1):
    print("there", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_rays_dashboard_is_started_for_a_sweep_s_private_ray_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    pipe = subprocess.PIPE
    tools = Tools(tmp_path)
    with subprocess.Popen([sys.executable, "-c", DRIVER], stdin=pipe, stdout=pipe, text=True) as driver:
        assert driver.stdout and driver.stdin
        assert driver.stdout.readline() == "there\n"
        below = [" ".join(p.cmdline()) for p in psutil.Process(driver.pid).children(recursive=True)]
        assert below and not [line for line in below if "ray-dashboard" in line], "a private Ray has none by itself"
        write_sweep(tmp_path, "delta", [], driver={"host": socket.gethostname(), "pid": driver.pid})
        try:
            port = tools.port("ray", "delta")
            jobs = urllib.request.Request(f"http://127.0.0.1:{port}/api/jobs/")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(jobs, timeout=20)
            jobs.add_header("Authorization", f"Bearer {'0' * 64}")
            with urllib.request.urlopen(jobs, timeout=20) as answer:
                assert [job["driver_info"]["pid"] for job in json.load(answer)] == [str(driver.pid)]
            keeper = psutil.Process(tools.by_key["ray", "delta"].process.pid)
            running = [process.pid for process in (keeper, *keeper.children(recursive=True))]
            assert len(running) > 3
            write_sweep(tmp_path, "elsewhere", [], driver={"host": "elsewhere", "pid": driver.pid})
            with pytest.raises(UserError, match="no private Ray of sweep 'elsewhere'"):
                tools.port("ray", "elsewhere")
            if killed:
                driver.kill()
            driver.stdin.close()
            driver.wait(30)
            assert _gone(running, 30)
            with pytest.raises(UserError, match="no private Ray of sweep 'delta'"):
                tools.port("ray", "delta")
        finally:
            driver.kill()
            tools.stop()


@pytest.mark.parametrize("driver", [None, "x", {"pid": "1"}, {"host": socket.gethostname(), "pid": 2**22 + 1}])
def test_there_is_no_ray_dashboard_where_no_ray_is(tmp_path: Path, driver: object) -> None:
    write_sweep(tmp_path, "delta", [], driver=driver)
    with pytest.raises(UserError, match="no private Ray of sweep 'delta'"):
        Tools(tmp_path).port("ray", "delta")
