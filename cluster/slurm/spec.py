"""What is asked of Slurm: a profile (which machines, for how long) and a job (which command, where). Values only.

Both are checked when they are made. Knows what `sbatch` takes; neither reads a file nor asks Slurm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import ClusterError

LEAST_WORK_SECONDS = 120  # Slurm warns up to 60 s early, and a job needs time to begin
_MOST_WARNING_SECONDS = 65535  # the largest number that --signal takes
_EVENTS = (
    "NONE", "BEGIN", "END", "FAIL", "REQUEUE", "INVALID_DEPEND", "STAGE_OUT", "ALL",
    "TIME_LIMIT", "TIME_LIMIT_50", "TIME_LIMIT_80", "TIME_LIMIT_90",
)  # fmt: skip
_OWN_OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "nodes": "nodes", "gres": "gpus_per_node",
    "gpus": "gpus_per_node", "gpus-per-node": "gpus_per_node", "cpus-per-task": "cpus_per_node", "time": "time",
    "mem": "memory_per_node", "mem-per-cpu": "memory_per_node", "constraint": "constraint", "exclusive": "exclusive",
    "mail-user": "mail_user", "mail-type": "mail_events", "signal": "warning_seconds", "requeue": "requeue",
    "no-requeue": "requeue", "no-kill": "no_kill", "job-name": None, "output": None, "error": None, "open-mode": None,
    "export": None, "export-file": None, "get-user-env": None, "ntasks": None, "ntasks-per-node": None, "array": None,
    "wrap": None, "chdir": None, "parsable": None, "wait": None, "test-only": None,
}  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """Which machines a job gets. Empty text, 0 and empty lists mean: not asked for.

    memory_per_node: such as 64G, or 0 for all of a node. time: H:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS. container: the
    command that every process of Ray and of the job is put behind, such as `apptainer exec --nv image.sif`; the
    launcher itself runs outside, where Slurm's commands are. python: the Python in there, or the one that submits.
    setup: lines of bash on the first node, whose environment all nodes get. warning_seconds: how long before the time
    limit the job is told. requeue: whether Slurm may start the job anew after preemption, a lost node, or the time
    limit. no_kill: the job lives on when a node is lost. node_local: a folder on each node's own disk. extra: further
    options of sbatch, by their long names; an empty value makes a flag.

    Raises ClusterError for a value that cannot be used.
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
                    f"{key}={shown} cannot be used", where=f"cluster profile {self.name}", expected=expected
                )
        self._check_time()
        self._check_extra()

    @property
    def seconds(self) -> int:
        """The time limit in seconds."""
        return seconds_of(self.time)

    def _check_time(self) -> None:
        where = f"cluster profile {self.name}"
        if re.fullmatch(r"\d+(:\d+)?", self.time):
            raise ClusterError(
                f"time={self.time} is {'minutes and seconds' if ':' in self.time else 'minutes'} to Slurm, "
                "and hours to many people",
                where=where,
                expected="H:MM:SS or D-HH:MM:SS",
                hint=f"time={self.time}:00" if ":" in self.time else f"time={self.time}:00:00",
            )
        least = self.warning_seconds + LEAST_WORK_SECONDS
        if self.seconds < least:
            raise ClusterError(
                f"time={self.time} is too short: the job is told {self.warning_seconds} s before its end, to write a "
                "checkpoint, and must have begun by then",
                where=where,
                expected=f"at least {clock(least)}",
                hint="a longer time, or a smaller warning_seconds",
            )

    def _check_extra(self) -> None:
        for option, value in self.extra.items():
            where = f"cluster profile {self.name}, extra.{option}"
            if option in _OWN_OPTIONS:
                key = _OWN_OPTIONS[option]
                hint = f"the profile's key {key}" if key else "leave it out"
                raise ClusterError(f"--{option} is set by the profile itself", where=where, hint=hint)
            if not re.fullmatch(r"[a-z][a-z0-9-]*", option) or not _one_line(value):
                raise ClusterError(
                    "this is no option of sbatch", where=where, expected="a long name, such as reservation"
                )


@dataclass(frozen=True)
class JobSpec:
    """One job, ready to be submitted. Paths are absolute, and seen by every node.

    name: also of the job's folder. command: what the launcher runs when the Ray cluster stands. cwd: where. snapshot:
    the folder that the code is imported from, None for the installed one. python: runs the launcher. joiner: the
    profile of further jobs, of one node each, that may join the Ray cluster, `most` of them at once.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    cwd: Path
    profile: Profile
    snapshot: Path | None
    python: str
    joiner: Profile | None = None
    most: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise ClusterError(f"'{self.name}' cannot name a job", expected="up to 100 letters, digits, . _ and -")
        if not self.command:
            raise ClusterError("the job has no command", where=self.name)
        if (self.most > 0) != (self.joiner is not None):
            raise ClusterError("how many nodes may join, and which, belong together", where=self.name)
        for path in (self.folder, self.cwd, *([self.snapshot] if self.snapshot else [])):
            if not path.is_absolute():
                raise ClusterError("this path is relative, and a job stands elsewhere", where=path)
            if not str(path).isprintable() or set(str(path)) & {"\\", "%"}:
                raise ClusterError(
                    "Slurm would change this path", where=repr(str(path)), expected="no control characters, \\ or %"
                )
        if any("\0" in word for word in self.command):
            raise ClusterError("the command holds a null character", where=self.name)


def seconds_of(text: str) -> int:
    """Seconds of a time in one of Slurm's forms: M, M:SS, H:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS. Raises ValueError."""
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
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
    """Megabytes of a memory size such as 512M, 64G or 1T, 0 where none is given."""
    match = re.fullmatch(r"(\d+)([MGT])B?", text)
    return int(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2]] if match else 0


def _one_line(text: str) -> bool:
    return text == "" or text.isprintable()


def _words(key: str, pattern: str) -> Callable[[Profile], bool]:
    return lambda profile: re.fullmatch(f"({pattern})?", getattr(profile, key)) is not None


_NAME = r"[\w.@:+-]+"
_Rule = tuple[str, Callable[[Profile], bool], str]
_RULES: tuple[_Rule, ...] = (
    ("partition", _words("partition", f"{_NAME}(,{_NAME})*"), "the name of a partition, as `sinfo` shows it"),
    ("account", _words("account", _NAME), "an account of yours"),
    ("qos", _words("qos", _NAME), "a quality of service of yours"),
    ("nodes", lambda p: p.nodes >= 1, "1 or more"),
    ("gpus_per_node", lambda p: p.gpus_per_node >= 0, "0 or more"),
    ("gpu_type", _words("gpu_type", _NAME), "a type of GPU, as `sinfo -o %G` shows it"),
    ("gpu_type", lambda p: not p.gpu_type or p.gpus_per_node > 0, "gpus_per_node above 0 beside it"),
    ("cpus_per_node", lambda p: p.cpus_per_node >= (0 if p.exclusive else 1), "1 or more (0 with exclusive=true)"),
    ("memory_per_node", _words("memory_per_node", r"0|\d+[MGT]B?"), "such as 64G; 0 for all of a node"),
    ("time", _words("time", r"\d+(:\d+)?|\d+:\d\d:\d\d|\d+-\d+(:\d\d){0,2}"), "H:MM:SS or D-HH:MM:SS"),
    ("time", lambda p: bool(p.time), "H:MM:SS or D-HH:MM:SS"),
    ("constraint", lambda p: _one_line(p.constraint), "features, as `sinfo -o %f` shows them"),
    ("container", lambda p: all(map(_one_line, p.container)), "a command, such as apptainer exec --nv image.sif"),
    ("python", lambda p: _one_line(p.python), "the path of a Python"),
    ("setup", lambda p: all("\0" not in line for line in p.setup), "lines of bash"),
    ("mail_user", _words("mail_user", r"[\w.@+-]+"), "an address"),
    ("mail_events", lambda p: set(p.mail_events) <= set(_EVENTS), ", ".join(_EVENTS)),
    ("mail_events", lambda p: bool(p.mail_user) or not p.mail_events, "mail_user beside it"),
    ("warning_seconds", lambda p: 1 <= p.warning_seconds <= _MOST_WARNING_SECONDS, f"1 to {_MOST_WARNING_SECONDS}"),
    ("node_local", lambda p: Path(p.node_local).is_absolute() and p.node_local.isprintable(), "an absolute path"),
)
