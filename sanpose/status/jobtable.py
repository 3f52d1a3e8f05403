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
    """Those that live first; of those that have ended the last SHOWN submitted, unless `everything`."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=name not in ("state", "nodes"), overflow="fold")
    by_stage = {stage: [job for job in jobs if job.stage == stage] for stage in STATES}
    ended = by_stage["ended"]
    by_stage["ended"] = ended if everything else ended[:SHOWN]
    for found in by_stage.values():
        for job in found:
            table.add_row(*_cells(job))
    parts: list[RenderableType] = [Text("jobs", "bold"), table]
    if len(ended) > len(by_stage["ended"]):
        parts.append(Text(f"and {len(ended) - SHOWN} more that have ended; --all shows them", "dim"))
    return Group(*parts, Text())


def _cells(job: JobState) -> list[Text]:
    record, told = job.record, job.told
    failed = "bold red" if job.stage == "ended" else _STYLES[job.stage]
    state = Text(job.state, _WORDS.get(job.state, failed))
    if told and told.reason:
        state.append(f": {clean(told.reason)}", "default")
    what = f"{'run' if record.kind == 'train' else 'sweep'} {record.target}"
    submitted = record.submitted[:16].replace("T", " ")
    told_texts = (told.elapsed, told.nodes) if told else ("", "")
    texts = [record.job_id or "", record.cluster, what]
    return [*map(_text, texts), state, *map(_text, told_texts), _text(job.recorded), _text(submitted)]


def _text(text: str) -> Text:
    return Text(clean(text))
