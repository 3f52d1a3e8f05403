"""A small sweep for the tests, and what its runs have left."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.console import Console

from sanpose.runs import journal, ledger
from sanpose.runs.paths import RunPaths

QUIET = Console(quiet=True)

DELTAS = {"title": "delta", "fixed": ["ablation=c"], "axes": {"model.delta_init": [0.0, 0.5]}}

SHORT = ("train.epochs=3", "eval.sets=[h36m]", "eval.every=1")


def definition(folder: Path, content: object = DELTAS, name: str = "deltas") -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return f"sweep={folder / name}.yaml"


def lines(folder: Path) -> list[dict]:
    lines = [
        line for line in journal.read(RunPaths(folder).journal) if line["kind"] in ("epoch", "evaluation", "final")
    ]
    assert lines
    return lines


def records(runs: Path) -> dict[str, ledger.RunRecord]:
    found, broken = ledger.read_all(runs)
    assert broken == []
    return {r.id: r for r in found}
