"""A request to Slurm: a profile (which machines, for how long) and a job (which command, where). Values only.

Both are checked when they are made. Knows what `sbatch` accepts; does not read files or call Slurm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import ClusterError

LEAST_WORK_SECONDS = 120  # Slurm warns up to 60 s early, and a job needs time to start
_MOST_WARNING_SECONDS = 65535  # the largest number that --signal accepts
_EVENTS = (
    "NONE", "BEGIN", "END", "FAIL", "REQUEUE", "INVALID_DEPEND", "STAGE_OUT", "ALL",
    "TIME_LIMIT", "TIME_LIMIT_50", "TIME_LIMIT_80", "TIME_LIMIT_90",
)  # fmt: skip
_OWN_OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "nodes": "nodes", "gres": "gpus_per_node",
    "gpus": "gpus_per_node", "gpus-per-node": "gpus_per_node", "cpus-per-task": "cpus_per_node", "time": "time",
    "mem": "memory_per_node", "mem-per-cpu": "memory_per_cpu", "constraint": "constraint", "exclusive": "exclusive",
    "mail-user": "mail_user", "mail-type": "mail_events", "signal": "warning_seconds", "requeue": "requeue",
    "no-requeue": "requeue", "no-kill": "no_kill", "job-name": None, "output": None, "error": None, "open-mode": None,
    "export": None, "export-file": None, "get-user-env": None, "ntasks": None, "ntasks-per-node": None, "array": None,
    "wrap": None, "chdir": None, "parsable": None, "wait": None, "test-only": None,
}  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """Which machines a job gets. Empty text, 0 and empty lists mean: not requested.

    memory_per_node: such as 64G, or 0 for all memory of a node. memory_per_cpu: such as 4G, in place of
    memory_per_node, for sites that demand it. time: H:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS. container:
    the command that starts every process of Ray and of the job, such as `apptainer exec --nv image.sif`; the launcher
    itself runs outside the container, where Slurm's commands are. python: the Python in the container; by default the
    Python that submits. setup: lines of bash that run on the first node; all nodes get the resulting environment.
    warning_seconds: how long before the time limit Slurm signals the job. requeue: whether Slurm may restart the job
    after a preemption, a lost node, or the time limit. no_kill: the job continues when a node is lost. node_local: a
    folder on each node's own disk. extra: further options of sbatch, by their long names; an empty value makes a flag.

    Raises ClusterError for an invalid value.
    """

    name: str
    partition: str = ""
    account: str = ""
    qos: str = ""
    nodes: int = 1
    gpus_per_node: int = 0
    gpu_type: str = ""
    cpus_per_node: int = 1
    memory_per_node: str = ""
    memory_per_cpu: str = ""
    time: str = "1:00:00"
    constraint: str = ""
    exclusive: bool = False
    container: tuple[str, ...] = ()
    python: str = ""
    setup: tuple[str, ...] = ()
    mail_user: str = ""
    mail_events: tuple[str, ...] = ()
    warning_seconds: int = 300
    requeue: bool = True
    no_kill: bool = False
    node_local: str = "/tmp"
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, rule, expected in _RULES:
            if not rule(self):
                value = getattr(self, key)
                shown = ", ".join(value) if isinstance(value, tuple) else value
                raise ClusterError(
                    f"{key}={shown} is not valid", where=f"cluster profile {self.name}", expected=expected
                )
        self._check_time()
        self._check_extra()

    @property
    def seconds(self) -> int:
        """The time limit in seconds."""
        return seconds_of(self.time)

    @property
    def megabytes_per_node(self) -> int:
        """The memory of a node in MB; 0 where the profile does not say, or takes all."""
        return megabytes(self.memory_per_node) or megabytes(self.memory_per_cpu) * self.cpus_per_node

    def _check_time(self) -> None:
        where = f"cluster profile {self.name}"
        if re.fullmatch(r"\d+(:\d+)?", self.time):
            raise ClusterError(
                f"time={self.time} is ambiguous: Slurm reads it as "
                f"{'minutes and seconds' if ':' in self.time else 'minutes'}, many people as hours",
                where=where,
                expected="H:MM:SS or D-HH:MM:SS",
                hint=f"time={self.time}:00" if ":" in self.time else f"time={self.time}:00:00",
            )
        least = self.warning_seconds + LEAST_WORK_SECONDS
        if self.seconds < least:
            raise ClusterError(
                f"time={self.time} is too short: Slurm signals the job {self.warning_seconds} s before the time limit "
                "to write a checkpoint, and the job must have started by then",
                where=where,
                expected=f"at least {clock(least)}",
                hint="a longer time, or a smaller warning_seconds",
            )

    def _check_extra(self) -> None:
        for option, value in self.extra.items():
            where = f"cluster profile {self.name}, extra.{option}"
            if option in _OWN_OPTIONS:
                key = _OWN_OPTIONS[option]
                hint = f"the profile's key {key}" if key else f"leave out extra.{option}"
                raise ClusterError(f"the job script already sets --{option}", where=where, hint=hint)
            if not re.fullmatch(r"[a-z][a-z0-9-]*", option) or not _one_line(value):
                raise ClusterError(
                    "this is not an option of sbatch", where=where, expected="a long name, such as reservation"
                )


@dataclass(frozen=True)
class JobSpec:
    """One job, ready to be submitted. Paths are absolute; every node sees them.

    name: also the name of the job's folder. command: what the launcher runs once the Ray cluster is up. cwd: its
    working directory. snapshot: the folder that the code is imported from, None for the installed code. python: runs
    the launcher. joiner: the profile of joiners (further jobs of one node each that may join the Ray cluster), at most
    `max_joiners` of them at once.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    cwd: Path
    profile: Profile
    snapshot: Path | None
    python: str
    joiner: Profile | None = None
    max_joiners: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise ClusterError(
                f"'{self.name}' is not a valid job name", expected="up to 100 letters, digits, . _ and -"
            )
        if not self.command:
            raise ClusterError("the job has no command", where=self.name)
        if (self.max_joiners > 0) != (self.joiner is not None):
            raise ClusterError("the number of joiners and their profile must be set together", where=self.name)
        for path in (self.folder, self.cwd, *([self.snapshot] if self.snapshot else [])):
            if not path.is_absolute():
                raise ClusterError("this path is relative, but a job runs in another directory", where=path)
            if not str(path).isprintable() or set(str(path)) & {"\\", "%"}:
                raise ClusterError(
                    "Slurm would change this path", where=repr(str(path)), expected="no control characters, \\ or %"
                )
        if any("\0" in word for word in self.command):
            raise ClusterError("the command contains a null character", where=self.name)


def seconds_of(text: str) -> int:
    """Seconds of a time in one of Slurm's forms: M, M:SS, H:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS. Raises ValueError."""
    days, dash, clock_text = text.rpartition("-")
    parts = [int(part) for part in clock_text.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    hours, minutes, seconds = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
    return (hours * 60 + minutes) * 60 + seconds


def clock(seconds: int) -> str:
    """Seconds as Slurm's H:MM:SS or D-HH:MM:SS."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02}:{minute:02}:{second:02}" if days else f"{hour}:{minute:02}:{second:02}"


def megabytes(text: str) -> int:
    """Megabytes of a memory size such as 512M, 64G or 1T; 0 for a text without a size."""
    match = re.fullmatch(r"(\d+)([MGT])B?", text)
    return int(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2]] if match else 0


def _one_line(text: str) -> bool:
    return text == "" or text.isprintable()


def _matches(key: str, pattern: str) -> Callable[[Profile], bool]:
    return lambda profile: re.fullmatch(f"({pattern})?", getattr(profile, key)) is not None


_NAME = r"[\w.@:+-]+"
_Rule = tuple[str, Callable[[Profile], bool], str]
_RULES: tuple[_Rule, ...] = (
    ("partition", _matches("partition", f"{_NAME}(,{_NAME})*"), "the name of a partition, as `sinfo` shows it"),
    ("account", _matches("account", _NAME), "one of your accounts"),
    ("qos", _matches("qos", _NAME), "one of your qualities of service"),
    ("nodes", lambda p: p.nodes >= 1, "1 or more"),
    ("gpus_per_node", lambda p: p.gpus_per_node >= 0, "0 or more"),
    ("gpu_type", _matches("gpu_type", _NAME), "a type of GPU, as `sinfo -o %G` shows it"),
    ("gpu_type", lambda p: not p.gpu_type or p.gpus_per_node > 0, "also gpus_per_node above 0"),
    ("cpus_per_node", lambda p: p.cpus_per_node >= (0 if p.exclusive else 1), "1 or more (0 with exclusive=true)"),
    ("memory_per_node", _matches("memory_per_node", r"0|\d+[MGT]B?"), "such as 64G; 0 for all memory of a node"),
    ("memory_per_cpu", _matches("memory_per_cpu", r"\d+[MGT]B?"), "such as 4G"),
    (
        "memory_per_cpu",
        lambda p: not (p.memory_per_cpu and p.memory_per_node),
        'memory_per_cpu or memory_per_node, not both: the other one empty (memory_per_node: "")',
    ),
    ("time", _matches("time", r"\d+(:\d+)?|\d+:\d\d:\d\d|\d+-\d+(:\d\d){0,2}"), "H:MM:SS or D-HH:MM:SS"),
    ("time", lambda p: bool(p.time), "H:MM:SS or D-HH:MM:SS"),
    ("constraint", lambda p: _one_line(p.constraint), "features, as `sinfo -o %f` shows them"),
    ("container", lambda p: all(map(_one_line, p.container)), "a command, such as apptainer exec --nv image.sif"),
    ("python", lambda p: _one_line(p.python), "the path of a Python"),
    ("setup", lambda p: all("\0" not in line for line in p.setup), "lines of bash"),
    ("mail_user", _matches("mail_user", r"[\w.@+-]+"), "an e-mail address"),
    ("mail_events", lambda p: set(p.mail_events) <= set(_EVENTS), ", ".join(_EVENTS)),
    ("mail_events", lambda p: bool(p.mail_user) or not p.mail_events, "also mail_user"),
    ("warning_seconds", lambda p: 1 <= p.warning_seconds <= _MOST_WARNING_SECONDS, f"1 to {_MOST_WARNING_SECONDS}"),
    ("node_local", lambda p: Path(p.node_local).is_absolute() and p.node_local.isprintable(), "an absolute path"),
)
