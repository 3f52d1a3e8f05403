"""Jobs as a table in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sanpose.status.jobs import STATES, JobState
from sanpose.status.terminal import SHOWN, clean

_STYLES = {"running": "cyan", "waiting": "dim", "unknown": "yellow", "ended": "default"}
_WORDS = {"done": "green", "cancelled": "yellow", "preempted": "yellow", "timed out": "yellow", "here": "dim"}
_COLUMNS = ("job", "cluster", "for", "state", "elapsed", "nodes", "recorded as", "submitted")


def to_terminal(jobs: Sequence[JobState], *, everything: bool = False) -> RenderableType:
    """A table of jobs, living jobs first, then the SHOWN jobs submitted last that have ended, or all with
    `everything`."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=name not in ("state", "nodes"), overflow="fold")
    by_stage = {stage: [job for job in jobs if job.stage == stage] for stage in STATES}
    ended = by_stage["ended"]
    by_stage["ended"] = ended if everything else ended[:SHOWN]
    for group in by_stage.values():
        for job in group:
            table.add_row(*_cells(job))
    parts: list[RenderableType] = [Text("jobs", "bold"), table]
    if len(ended) > len(by_stage["ended"]):
        parts.append(Text(f"and {len(ended) - SHOWN} more ended jobs; --all shows them", "dim"))
    return Group(*parts, Text())


def _cells(job: JobState) -> list[Text]:
    record, status = job.record, job.status
    failed = "bold red" if job.stage == "ended" else _STYLES[job.stage]
    state = Text(job.state, _WORDS.get(job.state, failed))
    if status and status.reason:
        state.append(f": {clean(status.reason)}", "default")
    target = f"{'run' if record.kind == 'train' else 'sweep'} {record.target}"
    elapsed, nodes = (status.elapsed, status.nodes) if status else ("", "")
    before = [record.job_id or "", record.cluster, target]
    after = [elapsed, nodes, job.recorded, record.submitted[:16].replace("T", " ")]
    return [*map(_text, before), state, *map(_text, after)]


def _text(text: str) -> Text:
    return Text(clean(text))
