"""The paper's Table 1 beside our runs of its seven cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sanpose.metrics.headline import MEAN_POSE_MPJPE, MPJPE, UNTRAINED_MPJPE
from sanpose.model.cost import recorded_network
from sanpose.report import paper
from sanpose.report.selection.runs import RUNS, CellRuns, difference, ids, listed, protocol_of, state
from sanpose.report.table import Cell, Column, Table
from sanpose.runs.facts import preset, real, setting
from sanpose.runs.ledger import Broken, RunRecord

_BROKEN = 12  # broken records that the notes name; the table 'broken' names all
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
    "MPJPE in mm, lower is better; ours is the mean over all test frames. Several seeds: mean ± sample standard"
    " deviation. The best value is bold and the second is underlined, among values of the same kind.",
    "'A → B': the paper has A, our run has B. Untrained: the same network before training. Mean pose: the training"
    " set's mean pose as the prediction for every image.",
    "The paper's text credits 3.3 mm to {e, f}; in the table, 3.3 mm is the step from e to g. Section 3.5 of the paper"
    " names ResNet-50 twice where it means 50 and 152, and gives 72×72 heat maps where a 288×384 input makes 72×96.",
    "A run's settings decide which cell it stands for, at its preset's scale, in whatever sweep it was trained. Runs"
    " that differ in more than the seed are never averaged.",
)


def table1(cells: Sequence[CellRuns], others: Sequence[RunRecord], broken: Sequence[Broken], config_dir: Path) -> Table:
    """Table 1 (ablation, MPJPE in mm): every cell of the paper, whatever the state of its runs.

    others: the runs that stand for no cell; the notes name them and the broken records.
    """
    ours = {cell.letter: cell for cell in cells}
    rows = [
        _row(row, ours.get(row["method"], CellRuns(row["method"]))) for row in paper.rows(config_dir, paper.ABLATION)
    ]
    notes = [*_NOTES, *_presets(cells), *_unlearned(cells), *protocol_notes(cells, "h36m"), *_left_out(cells)]
    notes += _changed(cells)
    notes += [
        f"The runs of cell {c.letter} have its label, but are not the cell as defined: {', '.join(c.mismatches)}."
        for c in cells
        if c.mismatches
    ]
    notes += [f"Runs that stand for no cell: {listed(f'{r.id} ({state(r)})' for r in others)}."] if others else []
    notes += [f"Broken record: {entry.path}: {entry.reason}" for entry in broken[:_BROKEN]]
    notes += (
        [f"{len(broken) - _BROKEN:,} more records are broken; the table 'broken' names all of them."]
        if len(broken) > _BROKEN
        else []
    )
    return Table(
        "table1", "Table 1. Ablation on Human3.6M, protocol #1: MPJPE (mm)", COLUMNS, tuple(rows), tuple(notes)
    )


def protocol_notes(cells: Sequence[CellRuns], dataset: str) -> list[str]:
    """How our figures of a data set were measured, one note for all cells with the same protocol."""
    texts: dict[str, list[str]] = {}
    for cell in cells:
        for text in dict.fromkeys(filter(None, (protocol_of(run, dataset) for run in cell.done))):
            texts.setdefault(text, []).append(cell.letter)
    return [f"Measured, {'cells' if len(who) > 1 else 'cell'} {', '.join(who)}: {text}" for text, who in texts.items()]


def _presets(cells: Sequence[CellRuns]) -> list[str]:
    """A note where the cells' runs are of several presets."""
    presets: dict[str, list[str]] = {}
    for cell in cells:
        if cell.runs:
            presets.setdefault(cell.preset or "none", []).append(cell.letter)
    if len(presets) < 2:
        return []
    text = "; ".join(f"{', '.join(letters)}: {name}" for name, letters in presets.items())
    return [f"The cells' runs are of different presets ({text}); their figures cannot be compared with each other."]


def _unlearned(cells: Sequence[CellRuns]) -> list[str]:
    """The cells that have learned too little for their figures to say anything about the cell's settings."""
    low = []
    for cell in cells:
        ours, untrained, mean_pose = (cell.figure(*path).value for path in (MPJPE, UNTRAINED_MPJPE, MEAN_POSE_MPJPE))
        if isinstance(ours, float) and (_above(ours, untrained, 0.5) or _above(ours, mean_pose, 1.0)):
            low.append(cell.letter)
    letters = f"{'Cells' if len(low) > 1 else 'Cell'} {', '.join(low)}"
    return (
        [f"{letters}: more than half the error of the untrained network, or a larger error than the mean pose."]
        if low
        else []
    )


def _above(ours: float, other: object, share: float) -> bool:
    return isinstance(other, float) and ours > share * other


def _changed(cells: Sequence[CellRuns]) -> list[str]:
    """The training settings of the cells' runs that differ from the shipped preset, one note for equal differences."""
    texts: dict[str, list[str]] = {}
    for cell in cells:
        if cell.changes:
            text = f"trained with other settings than the shipped preset {cell.preset}: {', '.join(cell.changes)}."
            texts.setdefault(text, []).append(cell.letter)
    return [f"{'Cells' if len(who) > 1 else 'Cell'} {', '.join(who)}: {text}" for text, who in texts.items()]


def _left_out(cells: Sequence[CellRuns]) -> list[str]:
    return [
        f"Cell {cell.letter} also has runs of other configurations, which are not in its row: "
        + listed(f"{run.id} ({preset(run.config) or 'no preset'}, {state(run)})" for run in cell.others)
        + "."
        for cell in cells
        if cell.others
    ]


def _row(published: Mapping[str, str], cell: CellRuns) -> dict[str, Cell]:
    reference = paper.number(published["mpjpe_mm"], paper.ABLATION)
    ours = cell.mpjpe
    unmeasured = "" if ours.value is not None or not cell.done else ", " + _unmeasured(cell)
    return {
        "cell": Cell(published["method"]),
        **{key: Cell(text) for key, text in _settings(published, cell.config).items()},
        "paper_mm": Cell(reference, rank="paper"),
        "ours_mm": ours,
        "difference_mm": difference(ours, reference),
        "untrained_mm": cell.figure(*UNTRAINED_MPJPE),
        "mean_pose_mm": cell.figure(*MEAN_POSE_MPJPE),
        "seeds": Cell(cell.measured(*MPJPE)),
        "status": Cell(f"{cell.status}{unmeasured}"),
        "preset": Cell(cell.preset or None),
        RUNS.key: ids(cell.runs),
    }


def _unmeasured(cell: CellRuns) -> str:
    return (
        "its MPJPE is not a number" if any("h36m" in run.metrics for run in cell.done) else "not evaluated on Human3.6M"
    )


def _settings(published: Mapping[str, str], config: Mapping[str, object]) -> dict[str, str]:
    """The settings of a cell as the paper has them, with "→" and our own where they differ."""
    theirs = {
        "network": network_name(published["backbone"], 1.0),
        "input": f"{published['input_width']}×{published['input_height']}",
        "data_2d": _sources(published["data_2d"].split("+")),
        "san": published["san"],
        "flip_test": published["flip_test"],
    }
    network = recorded_network(config)
    if network is None:
        return theirs
    model = network.model
    ours = {
        "network": network_name(model.backbone, model.width, model.stride),
        "input": f"{network.input_width}×{network.input_height}",
        "data_2d": _sources(
            [name for name in ("mpii", "coco") if (real(setting(config, f"data.sources.{name}.share")) or 0) > 0]
        ),
        "san": {"none": "no", "position": "yes"}.get(model.attention, f"yes ({model.attention})"),
        "flip_test": "yes" if setting(config, "eval.flip_test") else "no",
    }
    return {key: text if text == ours[key] else f"{text} → {ours[key]}" for key, text in theirs.items()}


def network_name(backbone: str, width: float, stride: int = 32) -> str:
    """A backbone's name for people, with its width unless the width is 1, and its stride unless the stride is 32."""
    differences = [f"width ×{width:g}"] * (width != 1) + [f"stride {stride}"] * (stride != 32)
    return backbone.replace("resnet", "ResNet-") + (f" ({', '.join(differences)})" if differences else "")


def _sources(names: Sequence[str]) -> str:
    return " + ".join(name.upper() for name in names if name) or "none"


def broken_table(broken: Sequence[Broken]) -> Table:
    """The unreadable records, with the reasons."""
    columns = (Column("path", "File or folder"), Column("reason", "Reason"))
    rows = tuple({"path": Cell(str(entry.path)), "reason": Cell(entry.reason)} for entry in broken)
    return Table("broken", "Records that could not be read", columns, rows)
