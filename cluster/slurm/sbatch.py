"""The text of a job's script: a pure function of the job. `--dry-run` prints the same text that Slurm gets."""

from __future__ import annotations

import re
import shlex

from cluster.slurm.spec import JobSpec, Profile

OUTPUT = "job.out"
JOINERS_OUTPUT = "joiners.out"
JOINER = "joiner.sbatch"  # the script of the joiners, in the job's folder
SUBMITIT = "submitit"  # the folder of submitit's own files, in the job's folder

_TEXT = """\
#!/bin/bash
# {header}
{options}

# A warning signal that comes before Python can handle it must not end the job.
trap '' USR1 USR2
set -e
trap 'echo "the job script failed with code $?: $BASH_COMMAND" >&2' ERR
{setup}
{exports}
cd {cwd}
exec {command}
"""


def sbatch_text(spec: JobSpec) -> str:
    """The whole script of a job, for bash and sbatch."""
    profile = spec.profile
    own_options = [
        ("signal", f"B:USR1@{profile.warning_seconds}"),
        ("requeue" if profile.requeue else "no-requeue", ""),
    ]
    command = (
        f"env SUBMITIT_EXECUTOR=slurm {_python(spec)} submitit.core._submit {shlex.quote(str(spec.folder / SUBMITIT))}"
    )
    header = f"Job {spec.name}. Written by cluster/slurm/sbatch.py and submitted through submitit."
    return _text(spec, profile, header, spec.name, [*own_options, *_output(spec, OUTPUT)], command)


def joiner_text(spec: JobSpec) -> str:
    """The whole script of a joiner, which lends its node to the job's Ray cluster. The launcher submits the script when
    the job needs a node; a joiner is not requeued but submitted again."""
    assert spec.joiner
    header = f"A node for job {spec.name}. Written by cluster/slurm/sbatch.py."
    own_options = [("no-requeue", ""), *_output(spec, JOINERS_OUTPUT)]
    return _text(
        spec,
        spec.joiner,
        header,
        f"{spec.name}-node",
        own_options,
        f'{_python(spec)} cluster.join "$SANPOSE_START"',
    )


def _text(
    spec: JobSpec, profile: Profile, header: str, name: str, own_options: list[tuple[str, str]], command: str
) -> str:
    options = [*_resources(profile, name), *own_options, *profile.extra.items()]
    return _TEXT.format(
        header=header,
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


def _resources(profile: Profile, name: str) -> list[tuple[str, str]]:
    """The sbatch options that choose machines, by name and value; an empty value makes a flag."""
    gpus = ":".join(filter(None, ("gpu", profile.gpu_type, str(profile.gpus_per_node))))
    choices = [
        ("partition", profile.partition),
        ("account", profile.account),
        ("qos", profile.qos),
        ("gres", gpus if profile.gpus_per_node else ""),
        ("cpus-per-task", str(profile.cpus_per_node or "")),
        ("mem", profile.memory_per_node),
        ("mem-per-cpu", profile.memory_per_cpu),
        ("constraint", profile.constraint),
        ("mail-user", profile.mail_user),
        ("mail-type", ",".join(profile.mail_events)),
    ]
    flags = [("exclusive", profile.exclusive), ("no-kill", profile.no_kill)]
    return [
        ("job-name", name),
        ("nodes", str(profile.nodes)),
        ("ntasks-per-node", "1"),
        *[(option, value) for option, value in choices if value],
        ("time", profile.time),
        *[(option, "") for option, is_set in flags if is_set],
    ]


def _output(spec: JobSpec, name: str) -> list[tuple[str, str]]:
    return [("output", str(spec.folder / name)), ("open-mode", "append"), ("export", "ALL")]


def _exports(spec: JobSpec, profile: Profile) -> list[tuple[str, str]]:
    variables = [
        ("PYTHONPATH", str(spec.snapshot or "")),
        ("SANPOSE_CONTAINER", shlex.join(profile.container)),
        ("SANPOSE_PYTHON", profile.python),
        ("SANPOSE_NODE_LOCAL", profile.node_local),
    ]
    return [(name, value) for name, value in variables if value]


def _option(name: str, value: str) -> str:
    """An #SBATCH line; in double quotes where sbatch would end the value: at a blank, a quote, or a comment sign."""
    if re.fullmatch(r"[\w@%+=:,./-]+", value):
        return f"#SBATCH --{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'#SBATCH --{name}="{escaped}"'
