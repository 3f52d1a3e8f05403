"""The paper's Table 2: parameters and operations without and with attention, of the published and of our networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sanpose.config.schema import DataConfig, ModelConfig
from sanpose.metrics.headline import MPJPE
from sanpose.model.cost import Cost, NetworkCost, network_cost, recorded_cost, recorded_network
from sanpose.report import paper
from sanpose.report.selection.runs import RUNS, CellRuns, difference, ids
from sanpose.report.table import Cell, Column, Table
from sanpose.report.tables.ablation import network_name

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
RULES = (
    "The paper's 'Flops' are multiply-accumulates, counted its way: transposed convolutions at output positions, one"
    " per bias, 2 per element of batch normalisation, no matrix products. True: transposed convolutions at input"
    " positions, matrix products of the attention included."
)
_NOTES = (
    RULES,
    "Counts are exact: they are computed from the configuration and need no run. The published network has 18 joints,"
    " 64 depth bins and an input of 256×256 px. The published MPJPE figures are those of cells b and c of Table 1.",
    "Diff.: our MPJPE minus the paper's MPJPE of the same cell. The paper's Table 2 has cells b and c only; Table 1 has"
    " the others.",
)
_CELLS = {("resnet50", "none"): "b", ("resnet50", "position"): "c"}


@dataclass(frozen=True)
class PublishedCost:
    """What the paper prints for a network: parameters in 10^6, its "Flops" in 10^9, MPJPE in mm; None for a gap."""

    parameters_m: float | None
    gflops: float | None
    mpjpe_mm: float | None


@dataclass(frozen=True)
class CountedNetwork:
    """A network at an input size in px, its cost, and the paper's figures where Table 2 has this network."""

    model: ModelConfig
    input_width: int
    input_height: int
    cost: NetworkCost
    paper: PublishedCost | None = None


def published_networks(config_dir: Path) -> list[CountedNetwork]:
    """The networks of the paper's Table 2, counted. Raises UserError when that table cannot be read."""
    networks, size = [], DataConfig()
    for row in paper.rows(config_dir, paper.COMPLEXITY):
        backbone, _, san = row["model"].partition("+")
        model = ModelConfig(backbone=backbone, attention="position" if san else "none")
        keys = ("params_millions", "flops_giga", "mpjpe_mm")
        figures = PublishedCost(*(paper.number(row[key], paper.COMPLEXITY) for key in keys))
        cost = network_cost(model, size.input_height, size.input_width)
        networks.append(CountedNetwork(model, size.input_width, size.input_height, cost, figures))
    return networks


def counted(model: ModelConfig, width: int, height: int, published: Sequence[CountedNetwork]) -> CountedNetwork:
    """A network at an input size in px, as in `published` where it is there. Raises UserError as `network_cost`."""
    for network in published:
        if (network.model, network.input_width, network.input_height) == (model, width, height):
            return network
    return CountedNetwork(model, width, height, network_cost(model, height, width))


def table2(cells: Sequence[CellRuns], config_dir: Path) -> Table:
    """Table 2: the published networks with our count and runs, then every cell that was run as another network or is
    not in the paper's table."""
    by_letter = {cell.letter: cell for cell in cells}
    rows, shown, references = [], set(), {}
    for network in published_networks(config_dir):
        assert network.paper
        cell = by_letter.get(_CELLS.get((network.model.backbone, network.model.attention), ""), CellRuns(""))
        reference, total = network.paper.mpjpe_mm, network.cost.total
        references[cell.letter] = reference
        row = _counts(total) | {
            "network": Cell(_name(network.model, network.input_width, network.input_height)),
            "paper_params_m": Cell(network.paper.parameters_m),
            "paper_gflops": Cell(network.paper.gflops),
            "paper_mm": Cell(reference, rank="paper"),
        }
        if not cell.runs or recorded_cost(cell.config) == total:
            row |= _figures(cell, reference)
            shown.add(cell.letter)
        else:
            row["status"] = Cell("run as another network, below")
        rows.append(row)
    rows += [_cell(cell, references.get(cell.letter)) for cell in cells if cell.letter not in shown]
    return Table("table2", "Table 2. Parameters and operations", COLUMNS, tuple(rows), _NOTES)


def _cell(cell: CellRuns, reference: float | None) -> dict[str, Cell]:
    """A cell's row: the network that was run here, without counts where there is no run."""
    network = recorded_network(cell.config)
    name = f": {_name(network.model, network.input_width, network.input_height)}" if network else ""
    counts = _counts(recorded_cost(cell.config))
    return {"network": Cell(f"Cell {cell.letter} here{name}"), **counts, **_figures(cell, reference)}


def _name(model: ModelConfig, width: int, height: int) -> str:
    kind = {"none": "", "position": " + SAN"}.get(model.attention, f" + SAN ({model.attention})")
    return f"{network_name(model.backbone, model.width, model.stride)}{kind}, {width}×{height}"


def _counts(cost: Cost | None) -> dict[str, Cell]:
    if cost is None:
        return {}
    return {
        "params_m": Cell(cost.parameters / 1e6),
        "gflops": Cell(cost.paper / 1e9),
        "gmacs": Cell(cost.macs / 1e9),
    }


def _figures(cell: CellRuns, reference: float | None) -> dict[str, Cell]:
    """Our MPJPE and its difference from the paper's, the number of seeds, and the state of the runs."""
    figure, seeds = cell.mpjpe, cell.measured(*MPJPE)
    return {
        "ours_mm": figure,
        "difference_mm": difference(figure, reference),
        "seeds": Cell(seeds),
        "status": Cell(cell.status if seeds or not cell.done else f"{cell.status}, not evaluated on Human3.6M"),
        RUNS.key: ids(cell.runs),
    }
