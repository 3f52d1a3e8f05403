"""The paper's Table 1 beside our runs of its seven cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanpose.report import paper
from sanpose.report.selection.runs import RUNS, CellRuns, difference, ids, listed, preset, protocol_of, state
from sanpose.report.table import Cell, Column, Table
from sanpose.runs.ledger import Broken, RunRecord

_BROKEN = 12  # broken records that are named below the table; all of them have a table of their own
COLUMNS = (
    Column("cell", "Cell"),
    Column("network", "Network"),
    Column("input", "Input (px)"),
    Column("data_2d", "2D data"),
    Column("san", "SAN"),
    Column("flip_test", "Flip test"),
    Column("paper_mm", "Paper", "low"),
    Column("ours_mm", "Ours", "low"),
    Column("difference_mm", "Diff.", signed=True),
    Column("untrained_mm", "Untrained"),
    Column("mean_pose_mm", "Mean pose"),
    Column("seeds", "Seeds", digits=0),
    Column("status", "Status"),
    Column("preset", "Preset", machine_only=True),
    RUNS,
)
_NOTES = (
    "MPJPE in mm, lower is better; ours is the mean over all test frames. Over several seeds: mean ± sample standard"
    " deviation. Best in bold, second underlined, among values of the same kind.",
    "'A → B': the paper has A, our run has B in its place. Untrained: the same network before training. Mean pose: the"
    " training set's mean pose as the answer to every image.",
    "The paper's text credits 3.3 mm to {e, f}; by the table's numbers that is the step from e to g. Its section 3.5"
    " names ResNet-50 twice where 50 and 152 are meant, and gives 72×72 heat maps where a 288×384 input makes 72×96.",
    "A run stands for a cell by its settings, at its preset's scale, whatever sweep it comes from; runs that differ in"
    " more than the seed are never averaged.",
)


def table1(cells: Sequence[CellRuns], others: Sequence[RunRecord], broken: Sequence[Broken], config_dir: Path) -> Table:
    """Table 1 (ablation, MPJPE in mm): every cell of the paper, whatever became of our runs of it.

    others: the runs that stand for no cell; they and the broken records are named below the table.
    """
    ours = {cell.letter: cell for cell in cells}
    rows = [
        _row(row, ours.get(row["method"], CellRuns(row["method"]))) for row in paper.rows(config_dir, paper.ABLATION)
    ]
    notes = [*_NOTES, *_presets(cells), *_unlearned(cells), *protocol_notes(cells, "h36m"), *_left_out(cells)]
    notes += _changed(cells)
    notes += [
        f"Cell {c.letter}'s runs bear its name, but are not the cell as defined: {', '.join(c.strays)}."
        for c in cells
        if c.strays
    ]
    notes += [f"Runs that stand for no cell: {listed(f'{r.id} ({state(r)})' for r in others)}."] if others else []
    notes += [f"Broken record: {entry.path}: {entry.reason}" for entry in broken[:_BROKEN]]
    notes += (
        [f"{len(broken) - _BROKEN:,} more records are broken; table 'broken' names them all."]
        if len(broken) > _BROKEN
        else []
    )
    return Table(
        "table1", "Table 1. Ablation on Human3.6M, protocol #1: MPJPE (mm)", COLUMNS, tuple(rows), tuple(notes)
    )


def protocol_notes(cells: Sequence[CellRuns], dataset: str) -> list[str]:
    """How our figures of a data set were measured, once for all the cells that share it."""
    texts: dict[str, list[str]] = {}
    for cell in cells:
        for text in dict.fromkeys(filter(None, (protocol_of(run, dataset) for run in cell.done))):
            texts.setdefault(text, []).append(cell.letter)
    return [f"Measured, {'cells' if len(who) > 1 else 'cell'} {', '.join(who)}: {text}" for text, who in texts.items()]


def _presets(cells: Sequence[CellRuns]) -> list[str]:
    """That the cells shown are of several presets, where they are."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if cell.runs:
            found.setdefault(preset(cell.config) or "none", []).append(cell.letter)
    if len(found) < 2:
        return []
    told = "; ".join(f"{', '.join(letters)}: {name}" for name, letters in found.items())
    return [f"The cells' runs are of different presets ({told}), between which figures cannot be compared."]


def _unlearned(cells: Sequence[CellRuns]) -> list[str]:
    """The cells that have learned less than a training must: their figures say nothing of the choices."""
    low = []
    for cell in cells:
        names = ("mpjpe", "mean_over_frames"), ("untrained_mpjpe",), ("mean_pose_mpjpe",)
        ours, untrained, mean_pose = (cell.figure("h36m", *name).value for name in names)
        if isinstance(ours, float) and (_more(ours, untrained, 0.5) or _more(ours, mean_pose, 1.0)):
            low.append(cell.letter)
    who = f"{'Cells' if len(low) > 1 else 'Cell'} {', '.join(low)}"
    return [f"{who}: not half the error of the untrained network, or no better than the mean pose."] if low else []


def _more(ours: float, other: object, share: float) -> bool:
    return isinstance(other, float) and ours > share * other


def _changed(cells: Sequence[CellRuns]) -> list[str]:
    """In what the cells shown were trained otherwise than their preset as shipped, once for those that share it."""
    texts: dict[str, list[str]] = {}
    for cell in cells:
        if cell.changes:
            told = f"trained otherwise than preset {preset(cell.config)} as shipped: {', '.join(cell.changes)}."
            texts.setdefault(told, []).append(cell.letter)
    return [f"{'Cells' if len(who) > 1 else 'Cell'} {', '.join(who)}: {text}" for text, who in texts.items()]


def _left_out(cells: Sequence[CellRuns]) -> list[str]:
    return [
        f"Cell {cell.letter} also has runs of another configuration, not in its row: "
        + listed(f"{run.id} ({preset(run.config) or 'no preset'}, {state(run)})" for run in cell.others)
        + "."
        for cell in cells
        if cell.others
    ]


def _row(published: Mapping[str, str], cell: CellRuns) -> dict[str, Cell]:
    reference = paper.number(published["mpjpe_mm"], paper.ABLATION)
    ours = cell.figure("h36m", "mpjpe", "mean_over_frames")
    lacking = "" if ours.value is not None or not cell.done else ", " + _unmeasured(cell)
    return {
        "cell": Cell(published["method"]),
        **{key: Cell(text) for key, text in _settings(published, cell.config).items()},
        "paper_mm": Cell(reference, rank="paper"),
        "ours_mm": ours,
        "difference_mm": difference(ours, reference),
        "untrained_mm": cell.figure("h36m", "untrained_mpjpe"),
        "mean_pose_mm": cell.figure("h36m", "mean_pose_mpjpe"),
        "seeds": Cell(cell.measured("h36m", "mpjpe", "mean_over_frames")),
        "status": Cell(f"{cell.status}{lacking}"),
        "preset": Cell(preset(cell.config) or None),
        RUNS.key: ids(cell.runs),
    }


def _unmeasured(cell: CellRuns) -> str:
    return (
        "its MPJPE is not a number" if any("h36m" in run.metrics for run in cell.done) else "not evaluated on Human3.6M"
    )


def _settings(published: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    there = {
        "network": network(published["backbone"], 1.0),
        "input": f"{published['input_width']}×{published['input_height']}",
        "data_2d": _sources(published["data_2d"].split("+")),
        "san": published["san"],
        "flip_test": published["flip_test"],
    }
    if not config:
        return there
    model, data = config["model"], config["data"]
    shares = {name: source["share"] for name, source in data["sources"].items()}
    here = {
        "network": network(model["backbone"], model["width"]),
        "input": f"{data['input_width']}×{data['input_height']}",
        "data_2d": _sources([name for name in ("mpii", "coco") if shares.get(name, 0) > 0]),
        "san": {"none": "no", "position": "yes"}.get(model["attention"], f"yes ({model['attention']})"),
        "flip_test": "yes" if config["eval"]["flip_test"] else "no",
    }
    return {key: text if text == here[key] else f"{text} → {here[key]}" for key, text in there.items()}


def network(backbone: str, width: float) -> str:
    """A backbone's name for people, with its width where that is not 1."""
    return backbone.replace("resnet", "ResNet-") + ("" if width == 1 else f" (width ×{width:g})")


def _sources(names: Sequence[str]) -> str:
    return " + ".join(name.upper() for name in names if name) or "none"


def broken_table(broken: Sequence[Broken]) -> Table:
    """The records that could not be read, and why."""
    columns = (Column("path", "File or folder"), Column("reason", "Reason"))
    rows = tuple({"path": Cell(str(entry.path)), "reason": Cell(entry.reason)} for entry in broken)
    return Table("broken", "Records that could not be read", columns, rows)
