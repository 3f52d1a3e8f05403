"""`sanpose data check FILE.h5`: the content and the faults of a packed file, and a contact sheet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from sanpose.cli.quiet import quiet_libraries
from sanpose.data import packed
from sanpose.data.check import CheckReport, SpaceReport, contact_sheet, examine
from sanpose.pose import draw

_PROBLEMS_SHOWN = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The contact sheet to write; default: FILE.check.png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--all", "every_image", is_flag=True, help="Decode every image, not just 200.")
@quiet_libraries()
def check(file: Path, sheet: Path | None, as_json: bool, every_image: bool) -> None:
    """Examine a packed file and draw 24 of its samples.

    Exit code 1: the file has problems; 2: the file cannot be read, or the file of --sheet cannot be written.
    """
    data = packed.read(file)
    report = examine(data, every_image=every_image)
    path = sheet or file.with_name(file.stem + ".check.png")
    if not as_json:
        click.echo("\n".join(_lines(report)))
    failure = _draw(path, data)
    if as_json:
        click.echo(json.dumps({**report.as_dict(), "sheet": None if failure else str(path)}, indent=1))
    elif not failure:
        click.echo(f"contact sheet: {path}")
    if failure:
        click.echo(f"the contact sheet cannot be written to {path}: {failure}", err=True)
    if sheet and failure:
        sys.exit(2)
    if report.problems:
        sys.exit(1)


def _draw(path: Path, data: packed.Packed) -> str | None:
    """Draw the contact sheet. Returns None, or the reason why it cannot be written, such as a full disk."""
    try:
        draw.write_png(path, contact_sheet(data))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _lines(report: CheckReport) -> list[str]:
    kind = "synthetic" if report.synthetic else "real"
    lines = [
        f"{report.file}: {report.source} ({kind}), {report.samples} samples in {report.images} images, "
        f"{report.bytes / 1e6:.1f} MB of JPEG, {report.decoded} images decoded"
    ]
    for name, group in report.groups.items():
        lines.append(f"{name}: " + ", ".join(f"{key} {count}" for key, count in group.items()))
    lines.append("box side: " + ", ".join(f"{key} {value:.0f} px" for key, value in report.box_side_px.items()))
    lines.append("labelled joints (outside the image):")
    for joint, count in report.joints.items():
        outside = f" ({report.outside[joint]})" if joint in report.outside else ""
        lines.append(f"  {joint:<15} {count}{outside}")
    if report.space:
        lines += _space_lines(report.space)
    lines += [f"note: {note}" for note in report.notes]
    shown = report.problems[:_PROBLEMS_SHOWN]
    lines += [f"problem: {problem}" for problem in shown]
    if len(report.problems) > len(shown):
        lines.append(f"... and {len(report.problems) - len(shown)} more problems")
    return lines if report.problems else [*lines, "no problems found"]


def _space_lines(space: SpaceReport) -> list[str]:
    lines = [f"3D: mm, camera frame, {space.frame}"]
    for error, name in ((space.reprojection_px, "with"), (space.reprojection_without_distortion_px, "without")):
        if error.mean is not None:
            lines.append(f"  3D onto 2D {name} lens distortion: mean {error.mean:.2f}, max {error.max:.2f} px")
    if depth := space.pelvis_depth_mm:
        lines.append(f"  pelvis depth: {depth['min'] / 1000:.2f} to {depth['max'] / 1000:.2f} m")
    return lines
