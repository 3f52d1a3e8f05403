"""Optuna's dashboard, TensorBoard and Ray's dashboard: started on request, on the loopback address, stopped with ours.

Each tool runs below a keeper (`sanpose.dashboard.keeper`), which stops it when our end of a pipe closes, even if this
process is killed. Each tool has a private folder for what must not be on its command line: TensorBoard's has the links
to a sweep's runs, Optuna's the URL of the study. The keeper removes the folder.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cluster.raycluster import connect
from sanpose.dashboard.links import link
from sanpose.errors import UserError
from sanpose.status.alive import recorded_driver
from sweeps import record
from sweeps.files import BrokenRecord
from sweeps.secrecy import masked

STUDY = "study.log"
_START_SECONDS = 60.0  # importing TensorBoard takes long on a busy machine
_STOP_SECONDS = 10.0
LINK_SECONDS = 5.0  # as often as TensorBoard reads its folder


@dataclass(frozen=True)
class _Tool:
    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]
    folder: Path

    def stop(self) -> None:
        """Close the keeper's pipe, if it is not closed yet, and wait."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)  # where the keeper was killed


class Tools:
    """The tools of one folder of runs."""

    def __init__(self, runs: Path):
        self._runs = runs
        self._lock = threading.Lock()
        self.by_key: dict[tuple[str, str], _Tool] = {}
        self._linking: threading.Thread | None = None
        self._stopped = threading.Event()

    def port(self, name: str, sweep: str = "") -> int:
        """The port of a tool, which is started if it is not running: "tensorboard" for a sweep's runs, or for all runs
        without a sweep; "optuna" for a sweep's study; "ray" for the private Ray of a sweep's driver.

        Raises UserError when there is no such tool, study or Ray, or when the tool does not answer.
        """
        key = (name, sweep)
        with self._lock:
            tool = self.by_key.get(key)
            if tool is None or tool.process.poll() is not None:
                tool = self.by_key[key] = self._start(*key)
            return tool.port

    def stop(self) -> None:
        """Stop all tools."""
        self._stopped.set()
        if self._linking:
            self._linking.join()
        with self._lock:
            for tool in self.by_key.values():
                assert tool.process.stdin
                tool.process.stdin.close()  # stops every keeper before waiting for the first
            for tool in self.by_key.values():
                tool.stop()
            self.by_key.clear()

    def _start(self, name: str, sweep: str) -> _Tool:
        folder = Path(tempfile.mkdtemp(prefix="sanpose-tool-"))  # mode 0700
        try:
            port = _free_port()
            command = self._command(name, sweep, port, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        log = tempfile.TemporaryFile()  # noqa: SIM115 - as long-lived as the process
        keeper = [sys.executable, "-P", "-m", "sanpose.dashboard.keeper", str(folder), *command]
        process = subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        tool = _Tool(process, port, log, folder)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                last = log.read().decode(errors="replace").strip().splitlines()[-3:]
                tool.stop()
                raise UserError(f"{name} did not start", where=" / ".join(map(masked, last)) or None)
            time.sleep(0.1)
        return tool

    def _command(self, name: str, sweep: str, port: int, folder: Path) -> list[str]:
        place = ["--host", "127.0.0.1", "--port", str(port)]
        if name == "tensorboard":
            logs = self._links(sweep, folder) if sweep else self._runs
            return [_program(name), "--logdir", str(logs), *place]
        if name == "ray":
            return [sys.executable, "-P", "-m", "cluster.raycluster.dashboard", str(self._driver(sweep)), str(port)]
        if name != "optuna":
            raise UserError(f"there is no tool '{name}'", expected="optuna, tensorboard or ray")
        # The URL of a database may hold a password, and every user can read a command line.
        settings = folder / "optuna.toml"
        settings.write_text(f"[optuna_dashboard]\nstorage = {json.dumps(self._study(sweep), ensure_ascii=False)}\n")
        return [_program("optuna-dashboard"), "--from-config", str(settings), *place]

    def _links(self, sweep: str, folder: Path) -> Path:
        """The tool's folder, with links to the sweep's runs; `_keep_linking` adds the links of later runs."""
        try:
            link(self._runs, sweep, folder)
        except BrokenRecord as error:
            raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error
        if self._linking is None:
            self._linking = threading.Thread(target=self._keep_linking, daemon=True)
            self._linking.start()
        return folder

    def _keep_linking(self) -> None:
        while not self._stopped.wait(LINK_SECONDS):
            with self._lock:
                folders = [(key[1], tool.folder) for key, tool in self.by_key.items() if key[0] == "tensorboard"]
            for sweep, folder in folders:
                if sweep:
                    with suppress(BrokenRecord, OSError):  # the page shows the error; the next round may succeed
                        link(self._runs, sweep, folder)

    def _driver(self, sweep: str) -> int:
        """The process on this machine that runs a sweep in a private Ray."""
        driver = recorded_driver(self._read(sweep).head)
        if driver.pid is None or driver.host != socket.gethostname() or connect.private(driver.pid) is None:
            raise UserError(
                f"no private Ray of sweep '{sweep}' runs here",
                where=f"process {driver.pid} on {driver.host}" if driver.pid else None,
                expected="a sweep that runs on this machine, as the same user",
            )
        return driver.pid

    def _read(self, sweep: str) -> record.SweepRecord:
        try:
            return record.read(self._runs, sweep)
        except BrokenRecord as error:
            raise UserError(f"the sweep's record cannot be read: {error.reason}", where=error.path) from error

    def _study(self, sweep: str) -> str:
        """Where a sweep's study is stored: the URL of a database, or its journal file."""
        try:
            url = record.storage(self._read(sweep))
        except OSError as error:
            what = "the study's database has a password that only its owner can read"
            raise UserError(what, where=error.filename) from error
        path = record.folder_of(self._runs, sweep) / STUDY
        if not url and not path.is_file():
            raise UserError(f"sweep '{sweep}' has no Optuna study", where=path, expected="a sweep that has started")
        return url or str(path)


def _program(name: str) -> str:
    """A program beside this Python, else on the path. Raises UserError when it is not installed."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
    if program is None:
        raise UserError(f"{name} is not installed", where=beside, hint=f"pip install {name}")
    return program


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
