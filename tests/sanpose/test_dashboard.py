"""The dashboard answers its own user alone, sends what changes and nothing else, and its tools end with it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from sanpose.dashboard.address import listen, token_and_port
from sanpose.dashboard.curves import LOG_LINES, Curves, log_tail, thinned
from sanpose.dashboard.feed import Feed
from sanpose.dashboard.guard import Guard
from sanpose.dashboard.links import link
from sanpose.dashboard.tools import Tools
from sanpose.errors import UserError
from sanpose.status.watch import Watcher
from sweeps import record
from sweeps.files import write_atomic
from tests.sanpose.run_records import after, journal, measured, within, write_run, write_sweep

A, B, C = (letter * 10 for letter in "abc")


class Served:
    """A dashboard in a process of its own, and requests to it."""

    def __init__(self, process: subprocess.Popen[str], url: str):
        self.process, self.url = process, url
        parts = urlsplit(url)
        self.port = parts.port or 0
        self.token = parts.query.removeprefix("token=")

    def ask(
        self, path: str, *, method: str = "GET", cookie: str | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body; with the dashboard's own cookie where none is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        sent = {"Cookie": self.cookie if cookie is None else cookie, **headers}
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    def told(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, body
        return json.loads(body)

    @property
    def cookie(self) -> str:
        return f"{Guard(None, self.token).cookie}={self.token}"  # type: ignore[arg-type]

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": f"http://127.0.0.1:{self.port}"}


@contextmanager
def dashboard(runs: Path, *options: str) -> Iterator[Served]:
    command = [str(Path(sys.executable).with_name("sanpose")), "dashboard", "--runs", str(runs), *options]
    environment = {**os.environ, "XDG_STATE_HOME": str(runs.parent / "state")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"dashboard: (http://127\.0\.0\.1:\d+/\?token=[\w-]{32,})\n", line)
        assert match, line + (process.stderr.read() if process.stderr else "")
        yield Served(process, match[1])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard") / "runs"
    done = write_run(folder, A, "done", 60.0)
    journal(done, measured(0, 400.0, "untrained"), within(0, 50), after(1), measured(1, 90.0), within(1, 50))
    failed = write_run(folder, B, "failed", reason="<b>out of memory</b>")
    (failed / "logs" / "worker-0.log").write_text("one\n\x1b[31mtwo\x1b[0m\n")
    write_run(folder, C, "done", 70.0)
    write_sweep(folder, "delta", [("delta 0", 0, A), ("delta 0.1", 0, B), ("delta 1", 0, "d" * 10)])
    (folder.parent / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def served(runs: Path) -> Iterator[Served]:
    with dashboard(runs) as found:
        yield found


@pytest.mark.parametrize("path", ["/", "/api/changes", "/static/dashboard.js", "/api/run/" + A, "/?token=wrong"])
def test_without_the_token_everything_is_refused(served: Served, path: str) -> None:
    for cookie in ("", "sanpose=x", served.cookie[:-1], served.cookie + "x"):
        status, headers, body = served.ask(path, cookie=cookie)
        assert status == 403
        assert b"token" in body
        assert "Set-Cookie" not in headers


def test_the_address_makes_a_cookie_that_is_enough_from_then_on(served: Served) -> None:
    status, headers, body = served.ask(f"/?token={served.token}", cookie="")
    assert status == 200
    assert b"<title>sanpose dashboard</title>" in body
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert served.ask("/", cookie=cookie.partition(";")[0])[0] == 200


def test_answers_carry_the_safe_headers(served: Served) -> None:
    for path, cookie in (("/", None), ("/", ""), ("/api/changes", None), ("/static/dashboard.css", None)):
        headers = served.ask(path, cookie=cookie)[1]
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:9999", 200),  # the near end of a tunnel
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost:80@evil.example", 403),
        ("evil.example:127.0.0.1", 403),
        ("", 403),
        ("192.168.0.1", 403),
    ],
)
def test_only_the_loopback_s_names_are_answered(served: Served, host: str, expected: int) -> None:
    assert served.ask("/api/changes", Host=host)[0] == expected


def test_names_of_a_server_that_was_opened_to_the_network() -> None:
    def named(host: str, header: str) -> bool:
        return Guard(None, "t", host)._named(header)  # type: ignore[arg-type]

    assert named("10.0.0.5", "10.0.0.5:80")
    assert not named("10.0.0.5", "10.0.0.6:80")
    assert named("0.0.0.0", "10.0.0.6:80")
    assert named("0.0.0.0", f"{socket.gethostname()}:80")
    assert not named("0.0.0.0", "evil.example")


@pytest.mark.parametrize(
    "path",
    [
        "/api/run/..", "/api/run/%2e%2e", "/api/run/..%2fsecret.txt", "/api/run/sweeps", "/api/run/" + "e" * 10,
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2fserver.py", "/api/curves?runs=../runs",
        "/secret.txt", "/static/",
    ],
)  # fmt: skip
def test_no_path_leads_out(served: Served, path: str) -> None:
    status, _, body = served.ask(path)
    assert status in (400, 404), body
    assert b"secret" not in body.replace(path.encode(), b"")


def test_a_change_must_come_from_the_page_itself(served: Served) -> None:
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": f"http://127.0.0.1:{served.port + 1}"}):
        assert served.ask("/tools/none", method="POST", **headers)[0] == 403
    assert served.ask("/tools/none", method="POST", **served.origin)[0] == 400
    assert served.ask("/tools/optuna?sweep=../delta", method="POST", **served.origin)[0] == 404
    status, _, body = served.ask("/tools/optuna?sweep=delta", method="POST", **served.origin)
    assert (status, "has no Optuna study" in json.loads(body)["error"]) == (400, True)
    assert served.ask("/tools/tensorboard")[0] == 405


def test_what_the_page_is_told(served: Served) -> None:
    told = served.told("/api/changes")
    items = {(kind, name): value for kind, name, value in told["items"]}
    assert told["full"]
    assert items["trials", "delta"] == [["delta 0", 0, A], ["delta 0.1", 0, B], ["delta 1", 0, "d" * 10]]
    assert items["sweep", "delta"]["counts"] == {"failed": 1, "waiting": 1, "done": 1}
    assert items["run", A]["mpjpe_mm"] == 60.0
    assert items["run", B]["reason"] == "<b>out of memory</b>"
    assert items["loose", ""] == [C]
    assert {"cpu", "memory", "disk", "gpus"} <= told["machine"].keys()
    again = served.told(f"/api/changes?started={told['started']}&version={told['version']}")
    assert (again["items"], again["full"]) == ([], False)
    assert served.told(f"/api/changes?started=another&version={told['version']}")["full"]
    assert served.told("/api/changes?version=nonsense")["full"]


def test_curves_and_the_log(served: Served) -> None:
    curves = served.told(f"/api/curves?runs={A},{B}")
    assert curves[A] == {
        "loss": [[0.5, 0.25], [1.0, 0.2], [1.5, 0.25]],
        "delta": [[0.5, 0.125], [1.0, 0.25], [1.5, 0.125]],
        "mpjpe_mm": [[1.0, 90.0]],
    }
    assert curves[B]["loss"] == []
    told = served.told(f"/api/run/{B}")
    assert told["log"] == ["one", "two"]
    assert "delta_init" in told["config"]


def test_ctrl_c_ends_it_quietly_and_the_next_one_has_the_same_address(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", A, "done", 60.0)
    with dashboard(tmp_path / "runs") as first:
        first.process.send_signal(signal.SIGINT)
        out, err = first.process.communicate(timeout=20)
        assert (first.process.returncode, out, err) == (0, "", "")
        with pytest.raises(ConnectionRefusedError):
            first.ask("/")
    with dashboard(tmp_path / "runs") as second:
        assert second.url == first.url, "an open page finds it again"
    (kept,) = (tmp_path / "state" / "sanpose").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_kept_token_that_others_can_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    from sanpose.dashboard.address import keep

    keep(tmp_path, "t" * 43, 1234)
    assert token_and_port(tmp_path) == ("t" * 43, 1234)
    (kept,) = (tmp_path / "state" / "sanpose").iterdir()
    kept.chmod(0o644)
    assert token_and_port(tmp_path)[0] != "t" * 43


def test_ports(tmp_path: Path) -> None:
    with listen("127.0.0.1", None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="cannot listen"):
            listen("127.0.0.1", port)
        with listen("127.0.0.1", None, last=port) as other:
            assert other.getsockname()[1] != port


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("sanpose")), "dashboard", "--runs", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no folder of runs" in done.stderr


def test_only_what_changed_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanpose.dashboard.feed._LOOK_SECONDS", -1.0)
    for number in range(50):
        write_run(tmp_path, f"{number:010d}", "done", 60.0)
    feed = Feed(Watcher(tmp_path))
    first = feed.since("", 0)
    assert len(first["items"]) == 52
    write_run(tmp_path, "0" * 10, "done", 55.0)
    second = feed.since(first["started"], first["version"])
    assert [(kind, name, value["mpjpe_mm"]) for kind, name, value in second["items"]] == [("run", "0" * 10, 55.0)]
    write_run(tmp_path, A, "done", 65.0)
    third = feed.since(first["started"], second["version"])
    assert {(kind, name) for kind, name, _ in third["items"]} == {("run", A), ("loose", "")}
    shutil.rmtree(tmp_path / A)
    fourth = feed.since(first["started"], third["version"])
    assert ["run", A, None] in fourth["items"]
    assert feed.run(A) is None


def test_a_trial_that_could_not_be_begun_is_shown_with_its_reason(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    record.append_trial(folder, record.Trial(1, "delta 1", {}, 0, "", "delta_init=1 cannot be"))
    items = {(kind, name): value for kind, name, value in Feed(Watcher(tmp_path)).since("", 0)["items"]}
    name = "delta, trial 1"
    assert items["trials", "delta"] == [["delta 0", 0, A], ["delta 1", 0, name]]
    assert (items["run", name]["state"], items["run", name]["reason"]) == ("failed", "delta_init=1 cannot be")
    assert items["sweep", "delta"]["counts"] == {"failed": 1, "waiting": 1}


def test_curves_follow_a_journal(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    curves = Curves()
    assert curves.of(folder)["loss"] == []
    journal(folder, within(0, 50, 0.5))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train"')
    assert curves.of(folder)["loss"] == [(0.5, 0.5)]
    lines = measured(1, 80.0), measured(1, 70.0, "final"), measured(2, 60.0, "final")
    write_atomic(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))  # it continues
    found = curves.of(folder)
    assert found["loss"] == []
    assert found["mpjpe_mm"] == [(1.0, 80.0), (2.0, 60.0)], "the final figures are of other samples"


def test_thinned_curves_keep_their_ends() -> None:
    points = [(float(i), float(i)) for i in range(10_001)]
    found = thinned(points, 100)
    assert (len(found), found[0], found[-1]) == (100, points[0], points[-1])
    assert thinned(points[:100], 100) == points[:100]


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "failed")
    assert log_tail(folder) == []
    (folder / "logs" / "worker-0.log").write_bytes(b"".join(b"line %d\xff\n" % i for i in range(5000)))
    lines = log_tail(folder)
    assert (len(lines), lines[-1]) == (LOG_LINES, "line 4999\N{REPLACEMENT CHARACTER}")


def _study(folder: Path) -> None:
    code = (
        "import sys, optuna; from optuna.storages import JournalStorage as S; "
        "from optuna.storages.journal import JournalFileBackend as F; "
        "s = optuna.create_study(study_name='delta', storage=S(F(sys.argv[1]))); "
        "s.optimize(lambda t: t.suggest_float('x', 0, 1), n_trials=2)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / "study.log")], check=True, capture_output=True)


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


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
        (study,) = json.loads(_get(port, "/api/studies"))["study_summaries"]
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
        while len(found := json.loads(_get(port, "/data/runs"))) < count and time.monotonic() < deadline:
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
