"""The dashboard as a server: its address, its token, what it answers and to whom."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sanpose.dashboard.address import listen, token_and_port
from sanpose.dashboard.guard import Guard
from sanpose.dashboard.server import STATIC, Json
from sanpose.errors import UserError
from tests.sanpose.dashboard.served import Served, dashboard
from tests.sanpose.run_records import after, journal, measured, within, write_run, write_sweep

A, B, C = (letter * 10 for letter in "abc")


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


def test_what_the_page_gets(served: Served) -> None:
    content = served.json("/api/changes")
    items = {(kind, name): value for kind, name, value in content["items"]}
    assert content["full"]
    assert items["trials", "delta"] == [["delta 0", 0, A], ["delta 0.1", 0, B], ["delta 1", 0, "d" * 10]]
    assert items["sweep", "delta"]["counts"] == {"failed": 1, "waiting": 1, "done": 1}
    assert items["run", A]["mpjpe_mm"] == 60.0
    assert items["run", B]["reason"] == "<b>out of memory</b>"
    assert items["loose", ""] == [C]
    assert {"cpu", "memory", "disk", "gpus"} <= content["machine"].keys()
    again = served.json(f"/api/changes?started={content['started']}&version={content['version']}")
    assert (again["items"], again["full"]) == ([], False)
    assert served.json(f"/api/changes?started=another&version={content['version']}")["full"]
    assert served.json("/api/changes?version=nonsense")["full"]


def test_curves_and_the_log(served: Served) -> None:
    curves = served.json(f"/api/curves?runs={A},{B}")
    assert curves[A] == {
        "loss": [[0.5, 0.25], [1.0, 0.2], [1.5, 0.25]],
        "delta": [[0.5, 0.125], [1.0, 0.25], [1.5, 0.125]],
        "mpjpe_mm": [[1.0, 90.0]],
    }
    assert curves[B]["loss"] == []
    content = served.json(f"/api/run/{B}")
    assert content["log"] == ["one", "two"]
    assert "delta_init" in content["config"]


def test_odd_runs_take_nothing_from_the_others(tmp_path: Path) -> None:
    runs, name = tmp_path / "runs", os.fsdecode(b"run-\xff")
    journal(write_run(runs, A, "done", 60.0), within(0, 50))
    journal(write_run(runs, B, "done", 61.0), within(0, 50, float("nan"), delta=float("inf")))
    write_run(runs, name, "failed", reason="no 'a-\udcff.png' \ud800")
    (write_run(runs, C, "done", 62.0) / "metrics.jsonl").symlink_to("metrics.jsonl")
    write_sweep(runs, os.fsdecode(b"sweep-\xff"), [("\udcff", 0, name)])
    (runs / "circle").symlink_to("circle")
    for file in ("trials.jsonl", "study.log"):
        (runs / "sweeps" / file).mkdir()
        (runs / "sweeps" / file / file).touch()
    shown = r"run-\udcff"
    with dashboard(runs) as served:
        items = {(kind, name): value for kind, name, value in served.json("/api/changes")["items"]}
        assert items["run", shown]["reason"] == "no 'a-\udcff.png' \ud800"
        assert items["trials", r"sweep-\udcff"] == [["\udcff", 0, shown]]
        assert items["loose", ""] == [A, B, C, "circle"]
        assert [reason for _, reason in items["broken", ""]][:2] == ["sweep.json is missing"] * 2
        assert served.json("/api/run/" + quote(shown))["folder"] == str(runs / name)
        curves = served.json(f"/api/curves?runs={A},{B},{C},circle,{quote(shown)}")
    assert curves[A]["loss"] == [[0.5, 0.25]] and curves[B]["loss"] == curves[B]["delta"] == []
    assert curves.keys() == {A, B, C, "circle", shown}


def test_an_answer_holds_whatever_is_in_a_record() -> None:
    assert Json({"a": [float("nan"), 1.5, "\udcff"]}).body == rb'{"a":[null,1.5,"\udcff"]}'


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("new Response('Internal Server Error', {status: 500, statusText: 'oh'})", "lost the server answers 500: oh"),
        ('new Response(\'{"error": "why"}\', {status: 503})', "lost the server answers 503: why"),
        ("Promise.reject(new TypeError())", "lost no connection; trying again"),
    ],
)
def test_the_page_says_what_a_server_in_trouble_answers(answer: str, message: str) -> None:
    ends = "(state, text) => { console.log(state, text); process.exit(); }"
    script = (STATIC / "feed.js").read_text() + f"\nglobalThis.fetch = async () => {answer};\nfollow(null, {ends});"
    command = ["node", "--input-type=module", "-"]
    assert subprocess.run(command, input=script, capture_output=True, text=True, timeout=60).stdout == message + "\n"


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
    from sanpose.dashboard.address import store

    store(tmp_path, "t" * 43, 1234)
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
