"""A file system without locks: data are read and written, and what needs a lock says so and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.locks import lock
from tests.sanpose import tiny

# HDF5 and Python lock with flock, some builds of HDF5 with fcntl.
_SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int refused(void) { errno = atoi(getenv("TEST_ERRNO")); return -1; }
int flock(int file, int operation) { return refused(); }
static int passed(int file, int command, long argument) {
  int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
  return locks ? refused() : (int)syscall(SYS_fcntl, file, command, argument);
}
int fcntl(int file, int command, ...) {
  va_list list; va_start(list, command); long argument = va_arg(list, long); va_end(list);
  return passed(file, command, argument);
}
int fcntl64(int file, int command, ...) {
  va_list list; va_start(list, command); long argument = va_arg(list, long); va_end(list);
  return passed(file, command, argument);
}
"""
Sanpose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        reason = "no C compiler to imitate a file system without locks (make system)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("library")
    (folder / "nolocks.c").write_text(_SOURCE)
    library = folder / "nolocks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "nolocks.c")], check=True)
    return library


@pytest.fixture(params=[37, 38, 95], ids=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def sanpose(request: pytest.FixtureRequest, library: Path, tmp_path: Path) -> Sanpose:
    """The command, on such a file system."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LD_PRELOAD": str(library), "TEST_ERRNO": str(request.param)}
        command = [sys.executable, "-m", "sanpose", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return call


def test_data_need_no_locks_and_runs_say_what_they_need(sanpose: Sanpose, tmp_path: Path) -> None:
    overrides = tiny.overrides(tmp_path, "eval.sets=[h36m]")
    checked = sanpose("data", "check", tmp_path / "h36m.h5")
    assert "cut short" not in checked.stdout + checked.stderr and "samples in" in checked.stdout
    for command in (["train", *overrides], ["tune", "sweep=delta_init", *overrides]):
        done = sanpose(*command)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "this file system has no file locks" in done.stderr and str(tmp_path / "runs") in done.stderr
        assert [path for path in (tmp_path / "runs").rglob("*") if path.is_file()] == []


def test_a_job_s_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(ClusterError, match="this file system has no file locks"), lock(tmp_path / "lock"):
        pass
