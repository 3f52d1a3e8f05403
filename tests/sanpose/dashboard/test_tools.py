"""The dashboards beside ours, Optuna's and TensorBoard: started on demand, ended with ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
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


def _gone(pids: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_optuna_s_dashboard_shows_the_study_and_ends_with_ours(tmp_path: Path, sign: signal.Signals) -> None:
    write_run(tmp_path / "runs", A, "done", 60.0)
    _study(write_sweep(tmp_path / "runs", "delta", [("delta 0", 0, A)]))
    with dashboard(tmp_path / "runs") as served:
        served.told("/api/changes")
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

    monkeypatch.setattr("sanpose.dashboard.tools._LINK_SECONDS", 0.2)

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
        (folder,) = (tool.folder for tool in tools._running.values())
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
