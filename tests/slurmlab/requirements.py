"""Whether this machine can have a lab."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "slurmlab"
PACKAGE_OF = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "ip": "iproute2",
}
PACKAGE_OF_ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
}


def unavailable() -> str | None:
    """Why this machine cannot have a lab, or None."""
    if platform.system() != "Linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root: a node is a set of namespaces"
    if reason := missing(PACKAGE_OF):
        return reason
    namespaces = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(namespaces, capture_output=True).returncode != 0:
        return "root may not make network namespaces here, as in a container without privileges"
    return None


def accounting_unavailable() -> str | None:
    """Why this machine cannot have a lab with a database of jobs, or None."""
    return unavailable() or missing(PACKAGE_OF_ACCOUNTING)


def missing(package_of: dict[str, str]) -> str | None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = [package for tool, package in package_of.items() if shutil.which(tool, path=path) is None]
    return f"needs more of Debian: apt-get install {' '.join(packages)}" if packages else None
