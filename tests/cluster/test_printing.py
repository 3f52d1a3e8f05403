"""A process whose output goes to a file system that is full."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import os, sys
from cluster import printing
full = os.open("/dev/full", os.O_WRONLY)
"""
BECOMES_FULL = (
    BEGIN
    + """
file = os.dup(1)
printing.outlast_full_disk()
print("before")
os.dup2(full, 1)
print("meanwhile")
os.dup2(file, 1)
"""
)


def started(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def printed(script: str) -> str:
    process = started(script)
    out, wrong = process.communicate(timeout=60)
    assert process.returncode == 0, wrong
    return out


def test_lines_are_kept_and_written_with_the_next_one() -> None:
    assert printed(BECOMES_FULL + "print('after')") == "before\nmeanwhile\nafter\n"


def test_lines_are_kept_and_written_at_the_end() -> None:
    assert printed(BECOMES_FULL) == "before\nmeanwhile\n"


def test_of_many_lines_the_last_megabyte_is_kept() -> None:
    script = BEGIN + "file = os.dup(1)\nprinting.outlast_full_disk()\nos.dup2(full, 1)\n"
    script += "for i in range(400_000): print(f'line {i}')\nos.dup2(file, 1)\nprint('after')"
    text = printed(script)
    first, second, *_ = text.splitlines()
    assert first.startswith("[lines are missing") and second.startswith("line ")
    assert text.endswith("line 399999\nafter\n") and 2**20 - 100 < len(text) < 2**21 + 100


def test_what_is_kept_is_written_when_asked_for() -> None:
    assert printed(BECOMES_FULL + "printing.write_kept()\nos.write(1, b'next')") == "before\nmeanwhile\nnext"


def test_without_it_the_process_would_end() -> None:
    process = started(BEGIN + "os.dup2(full, 1)\nprint('a', flush=True)\nprint('on', file=sys.stderr)")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode and "No space left on device" in wrong and "on" not in wrong.splitlines()


def test_a_reader_that_has_gone_is_still_an_error() -> None:
    process = started(BEGIN + "printing.outlast_full_disk()\nwhile True: print('a')")
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.wait(60) and "BrokenPipeError" in process.stderr.read()


def test_the_streams_of_rays_processes_are_meant_too() -> None:
    """Ray puts a stream of its own kind in the place of Python's."""
    ray = "from ray._private.utils import Unbuffered\nsys.stdout = Unbuffered(sys.stdout)\n"
    script = BECOMES_FULL.replace("file = os.dup(1)\n", f"file = os.dup(1)\n{ray}")
    assert printed(script + "print('after')") == "before\nmeanwhile\nafter\n"


def test_a_second_call_changes_nothing() -> None:
    script = BEGIN + "printing.outlast_full_disk()\nfirst = sys.stdout\nprinting.outlast_full_disk()\n"
    assert printed(script + "print(sys.stdout is first)") == "True\n"


def test_streams_of_others_stay_as_they_are() -> None:
    script = "import io, sys\nfrom cluster import printing\nmine = sys.stdout = io.StringIO()\n"
    script += "printing.outlast_full_disk()\nassert sys.stdout is mine\n"
    assert printed(script) == ""
