"""`python -m cluster.raycluster.join FOLDER`: a job of its own lends its nodes to the Ray cluster of another job.

FOLDER is the start that the other job's launcher holds; its token and its head's address are there. The job may end at
any time: what ran on its nodes goes on elsewhere. It ends by itself when the other one does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cluster.errors import ClusterError
from cluster.raycluster import job, node
from cluster.raycluster.allocation import Allocation


def join(folder: Path) -> int:
    """Run `node` on every node of this job until the start ends. Raises ClusterError when it has ended."""
    if (folder / node.END).exists() or not (folder / job.TOKEN).is_file():
        raise ClusterError("the Ray cluster that this job was to join has ended", where=folder)
    nodes = len(Allocation.of(os.environ).nodes)
    environment = job.node_environment(folder) | {node.JOINS: "1"}
    return subprocess.run(job.srun(nodes), env=environment, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m cluster.raycluster.join FOLDER", file=sys.stderr)
        return 2
    try:
        return join(Path(sys.argv[1]))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
