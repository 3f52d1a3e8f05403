"""`sanpose metrics`: score a prediction file from any program. Does not import torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as RichTable

from sanpose.cli.subjects import parse_subjects
from sanpose.errors import UserError
from sanpose.metrics import coco, h36m, pckh
from sanpose.metrics.coco_files import read_coco_results, read_coco_truth
from sanpose.metrics.files import matched
from sanpose.metrics.h36m_files import read_poses3d
from sanpose.metrics.mpii_files import read_mpii_prediction, read_mpii_truth
from sanpose.metrics.protocol import FigureTable

if TYPE_CHECKING:
    from sanpose.evaluation.measure import Result

FILE = click.Path(path_type=Path)
UNIT = click.Choice(["m", "mm"])
UNKNOWN = "not stated by the prediction file"
_UNLIMITED = 10_000


def show(result: Result, *, as_json: bool = False) -> None:
    """Print a result: a table and its protocol, or one JSON document."""
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2, allow_nan=False))
        return
    console = Console()
    console.print(_drawn(result.table(), console), crop=False)
    console.print(f"protocol: {result.protocol.text()}", markup=False, highlight=False)


def _drawn(table: FigureTable, console: Console) -> RichTable:
    """The table, without padding where it is wider than the console; figures are never shortened."""
    rich = RichTable(title=table.title, title_justify="left")
    for i, column in enumerate(table.columns):
        rich.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        rich.add_row(*row)
    if _width(rich, console) > console.width:
        rich.padding = (0, 0)
        rich.width = _width(rich, console)  # otherwise rich cuts the figures to fit the console
    return rich


def _width(table: RichTable, console: Console) -> int:
    """Columns of text that the table needs, whatever the console's width."""
    return console.measure(table, options=console.options.update(max_width=_UNLIMITED)).maximum


def _subjects(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...]:
    return parse_subjects(text) if text else ()


@click.group()
def metrics() -> None:
    """Score a prediction file from any program (formats: docs/metrics.md)."""


_gt = click.option("--gt", required=True, type=FILE, help="Ground truth.")
_pred = click.option("--pred", required=True, type=FILE, help="Predictions, in the ground truth's order.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")


@metrics.command("h36m")
@_gt
@_pred
@_json
@click.option("--unit", type=UNIT, help="Unit of the predictions; default: the file's own `unit`, else mm.")
@click.option("--gt-unit", type=UNIT, help="Unit of the ground truth; a packed file is always in mm.")
@click.option(
    "--joints", type=click.Choice(["17", "16"]), default="17", show_default=True, help="16: without the pelvis."
)
@click.option("--subjects", callback=_subjects, help="Score only these subjects, as in 9,11.")
def h36m_command(
    gt: Path, pred: Path, as_json: bool, unit: str | None, gt_unit: str | None, joints: str, subjects: tuple[int, ...]
) -> None:
    """MPJPE and PA-MPJPE, mm. GT: packed .h5, or .npz/.json with keypoints3d (N,17,3) [, action, subject]."""
    truth = read_poses3d(gt, gt_unit)
    selected = truth.selected(subjects, gt)
    predicted = matched(read_poses3d(pred, unit).keypoints, selected, pred)
    result = h36m.evaluate(
        predicted,
        truth.keypoints[selected],
        None if truth.action is None else truth.action[selected],
        None if truth.subject is None else truth.subject[selected],
        joints=int(joints),
        stride=truth.stride,
        boxes=UNKNOWN,
        where=f"--gt {gt} --pred {pred}",
    )
    show(result, as_json=as_json)


@metrics.command("pckh")
@_gt
@_pred
@_json
@click.option(
    "--one-based/--zero-based",
    default=None,
    help="The first pixel of the predictions; default: 1 in a .mat file, 0 in other files.",
)
def pckh_command(gt: Path, pred: Path, as_json: bool, one_based: bool | None) -> None:
    """PCKh@0.5 and @0.1, percent. GT: gt_valid.mat or packed .h5; predictions: preds or keypoints (N,16,2)."""
    truth = read_mpii_truth(gt)
    keep = truth.selected
    result = pckh.evaluate(
        matched(read_mpii_prediction(pred, one_based), keep, pred),
        truth.keypoints[keep],
        truth.labelled[keep],
        truth.headbox[keep],
        boxes=UNKNOWN,
        subjects=truth.subjects,
        where=f"--gt {gt} --pred {pred}",
    )
    show(result, as_json=as_json)


@metrics.command("coco")
@_gt
@_pred
@_json
@click.option(
    "--rescore", is_flag=True, help="Multiply each score by the mean of the joints' scores above a threshold."
)
@click.option(
    "--joint-threshold",
    type=click.FloatRange(0, 1),
    help="Threshold of --rescore: 0.2 is usual for heat maps; `sanpose evaluate` uses 0.  [default: 0.2]",
)
@click.option("--nms", is_flag=True, help="Apply OKS-NMS with the threshold 0.9 within each image.")
def coco_command(gt: Path, pred: Path, as_json: bool, rescore: bool, joint_threshold: float | None, nms: bool) -> None:
    """COCO's keypoint AP, 0..1. GT: COCO JSON or packed .h5; predictions: COCO results JSON."""
    if joint_threshold is not None and not rescore:
        raise UserError("--joint-threshold has no effect without --rescore", hint="add --rescore")
    above = 0.2 if joint_threshold is None else joint_threshold
    notes = (
        f"rescored by the joints' scores above {above:g}" if rescore else "scores as given",
        "OKS-NMS 0.9" if nms else "no NMS",
    )
    result = coco.evaluate(
        read_coco_truth(gt),
        read_coco_results(pred),
        refinement=coco.Refinement(rescore, above, 0.9 if nms else None),
        boxes=UNKNOWN,
        notes=notes,
        where=pred,
        truth_where=gt,
    )
    show(result, as_json=as_json)
