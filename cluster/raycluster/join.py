"""`python -m cluster.join FOLDER`: a joiner job lends its nodes to the Ray cluster of another job.

FOLDER is the start folder of the other job, which holds the token and the head's address. The joiner may end at any
time: other nodes then take over its work. The joiner ends by itself when the other job ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cluster.errors import ClusterError
from cluster.raycluster import job, node
from cluster.raycluster.allocation import Allocation
from cluster.raycluster.start_folder import END, TOKEN


def join(folder: Path) -> int:
    """Run `node` on every node of this job until the start ends. Raises ClusterError when the start has ended."""
    if (folder / END).exists() or not (folder / TOKEN).is_file():
        raise ClusterError("the Ray cluster that this job should join has ended", where=folder)
    nodes = len(Allocation.of(os.environ).nodes)
    environment = job.node_environment(folder) | {node.JOINS: "1"}
    return subprocess.run(job.srun(nodes), env=environment, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m cluster.join FOLDER", file=sys.stderr)
        return 2
    try:
        return join(Path(sys.argv[1]))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
