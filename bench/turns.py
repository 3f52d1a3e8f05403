"""Ways of doing the same, each a process with all its children, that take turns of some seconds on the machine.

A machine that is faster in one minute than in the next is so for both. Whoever is not at turn is stopped (SIGSTOP).

A bench's hidden `--one JOB` prepares, calls `ready`, does what is to be timed, and calls `done`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.fresh import REPOSITORY

TURN_SECONDS = 5.0
_CLEARING_SECONDS = 120.0
_READY, _DONE = "ready", "done"


def ready(job: int | None = None) -> None:
    """In the job: all is prepared; returns when its first turn begins. job: its process id, for a call from another."""
    _say(_READY, job)
    with Path(f"/proc/{job or os.getpid()}/fd/0").open() as orders:
        orders.readline()


def done(job: int | None = None) -> None:
    """In the job: what is timed has ended. It may still do something, and print an answer."""
    _say(_DONE, job)


def _say(word: str, job: int | None) -> None:
    with Path(f"/proc/{job or os.getpid()}/fd/1").open("w") as out:
        out.write(f"{word}\n")


def take(module: str, jobs: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]]) -> tuple[list[float], list[str]]:
    """How long each job took from `ready` to `done`, in its own turns, and what it printed after that.

    jobs: each with the environment variables that it has beside the inherited ones. The allocator's settings are never
    inherited. Raises RuntimeError when one fails.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # nobody is to be left stopped
        signal.signal(number, lambda *_: sys.exit(143))
    spent, answers = [0.0] * len(jobs), [""] * len(jobs)
    with contextlib.ExitStack() as stack:
        running = dict(enumerate(stack.enter_context(_job(module, job, env)) for job, env in jobs))
        for process in running.values():
            _told(process, _READY, None)
            _signal(process, signal.SIGSTOP)
            assert process.stdin
            process.stdin.write(b"go\n")  # read when its turn comes
        while running:
            for number, process in list(running.items()):
                _signal(process, signal.SIGCONT)
                begun = time.perf_counter()
                ended = _told(process, _DONE, TURN_SECONDS)
                if ended:
                    del running[number]
                else:
                    _signal(process, signal.SIGSTOP)
                spent[number] += time.perf_counter() - begun
                if ended:
                    answers[number] = _answer(process)
    return spent, answers


@contextlib.contextmanager
def _job(module: str, job: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-m", module, "--one", json.dumps(job)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, bufsize=0, stdin=pipe, stdout=pipe, cwd=REPOSITORY, env={**inherited, **env}
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _signal(process, signal.SIGSTOP)  # so that none begins another meanwhile
                _signal(process, signal.SIGKILL)


def _told(process: subprocess.Popen[bytes], word: str, timeout: float | None) -> bool:
    """Whether a job says the word within the time."""
    assert process.stdout
    until = None if timeout is None else time.monotonic() + timeout
    while select.select([process.stdout], [], [], until and max(0.0, until - time.monotonic()))[0]:
        line = process.stdout.readline().decode()
        if line.strip() == word:
            return True
        if not line:
            raise RuntimeError(f"a job ended with code {process.wait()} before it was {word}")
    return False


def _answer(process: subprocess.Popen[bytes]) -> str:
    """What a job prints after it was done. What it clears away meanwhile is nobody's turn."""
    answer = process.communicate(timeout=_CLEARING_SECONDS)[0].decode()
    if process.returncode:
        raise RuntimeError(f"a job ended with code {process.returncode} after it was {_DONE}")
    return answer


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send it to the process and all below it; if it stops them, those that are begun meanwhile too."""
    seen: set[int] = set()
    while new := [p for p in _tree(process.pid) if p.pid not in seen]:
        for one in new:
            seen.add(one.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [*top.children(recursive=True), top]
    except psutil.NoSuchProcess:
        return []
