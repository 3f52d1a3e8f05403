"""The text of a job's script: a pure function of what is asked for. What `--dry-run` prints is what Slurm gets."""

from __future__ import annotations

import re
import shlex

from cluster.slurm.spec import JobSpec, Profile

OUTPUT = "job.out"
JOINERS_OUTPUT = "joiners.out"
JOINER = "joiner.sbatch"  # the script of the jobs that join, in the job's folder
SUBMITIT = "submitit"  # the folder of submitit's own files, there too

_TEXT = """\
#!/bin/bash
# {what}
{options}

# Until there is a Python that takes them: a warning that comes too early must not end the job.
trap '' USR1 USR2
set -e
trap 'echo "the job ends here, with code $?: $BASH_COMMAND" >&2' ERR
{setup}
{exports}
cd {cwd}
exec {command}
"""


def sbatch_text(spec: JobSpec) -> str:
    """The whole script of a job, for bash and sbatch."""
    profile = spec.profile
    ends = [("signal", f"B:USR1@{profile.warning_seconds}"), ("requeue" if profile.requeue else "no-requeue", "")]
    command = (
        f"env SUBMITIT_EXECUTOR=slurm {_python(spec)} submitit.core._submit {shlex.quote(str(spec.folder / SUBMITIT))}"
    )
    what = f"Job {spec.name}. Written by cluster/slurm/sbatch.py and submitted through submitit."
    return _text(spec, profile, what, spec.name, [*ends, *_output(spec, OUTPUT)], command)


def joiner_text(spec: JobSpec) -> str:
    """The whole script of a job that lends its node to this one's Ray cluster; the launcher submits it when it is
    wanted, and again instead of having it requeued."""
    assert spec.joiner
    what = f"A node for job {spec.name}. Written by cluster/slurm/sbatch.py."
    ends = [("no-requeue", ""), *_output(spec, JOINERS_OUTPUT)]
    return _text(
        spec, spec.joiner, what, f"{spec.name}-node", ends, f'{_python(spec)} cluster.raycluster.join "$SANPOSE_START"'
    )


def _text(spec: JobSpec, profile: Profile, what: str, name: str, ends: list[tuple[str, str]], command: str) -> str:
    options = [*_asked(profile, name), *ends, *profile.extra.items()]
    return _TEXT.format(
        what=what,
        options="\n".join(
            f"#SBATCH --{option}" if value == "" else _option(option, value) for option, value in options
        ),
        setup="".join(f"{line}\n" for line in profile.setup),
        exports="\n".join(f"export {variable}={shlex.quote(value)}" for variable, value in _exports(spec, profile)),
        cwd=shlex.quote(str(spec.cwd)),
        command=command,
    )


def _python(spec: JobSpec) -> str:
    return f"{shlex.quote(spec.python)} -u -P -m"


def _asked(profile: Profile, name: str) -> list[tuple[str, str]]:
    """Names and values of sbatch's options that say which machines; an empty value makes a flag."""
    gpus = ":".join(filter(None, ("gpu", profile.gpu_type, str(profile.gpus_per_node))))
    wanted = [
        ("partition", profile.partition),
        ("account", profile.account),
        ("qos", profile.qos),
        ("gres", gpus if profile.gpus_per_node else ""),
        ("cpus-per-task", str(profile.cpus_per_node or "")),
        ("mem", profile.memory_per_node),
        ("constraint", profile.constraint),
        ("mail-user", profile.mail_user),
        ("mail-type", ",".join(profile.mail_events)),
    ]
    flags = [("exclusive", profile.exclusive), ("no-kill", profile.no_kill)]
    return [
        ("job-name", name),
        ("nodes", str(profile.nodes)),
        ("ntasks-per-node", "1"),
        *[(option, value) for option, value in wanted if value],
        ("time", profile.time),
        *[(option, "") for option, asked in flags if asked],
    ]


def _output(spec: JobSpec, name: str) -> list[tuple[str, str]]:
    return [("output", str(spec.folder / name)), ("open-mode", "append"), ("export", "ALL")]


def _exports(spec: JobSpec, profile: Profile) -> list[tuple[str, str]]:
    wanted = [
        ("PYTHONPATH", str(spec.snapshot or "")),
        ("SANPOSE_CONTAINER", shlex.join(profile.container)),
        ("SANPOSE_PYTHON", profile.python),
        ("SANPOSE_NODE_LOCAL", profile.node_local),
    ]
    return [(variable, value) for variable, value in wanted if value]


def _option(name: str, value: str) -> str:
    """Double quotes where sbatch would end the value: at a blank, a quote, or what begins a comment."""
    if re.fullmatch(r"[\w@%+=:,./-]+", value):
        return f"#SBATCH --{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'#SBATCH --{name}="{escaped}"'
