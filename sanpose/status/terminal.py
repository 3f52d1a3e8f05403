"""The state of sweeps and runs as tables in a terminal. Control characters in texts from records are replaced."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sanpose.claims.record import ClaimsRecord
from sanpose.status.states import STATES, RunState, Snapshot, SweepState, counts, seconds_left

FOLDED = ("waiting", "pruned", "done")  # states with at most SHOWN trials in a table, without --all
SHOWN = 20
_REASON = 160  # characters; the record has the whole reason
_STYLES = {
    "running": "cyan", "unverified": "yellow", "stopped": "bold yellow", "failed": "bold red", "broken": "bold red",
    "interrupted": "yellow", "waiting": "dim", "pruned": "magenta", "done": "green", "ended": "green",
    "unknown": "yellow",
}  # fmt: skip
_Row = tuple[str, int | None, RunState]


def to_terminal(snapshot: Snapshot, *, everything: bool = False) -> RenderableType:
    """A line and a table for each sweep, a table of the runs in no sweep, and the broken records.

    Unfinished and failed trials come first; trials of one state are in the order of the plan. A table shows the newest
    SHOWN trials that wait, are pruned or are done, or all of them with `everything`.
    """
    parts: list[RenderableType] = []
    for sweep in snapshot.sweeps:
        rows: list[_Row] = [(trial.point, trial.seed, trial.run) for trial in sweep.trials]
        parts += [_sweep_line(sweep, snapshot.at), *_table(rows, snapshot.at, everything)]
        parts += [*(_claims(sweep.claims) if sweep.claims else ()), Text()]
    if snapshot.loose:
        line = Text.assemble(("runs in no sweep", "bold"), "  ", _counts(counts(run.state for run in snapshot.loose)))
        loose: list[_Row] = [(run.label, run.seed, run) for run in snapshot.loose]
        parts += [line, *_table(loose, snapshot.at, everything), Text()]
    if snapshot.broken:
        parts.append(Text(f"cannot be read ({len(snapshot.broken)}):", "bold red"))
        parts += [Text(f"  {clean(str(b.path))}: {_short(b.reason)}") for b in snapshot.broken]
    if not parts:
        parts.append(Text(f"no runs in {clean(str(snapshot.runs))}"))
    return Group(*parts)


def clean(text: str) -> str:
    """Text on one line, without control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def duration(seconds: float | None) -> str:
    """Seconds as 45 s, 12 min, 3 h 20 min, 2 d 4 h; "" where unknown."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _sweep_line(sweep: SweepState, now: float) -> Text:
    line = Text.assemble((clean(sweep.name), "bold"), "  ")
    if sweep.title != sweep.name:
        line.append(f"{clean(sweep.title)}  ")
    line.append_text(_counts(sweep.counts)).append(f" of {len(sweep.trials) + sweep.to_draw}; ")
    line.append(sweep.state, _STYLES[sweep.state]).append(f" ({clean(sweep.reason)})")
    remaining = seconds_left(sweep.ends_at, now)
    return line if remaining is None else line.append(f"; about {duration(remaining)} left")


def _claims(claims: ClaimsRecord) -> list[RenderableType]:
    """What a sweep with seeds=auto has decided: a line, and a row for each claim."""
    rules = f"at most {claims.auto.max_seeds} seeds, {claims.auto.alpha:g} for all claims together"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("claim", "", "seeds", "difference", "p (Holm)", "state"):
        table.add_column(name, justify="right" if name in ("seeds", "difference", "p (Holm)") else "left")
    for one in claims.claims:
        difference = "" if one.difference is None else f"{one.difference:+.2f}"
        p = "" if one.p_holm is None else f"{one.p_holm:.4f}"
        texts = [clean(one.step), clean(one.choice), str(one.seeds), difference, p]
        table.add_row(*map(Text, texts), Text(one.text, _DECIDED.get(one.state, "")))
    return [Text.assemble((claims.summary, "bold"), (f" ({rules})", "dim")), table]


_DECIDED = {"better": "green", "worse": "magenta", "open": "cyan"}


def _counts(numbers: dict[str, int]) -> Text:
    return Text(", ").join(Text(f"{number} {state}", _STYLES[state]) for state, number in numbers.items())


def _table(rows: Sequence[_Row], now: float, everything: bool) -> list[RenderableType]:
    shown: list[_Row] = []
    hidden: dict[str, int] = {}
    for state in STATES:
        same = [row for row in rows if row[2].state == state]
        limit = SHOWN if state in FOLDED and not everything else len(same)
        newest = sorted(range(len(same)), key=[-(row[2].changed or 0) for row in same].__getitem__)[:limit]
        shown += [same[place] for place in sorted(newest)]
        hidden |= {state: len(same) - limit} if len(same) > limit else {}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=name != "state", overflow="fold")  # type: ignore[arg-type]
    for label, seed, run in shown:
        table.add_row(*_cells(label, seed, run, now))
    if not hidden:
        return [table]
    return [table, Text.assemble("and ", _counts(hidden), " more; --all shows them", style="dim")]


_COLUMNS = (
    ("trial", "left"), ("seed", "right"), ("run", "left"), ("epoch", "right"), ("loss", "right"),
    ("MPJPE mm", "right"), ("delta", "right"), ("images/s", "right"), ("left", "right"), ("changed", "right"),
    ("state", "left"),
)  # fmt: skip


def _cells(label: str, seed: int | None, run: RunState, now: float) -> list[Text]:
    remaining = duration(seconds_left(run.ends_at, now))
    changed = duration(max(0.0, now - run.changed)) + " ago" if run.changed is not None else ""
    texts = [clean(label), "" if seed is None else str(seed), clean(run.id), _epoch(run), _figure(run.loss, ".4f")]
    texts += [_mpjpe(run), _figure(run.delta, "+.4f"), _figure(run.images_per_s, ".1f"), remaining, changed]
    state = Text(run.state, _STYLES[run.state])
    if run.reason:
        state.append(f": {_short(run.reason)}", "default")
    return [*(Text(text) for text in texts), state]


def _epoch(run: RunState) -> str:
    if run.epoch is None:
        return "" if run.epochs is None else f"0/{run.epochs}"
    within = f" {run.step}/{run.steps}" if run.state == "running" and run.step is not None else ""
    return f"{run.epoch}/{run.epochs or '?'}{within}"


def _mpjpe(run: RunState) -> str:
    """The figure, with a mark where it is of the untrained network or of a part of the samples."""
    value = run.figures.get("mpjpe_mm")
    mark = {"untrained": " (untrained)", "evaluation": " (part)"}.get(run.measured or "", "")
    return "" if value is None else f"{value:.1f}{mark}"


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _short(text: str) -> str:
    line = clean(text)
    return line if len(line) <= _REASON else line[: _REASON - 1] + "…"
