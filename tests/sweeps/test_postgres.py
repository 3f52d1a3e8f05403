"""A study in a real PostgreSQL: the same trials as in the journal, also when a driver dies or the server restarts."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeps import definition, storage
from sweeps.study import Study

PASSWORD = "only for this test"
RATES = {"title": "rates", "axes": {"rate": {"low": 1e-5, "high": 1e-1, "log": True}}}


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of this test's, which refuses to run as root: then it runs as Debian's user for it."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://keeper:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        options = ("--auth=scram-sha-256", "--username=keeper", f"--pwfile={self.folder / 'password'}", "--no-sync")
        self.run("initdb", f"--pgdata={self.folder / 'data'}", *options)

    def control(self, *what: str) -> None:
        listening = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder}"
        files = ("-D", str(self.folder / "data"), "-l", str(self.folder / "log"))
        self.run("pg_ctl", *files, "-o", listening, "-m", "fast", "-w", *what)

    def run(self, program: str, *arguments: str) -> None:
        user = "postgres" if os.getuid() == 0 else None
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, user=user, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or (os.getuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}):
        pytest.skip("no PostgreSQL here: make system, as root")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="sanpose-postgres-", dir="/tmp") as folder:
        made = Server(found[-1].parent, Path(folder), port)
        made.make()
        made.control("start")
        try:
            yield made
        finally:
            made.control("stop")


def study(folder: Path, url: str, *, copy: bool = False) -> Study:
    search = {"sampler": "tpe", "trials": 8, "pruner": "median", "storage": url}
    return Study(folder, folder.name, definition.read(RATES, search), 1, copy=copy)


def searched(folder: Path, url: str, *, often: bool = False) -> list[tuple[int, float]]:
    """The trials of a search; `often`: its driver dies with every third trial open."""
    folder.mkdir()
    drawn, trials = study(folder, url), []
    while trial := drawn.next():
        if often and trial.number % 3 == 2:
            drawn = study(folder, url)
            trial = drawn.next()
            assert trial
        rate = float(trial.values["rate"])
        drawn.report(trial.number, 1, rate / 3)
        drawn.tell(trial.number, f"run{trial.number}", {"mpjpe_mm": abs(rate - 0.012345678901234567)})
        trials.append((trial.number, rate))
    return trials


def test_a_search_is_the_same_as_in_the_journal_to_the_bit(server: Server, tmp_path: Path) -> None:
    journal = searched(tmp_path / "journal", "")
    assert len(journal) == 8
    assert searched(tmp_path / "database", server.url) == journal
    assert searched(tmp_path / "killed", server.url, often=True) == journal


def test_looking_makes_nothing_and_a_restart_of_the_server_is_survived(server: Server, tmp_path: Path) -> None:
    url = server.url.removesuffix("postgres") + "fresh"
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create database fresh")
    (tmp_path / "one").mkdir()
    assert study(tmp_path / "one", url, copy=True).counts() == {}
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from pg_stat_user_tables").fetchone() == (0,)
    drawn = study(tmp_path / "one", url)
    trial = drawn.next()
    assert trial
    server.control("restart")
    drawn.tell(trial.number, "run", {"mpjpe_mm": 1.0})
    assert study(tmp_path / "one", url, copy=True).counts() == {"done": 1}


def test_what_the_server_refuses_is_told_without_the_password(server: Server, tmp_path: Path) -> None:
    wrong = server.url.replace("keeper:", "keeper:not%20")
    for refused in (lambda: storage.require(wrong), lambda: study(tmp_path, wrong), lambda: study(tmp_path, "x://u@h")):
        with pytest.raises(definition.BadSweep, match=r"search.storage cannot be read") as refusal:
            refused()
        assert "only%20for" not in str(refusal.value) and PASSWORD not in str(refusal.value)
    storage.require(server.url)
    storage.require("")
