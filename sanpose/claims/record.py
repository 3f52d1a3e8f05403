"""The claims of a sweep with seeds=auto on disk: `claims.json` in the sweep's folder, which its driver writes.

    {"schema", "max_seeds", "alpha", "power", "hours", "runs", "fixed_runs", "saved_runs", "saved_hours",
     "claims": [{"step", "choice", "state", "seeds", "difference", "deviation", "p", "p_holm", "more", "text"}]}

What the driver knew when it last saw a result. Statistics come from the runs' records; this file is for people who
watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from sanpose.claims.auto import AutoSeeds
from sweeps.files import BrokenRecord, read_json, to_json, write_atomic

if TYPE_CHECKING:
    from sanpose.claims.progress import Progress

NAME = "claims.json"
SCHEMA = 1


@dataclass(frozen=True)
class ClaimLine:
    """A claim for people, as in `progress.Progress`. `difference`, `deviation`: in the objective's unit."""

    step: str
    choice: str
    state: str
    seeds: int
    difference: float | None
    deviation: float | None
    p: float | None
    p_holm: float | None
    more: int | None

    @property
    def text(self) -> str:
        """The state in a few words."""
        return state_text(self.state, self.more)


def state_text(state: str, more: int | None) -> str:
    """A claim's state in a few words; more: how many seeds it probably needs."""
    if state in ("better", "worse"):
        return f"decided: {state}"
    if state != "open":
        return state
    return "open" if more is None else f"open: about {more} more seed" + ("s" if more > 1 else "")


@dataclass(frozen=True)
class ClaimsRecord:
    """`runs`: started so far; `fixed_runs`: with `max_seeds` for every point; `saved_runs`, `saved_hours`: that the
    settled claims make unnecessary, the hours one after the other (None where no run has a time yet)."""

    auto: AutoSeeds
    claims: tuple[ClaimLine, ...]
    runs: int
    fixed_runs: int
    saved_runs: int
    saved_hours: float | None

    def plain(self) -> dict[str, object]:
        """As in the file, with the text of every claim."""
        own = {name: value for name, value in asdict(self).items() if name not in _NOT_PLAIN}
        return {**self.auto.plain(), **own, "claims": [{**asdict(one), "text": one.text} for one in self.claims]}

    @property
    def summary(self) -> str:
        """All claims in one line."""
        decided = sum(c.state in ("better", "worse") for c in self.claims)
        is_open = sum(c.state == "open" for c in self.claims)
        rest = len(self.claims) - decided - is_open
        parts = [f"{decided} decided", f"{is_open} open", *([f"{rest} ended undecided"] if rest else [])]
        saved = f"{self.saved_runs} of {self.fixed_runs} runs saved"
        return f"claims: {', '.join(parts)}; {saved}{self._saved_time()}"

    def _saved_time(self) -> str:
        if self.saved_hours is None or not self.saved_runs:
            return ""
        minutes = round(self.saved_hours * 60)
        return f", about {minutes} min of training" if minutes < 90 else f", about {self.saved_hours:.1f} h of training"


def line(one: Progress) -> ClaimLine:
    ours = one.ours
    return ClaimLine(
        one.claim.step,
        one.claim.choice,
        one.state,
        one.seeds,
        ours.mean if ours else None,
        ours.deviation if ours else None,
        one.p,
        one.corrected,
        one.more,
    )


def write(folder: Path, content: ClaimsRecord) -> None:
    write_atomic(folder / NAME, to_json({"schema": SCHEMA, **content.plain()}))


def read(folder: Path) -> ClaimsRecord | None:
    """The record in a sweep's folder; None where there is none, or where the file has another form."""
    try:
        content = read_json(folder / NAME)
    except BrokenRecord:
        return None
    lines = content.get("claims")
    if content.get("schema") != SCHEMA or not isinstance(lines, list):
        return None
    claims = [ClaimLine(**_fitting(ClaimLine, one)) for one in lines if _whole(ClaimLine, one)]
    if len(claims) < len(lines) or not _whole(AutoSeeds, content) or not _whole(ClaimsRecord, content, _NOT_PLAIN):
        return None
    auto = AutoSeeds(**_fitting(AutoSeeds, content))
    return ClaimsRecord(auto, tuple(claims), **_fitting(ClaimsRecord, content, _NOT_PLAIN))


_NOT_PLAIN = ("auto", "claims")


def _fitting(kind: type, content: Mapping[str, object], without: Sequence[str] = ()) -> dict[str, Any]:
    return {f.name: content.get(f.name) for f in fields(kind) if f.name not in without}


def _whole(kind: type, content: object, without: Sequence[str] = ()) -> bool:
    """Whether a mapping has a value of the right type for every field of a dataclass."""
    if not isinstance(content, Mapping):
        return False
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in without}
    return all(_fits(content.get(name), hint) for name, hint in hints.items())


def _fits(value: object, hint: object) -> bool:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return True
    return any(isinstance(value, kind) for kind in kinds)
