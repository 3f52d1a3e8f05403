"""The figures of a recorded run that a sweep can optimise."""

from __future__ import annotations

from sanpose.metrics.headline import headline
from sanpose.runs import facts
from sanpose.runs.ledger import RunRecord
from sweeps.outcomes import Figures


def figures_of(run: RunRecord) -> Figures:
    """`headline` of a finished run, and its multiply-accumulates."""
    return {**headline(run.metrics), "macs": facts.real(run.extra.get("macs"))}
