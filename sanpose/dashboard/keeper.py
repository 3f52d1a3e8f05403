"""`python -m sanpose.dashboard.keeper FOLDER COMMAND...`: run a command until standard input closes, then stop the
command and remove its folder.

Standard input is a pipe from the parent process. The pipe closes when the parent ends, however the parent ends.
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
    """Run a command in its own session, remove its folder when it has ended, and return its exit code."""
    # Ctrl-C in the terminal reaches every process in it; only the closed pipe stops the command.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_stop_at_end_of_input, args=(child,), daemon=True).start()
    code = child.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code


def _stop_at_end_of_input(child: subprocess.Popen[bytes]) -> None:
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
