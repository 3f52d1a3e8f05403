"""`python -m sanpose.dashboard.keeper FOLDER COMMAND...`: run a command until standard input closes, then end it and
remove its folder.

The pipe's other end belongs to whoever started this; it closes when that process ends, however it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

_SECONDS = 5.0


def keep(folder: str, command: list[str]) -> int:
    """Run a command in a session of its own; gives its exit code. folder: its own, which goes with it."""
    # Ctrl-C in the terminal goes to everyone in it; our sign is the pipe alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
    code = child.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code


def _end_with_input(child: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
