"""On a node that is shared, a stranger is refused by a job's Ray cluster, whatever door is tried."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.cluster_job import REPOSITORY
from tests.slurmlab.lab import Lab

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

RAY = str(Path(sys.executable).with_name("ray"))
SLEEP = f"""#!/bin/bash
cd {REPOSITORY}
exec {sys.executable} -m cluster.launch --folder "$FOLDER" -- sleep 600
"""
CONNECT = (
    "import os, ray; ray.init(address=os.environ['ADDRESS'], logging_level='ERROR');"
    "print('let in', ray.get(ray.remote(lambda: 6 * 7).remote()))"
)
ASK = (
    "import os, sys, urllib.error, urllib.request as r\n"
    "token = os.environ.get('TOKEN')\n"
    "data = sys.argv[2].encode() if len(sys.argv) > 2 else None\n"
    "headers = {'Authorization': 'Bearer ' + token} if token else {}\n"
    "request = r.Request(sys.argv[1], data=data, headers=headers | {'Content-Type': 'application/json'})\n"
    "try: print(r.urlopen(request, timeout=20).status)\n"
    "except urllib.error.HTTPError as error: print(error.code)\n"
)


def start(lab: Lab, node: str, environment: dict[str, str], command: list[str]) -> subprocess.Popen[str]:
    """A client on a node, with nothing of Ray's in its environment except `environment`."""
    clean = ["env", "-i", "HOME=/nonexistent", "PATH=/usr/bin:/bin", *(f"{k}={v}" for k, v in environment.items())]
    return lab.start(node, [*clean, "timeout", "60", *command])


def test_strangers_are_refused_at_every_door_and_run_nothing(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    job = lab.sbatch(
        SLEEP, "--nodes=2", "--mem=2000", "--ntasks-per-node=1", "--output=/dev/null", env={"FOLDER": str(folder)}
    )
    env_file, until = folder / "env.sh", time.monotonic() + 60
    while not env_file.exists():
        assert time.monotonic() < until, lab.logs(job)
        time.sleep(0.1)
    variables = dict(line.removeprefix("export ").split("=", 1) for line in env_file.read_text().splitlines())
    variables = {name: value.strip("'") for name, value in variables.items()}
    token = Path(variables["RAY_AUTH_TOKEN_PATH"]).read_text()
    modes = [oct(p.stat().st_mode & 0o777) for p in (Path(variables["RAY_AUTH_TOKEN_PATH"]), env_file, folder)]
    assert modes == ["0o600", "0o600", "0o700"]

    port = variables["RAY_API_SERVER_ADDRESS"].rpartition(":")[2]
    assert lab.exec("node1", ["ss", "-tlnH", f"sport = :{port}"]).split()[3] == f"127.0.0.1:{port}"

    ran = tmp_path / "ran"
    body = json.dumps({"entrypoint": f"touch {ran}"})
    jobs, address = f"{variables['RAY_API_SERVER_ADDRESS']}/api/jobs/", {"ADDRESS": variables["RAY_ADDRESS"]}
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": variables["RAY_AUTH_TOKEN_PATH"]}
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    python = [sys.executable, "-c"]
    submit = [
        RAY,
        "job",
        "submit",
        f"--address={variables['RAY_API_SERVER_ADDRESS']}",
        "--no-wait",
        "--",
        "touch",
        str(ran),
    ]
    clients = {
        "driver, own": start(lab, "node2", {**address, **own}, [*python, CONNECT]),
        "driver, none": start(lab, "node2", address, [*python, CONNECT]),
        "driver, wrong": start(lab, "node2", {**address, **wrong}, [*python, CONNECT]),
        "jobs, none": start(lab, "node1", {}, [*python, ASK, jobs, body]),
        "jobs, wrong": start(lab, "node1", {"TOKEN": "0" * 64}, [*python, ASK, jobs, body]),
        "jobs, own": start(lab, "node1", {"TOKEN": token}, [*python, ASK, jobs]),
        "dashboard, none": start(
            lab, "node1", {}, [*python, ASK, f"{variables['RAY_API_SERVER_ADDRESS']}/nodes?view=summary"]
        ),
        "submit, none": start(lab, "node1", {}, submit),
    }
    output = {name: client.communicate(timeout=90)[0].strip() for name, client in clients.items()}
    assert "let in 42" in output["driver, own"], output
    assert "let in" not in output["driver, none"] + output["driver, wrong"] and clients["driver, none"].returncode
    codes = [output[name] for name in ("jobs, none", "jobs, wrong", "jobs, own", "dashboard, none")]
    assert codes == ["401", "403", "200", "401"]
    assert clients["submit, none"].returncode and not ran.exists()
    lab.cancel(job)
    assert not (folder / "env.sh").exists() and not Path(variables["RAY_AUTH_TOKEN_PATH"]).exists()
