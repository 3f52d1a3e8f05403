"""Measurements in fresh processes: one job, as JSON, to a bench's hidden `--one`, and its JSON answer back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def measure(module: str, job: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Any:
    """What `python -m module --one JOB` prints last, read as JSON. Its standard error is this process's.

    env: environment variables beside the inherited ones. The allocator's settings are never inherited: a job has them
    only if it asks. Raises CalledProcessError when the module fails.
    """
    inherited = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-m", module, "--one", json.dumps(job)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**inherited, **(env or {})}
    )
    return json.loads(done.stdout.splitlines()[-1])
