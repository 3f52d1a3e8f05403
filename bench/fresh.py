"""Measurements in fresh processes: one job, as JSON, to this script's hidden `--one`, and its JSON answer back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def measure(script: str, job: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Any:
    """What `python script --one JOB` prints last, read as JSON. Its standard error is this process's.

    env: environment variables beside the inherited ones. The allocator's settings are never inherited: a job has them
    only if it asks. Raises CalledProcessError when the script fails.
    """
    inherited = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, script, "--one", json.dumps(job)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**inherited, **(env or {})})
    return json.loads(done.stdout.splitlines()[-1])
