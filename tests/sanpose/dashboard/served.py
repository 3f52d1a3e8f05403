"""A dashboard in a process of its own, for the tests."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sanpose.dashboard.guard import Guard


class Served:
    """A dashboard in a process of its own, and requests to it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
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

    def json(self, path: str) -> Any:
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


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body
