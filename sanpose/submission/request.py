"""The request of `sanpose submit`: a training or a sweep and its cluster, composed and checked before Slurm sees it.

Does not know how a job is submitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.slurm import jobs, profiles
from cluster.slurm.spec import Profile, megabytes
from sanpose.config.arguments import last_value, split
from sanpose.config.compose import compose, configs_dir
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.runs import lookup
from sanpose.runs.identity import identify
from sanpose.training.run import require_resumable, resume_config
from sanpose.tuning import sweep as sweeping

_HEAD_CPUS, _HEAD_MEMORY, _HEAD_MEMORY_PER_CPU = 4, "8G", "2G"  # of a head job, which only runs the sweep's driver


@dataclass(frozen=True)
class SubmissionRequest:
    """A training or a sweep to submit.

    kind: "train" or "tune". target: the run id or the name of the sweep. overrides: the user's overrides.
    job_arguments: the arguments of the job's command, with absolute paths. sweep_file: the user's own sweep definition,
    which is copied into the job's folder. joiner: the profile of the nodes that may join an elastic sweep, at most
    `max_joiners` of them. done_message: why nothing needs to be submitted, or None.
    """

    kind: str
    target: str
    runs: Path
    overrides: tuple[str, ...]
    job_arguments: tuple[str, ...]
    sweep_file: Path | None
    profile: Profile
    joiner: Profile | None = None
    max_joiners: int = 0
    done_message: str | None = None

    @property
    def folder(self) -> Path:
        return jobs.folder_of(self.runs, self.target)


def read(kind: str, arguments: Sequence[str], options: Sequence[str] = ()) -> SubmissionRequest:
    """The request of `sanpose submit KIND ARGUMENTS`. options: passed on to `sanpose tune`.

    Raises UserError as `sanpose train` and `sanpose tune` do for the same arguments, and ClusterError for the
    arguments of the cluster.
    """
    cluster, others = split(arguments, "cluster")
    settings = [a for a in others if a.startswith("cluster.")]
    elastic = [a for a in others if a.startswith("elastic.")]
    overrides = tuple(a for a in others if a not in (*settings, *elastic))
    profile = _profile(cluster.get("cluster", ""), settings)
    if kind == "train":
        if elastic:
            raise UserError(f"'{elastic[0]}' is for sweeps: nodes cannot join a training", hint="cluster.nodes=N")
        return _train(profile, overrides)
    if not elastic:
        return _tune(profile, overrides, options)
    head, joiner, max_joiners = _elastic(profile, elastic)
    request = _tune(dataclasses.replace(profile, nodes=max_joiners), overrides, options)
    return dataclasses.replace(request, profile=head, joiner=joiner, max_joiners=max_joiners)


def _profile(name: str, overrides: Sequence[str] = ()) -> Profile:
    return profiles.read(name, configs_dir() / "cluster", overrides)


def _elastic(profile: Profile, elastic: Sequence[str]) -> tuple[Profile, Profile, int]:
    """The profiles of the small head job and of the nodes that join its Ray cluster, and the largest number of these
    nodes."""
    values, unknown = split(elastic, "elastic.max_nodes", "elastic.head")
    max_nodes, head = values.get("elastic.max_nodes", ""), values.get("elastic.head")
    if unknown or not max_nodes.isdecimal() or int(max_nodes) < 1:
        raise UserError(
            f"'{(unknown or elastic)[0]}' cannot be used", expected="elastic.max_nodes=1, 2, ...; elastic.head=NAME"
        )
    if profile.name == profiles.LOCAL:
        raise UserError(
            "nodes cannot join a sweep that runs on this machine", where="cluster=local", hint="cluster=NAME"
        )
    joiner = dataclasses.replace(profile, nodes=1, no_kill=False, mail_user="", mail_events=())
    return _profile(head) if head else _small(profile), joiner, int(max_nodes)


def _small(profile: Profile) -> Profile:
    """The same kind of node, with few resources: for a head job."""
    return dataclasses.replace(
        profile,
        nodes=1,
        gpus_per_node=0,
        gpu_type="",
        cpus_per_node=min(profile.cpus_per_node or _HEAD_CPUS, _HEAD_CPUS),
        memory_per_node=_at_most(_HEAD_MEMORY, profile.memory_per_node),
        memory_per_cpu=_at_most(_HEAD_MEMORY_PER_CPU, profile.memory_per_cpu),
        exclusive=False,
    )


def _at_most(largest: str, memory: str) -> str:
    """The profile's own amount of memory, or the largest, where the profile asks for more or for all."""
    return largest if memory == "0" or megabytes(memory) > megabytes(largest) else memory


def _train(profile: Profile, overrides: tuple[str, ...]) -> SubmissionRequest:
    values, others = split(overrides, "resume", "runs")
    runs = Path(values.get("runs", "runs")).absolute()
    resumed = ""
    if "resume" in values:
        resumed, config = resume_config(runs, values["resume"], others)
        others = [f"resume={resumed}", *others]
    else:
        config = compose(others)
    _refuse_misfit(config, profile)
    identified = identify(config)
    if resumed:
        require_resumable(resumed, identified)
    run = identified.id
    record = lookup.recorded(runs / run)
    done = f"run {run} is already done: {runs / run}" if record and record.status == "done" else None
    arguments = (*others, f"runs={runs}")
    return SubmissionRequest("train", run, runs, overrides, arguments, None, profile, done_message=done)


def _tune(profile: Profile, overrides: tuple[str, ...], options: Sequence[str]) -> SubmissionRequest:
    sweep = sweeping.read(overrides)
    _refuse_misfit(sweep.checked.configs[0], profile)
    runs = sweep.runs.absolute()
    name = last_value(overrides, "sweep") or ""
    file = Path(name).absolute() if name.endswith((".yaml", ".yml")) else None
    copy = jobs.folder_of(runs, sweep.name) / file.name if file else None
    others = split(overrides, "runs")[1]
    arguments = [f"sweep={copy}" if copy and o.startswith("sweep=") else o for o in others]
    return SubmissionRequest("tune", sweep.name, runs, overrides, (*arguments, f"runs={runs}", *options), file, profile)


def _refuse_misfit(config: Config, profile: Profile) -> None:
    """Refuse more workers than the job has room for: they would wait for ever."""
    if profile.name == profiles.LOCAL:
        return
    on_gpus = profile.gpus_per_node > 0 and config.train.accelerator != "cpu"
    if config.train.accelerator == "cuda" and not on_gpus:
        raise UserError(
            "train.accelerator=cuda, but the job has no GPUs",
            where=f"cluster profile {profile.name}",
            hint="cluster.gpus_per_node=1",
        )
    places = profile.nodes * (profile.gpus_per_node if on_gpus else profile.cpus_per_node)
    if config.train.workers > places > 0:
        unit = "GPUs" if on_gpus else "CPUs"
        raise UserError(
            f"train.workers={config.train.workers} is more than the job has {unit}: {places} on {profile.nodes} nodes",
            where=f"cluster profile {profile.name}",
            expected=f"at most one worker for each of its {unit}",
            hint=f"train.workers={places}, or more cluster.nodes",
        )
