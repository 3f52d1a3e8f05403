"""What `sanpose submit` asks for, composed and checked before Slurm hears of it: a training or a sweep, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.slurm import jobs, profiles
from cluster.slurm.spec import Profile, megabytes
from sanpose.config.compose import compose, configs_dir
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.runs import lookup
from sanpose.runs.identity import identify
from sanpose.training.run import require_resumable, resume_config
from sanpose.tuning import sweep as sweeping

_HEAD_CPUS, _HEAD_MEMORY = 4, "8G"  # of a job that only minds a sweep


@dataclass(frozen=True)
class SubmissionRequest:
    """What a person wants to be run. target: the run's id or the sweep's name. overrides: as given; words: the same for
    the job's command, with absolute paths. file: a sweep's own definition, which is copied. joiner: the profile of
    nodes that may join a sweep, `most` of them. done: why nothing is to be submitted, or None."""

    kind: str
    target: str
    runs: Path
    overrides: tuple[str, ...]
    words: tuple[str, ...]
    file: Path | None
    profile: Profile
    joiner: Profile | None = None
    most: int = 0
    done: str | None = None

    @property
    def folder(self) -> Path:
        return jobs.folder_of(self.runs, self.target)


def read(kind: str, arguments: Sequence[str], options: Sequence[str] = ()) -> SubmissionRequest:
    """What `sanpose submit KIND ARGUMENTS` asks for; options: of `sanpose tune`, passed on.

    Raises UserError as `sanpose train` and `sanpose tune` do for the same arguments, ClusterError for the cluster's.
    """
    chosen = [a for a in arguments if a.startswith(("cluster.", "cluster="))]
    elastic = [a for a in arguments if a.startswith("elastic.")]
    rest = tuple(a for a in arguments if a not in (*chosen, *elastic))
    profile = _profile(_last(chosen, "cluster"), [a for a in chosen if a.startswith("cluster.")])
    if kind == "train":
        if elastic:
            raise UserError(f"'{elastic[0]}' is for sweeps: nodes cannot join a training", hint="cluster.nodes=N")
        return _train(profile, rest)
    if not elastic:
        return _tune(profile, rest, options)
    head, joiner, most = _elastic(profile, elastic)
    asked = _tune(dataclasses.replace(profile, nodes=most), rest, options)
    return dataclasses.replace(asked, profile=head, joiner=joiner, most=most)


def _profile(name: str, overrides: Sequence[str] = ()) -> Profile:
    return profiles.read(name, configs_dir() / "cluster", overrides)


def _last(arguments: Sequence[str], key: str) -> str:
    return next((a.partition("=")[2] for a in reversed(arguments) if a.startswith(f"{key}=")), "")


def _elastic(profile: Profile, elastic: Sequence[str]) -> tuple[Profile, Profile, int]:
    """A small head job, the nodes that join its cluster and leave it, and how many these may be."""
    strange = [a for a in elastic if a.partition("=")[0] not in ("elastic.max_nodes", "elastic.head")]
    most, head = _last(elastic, "elastic.max_nodes"), _last(elastic, "elastic.head")
    if strange or not most.isdecimal() or int(most) < 1:
        raise UserError(
            f"'{(strange or elastic)[0]}' cannot be used", expected="elastic.max_nodes=1, 2, ...; elastic.head=NAME"
        )
    if profile.name == profiles.LOCAL:
        raise UserError("no nodes can join a sweep that runs here", where="cluster=local", hint="cluster=NAME")
    joiner = dataclasses.replace(profile, nodes=1, no_kill=False, mail_user="", mail_events=())
    return _profile(head) if head else _small(profile), joiner, int(most)


def _small(profile: Profile) -> Profile:
    """The same kind of node for a job that only minds others."""
    memory = profile.memory_per_node
    return dataclasses.replace(
        profile,
        nodes=1,
        gpus_per_node=0,
        gpu_type="",
        cpus_per_node=min(profile.cpus_per_node or _HEAD_CPUS, _HEAD_CPUS),
        memory_per_node=_HEAD_MEMORY if memory == "0" or megabytes(memory) > megabytes(_HEAD_MEMORY) else memory,
        exclusive=False,
    )


def _train(profile: Profile, overrides: tuple[str, ...]) -> SubmissionRequest:
    given = dict(o.split("=", 1) for o in overrides if o.startswith(("resume=", "runs=")))
    rest = [o for o in overrides if not o.startswith(("resume=", "runs="))]
    runs = Path(given.get("runs", "runs")).absolute()
    if "resume" in given:
        resumed, config = resume_config(runs, given["resume"], rest)
        rest = [f"resume={resumed}", *rest]
    else:
        config = compose(rest)
    _refuse_misfit(config, profile)
    identified = identify(config)
    run = identified.id
    if "resume" in given:
        require_resumable(resumed, identified)
    before = lookup.recorded(runs / run)
    done = f"run {run} is done already: {runs / run}" if before and before.status == "done" else None
    return SubmissionRequest("train", run, runs, overrides, (*rest, f"runs={runs}"), None, profile, done=done)


def _tune(profile: Profile, overrides: tuple[str, ...], options: Sequence[str]) -> SubmissionRequest:
    asked = sweeping.read(overrides)
    _refuse_misfit(asked.checked.configs[0], profile)
    runs = asked.runs.absolute()
    given = _last(overrides, "sweep")
    file = Path(given).absolute() if given.endswith((".yaml", ".yml")) else None
    own = jobs.folder_of(runs, asked.name) / file.name if file else None
    words = [f"sweep={own}" if own and o.startswith("sweep=") else o for o in overrides if not o.startswith("runs=")]
    return SubmissionRequest("tune", asked.name, runs, overrides, (*words, f"runs={runs}", *options), file, profile)


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
