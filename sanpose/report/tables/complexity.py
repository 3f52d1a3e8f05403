"""The paper's Table 2: what the attention costs, counted for the published network and for those that were run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanpose.config.schema import DataConfig, ModelConfig
from sanpose.model.cost import Cost, cost
from sanpose.report import paper
from sanpose.report.selection.runs import RUNS, CellRuns, difference, ids
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.ablation import network

COLUMNS = (
    Column("network", "Network, for one image"),
    Column("paper_params_m", "Paper: parameters (M)", digits=0),
    Column("params_m", "Counted (M)", digits=3),
    Column("paper_gflops", "Paper: GFlops", digits=2),
    Column("gflops", "Counted its way (G)", digits=4),
    Column("gmacs", "True MACs (G)", digits=4),
    Column("paper_mm", "Paper: MPJPE (mm)", "low"),
    Column("ours_mm", "Ours: MPJPE (mm)", "low"),
    Column("difference_mm", "Diff.", signed=True),
    Column("seeds", "Seeds", digits=0),
    Column("status", "Status"),
    RUNS,
)
_NOTES = (
    "The paper's 'Flops' are multiply-accumulates, counted its way: transposed convolutions at output positions, one"
    " per bias, 2 per element of batch normalisation, no matrix products. True: transposed convolutions at input"
    " positions, matrix products of the attention included.",
    "Counts are exact, by arithmetic from the configuration; they need no run. The published network has 18 joints, 64"
    " depth bins and an input of 256×256 px. Its MPJPE is that of Table 1's cells b and c.",
    "Diff.: our MPJPE minus the paper's of the same cell; of the other cells this table of the paper has none, Table 1"
    " has.",
)
_MPJPE = ("h36m", "mpjpe", "mean_over_frames")
_CELLS = {"resnet50": "b", "resnet50+san": "c"}


def table2(cells: Sequence[CellRuns], config_dir: Path) -> Table:
    """Table 2: the published rows with our count beside them, then every cell that is not one of them, as it was run
    here or was not."""
    found = {cell.letter: cell for cell in cells}
    rows, shown, references = [], set(), {}
    for published in paper.rows(config_dir, paper.COMPLEXITY):
        model, config = published["model"], _published(published["model"])
        cell = found.get(_CELLS.get(model, ""), CellRuns(""))
        here, reference = cost(config), paper.number(published["mpjpe_mm"], paper.COMPLEXITY)
        references[cell.letter] = reference
        row = _counts(here) | {
            "network": Cell(_name(config)),
            "paper_params_m": Cell(paper.number(published["params_millions"], paper.COMPLEXITY)),
            "paper_gflops": Cell(paper.number(published["flops_giga"], paper.COMPLEXITY)),
            "paper_mm": Cell(reference, rank="paper"),
        }
        if not cell.runs or cost(cell.config) == here:
            row |= _figures(cell, reference)
            shown.add(cell.letter)
        else:
            row["status"] = Cell("run as another network, below")
        rows.append(row)
    rows += [_cell(cell, references.get(cell.letter)) for cell in cells if cell.letter not in shown]
    return Table("table2", "Table 2. Parameters and operations", COLUMNS, tuple(rows), _NOTES)


def _cell(cell: CellRuns, reference: float | None) -> dict[str, Cell]:
    """A cell's row: the network that was run here, none where there is no run."""
    name = f"Cell {cell.letter} here" + (f": {_name(cell.config)}" if cell.runs else "")
    counts = _counts(cost(cell.config)) if cell.runs else {}
    return {"network": Cell(name), **counts, **_figures(cell, reference)}


def _published(model: str) -> dict[str, Any]:
    backbone, _, san = model.partition("+")
    network = ModelConfig(backbone=backbone, attention="position" if san else "none")
    return {"model": dataclasses.asdict(network), "data": dataclasses.asdict(DataConfig())}


def _name(config: Mapping[str, Any]) -> str:
    model, data = config["model"], config["data"]
    kind = {"none": "", "position": " + SAN"}.get(model["attention"], f" + SAN ({model['attention']})")
    return f"{network(model['backbone'], model['width'])}{kind}, {data['input_width']}×{data['input_height']}"


def _counts(found: Cost | None) -> dict[str, Cell]:
    if found is None:
        return {}
    return {
        "params_m": Cell(found.parameters / 1e6),
        "gflops": Cell(found.paper / 1e9),
        "gmacs": Cell(found.macs / 1e9),
    }


def _figures(cell: CellRuns, reference: float | None) -> dict[str, Cell]:
    """Our MPJPE and its difference from the paper's, over how many seeds, and what became of the runs."""
    figure, seeds = cell.figure(*_MPJPE), cell.measured(*_MPJPE)
    return {
        "ours_mm": figure,
        "difference_mm": difference(figure, reference),
        "seeds": Cell(seeds),
        "status": Cell(cell.status if seeds or not cell.done else f"{cell.status}, not evaluated on Human3.6M"),
        RUNS.key: ids(cell.runs),
    }
