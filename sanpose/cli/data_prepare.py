"""`sanpose data prepare {h36m,mpii,coco}`: pack a data set's folder into one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import click
from rich.console import Console

from sanpose.cli.explicit import explicit_options
from sanpose.cli.image_progress import ImageProgress
from sanpose.cli.quiet import quiet_libraries
from sanpose.cli.subjects import parse_subjects
from sanpose.data.prepare import PrepareReport
from sanpose.data.prepare import prepare as pack
from sanpose.data.readers import coco, h36m, mpii, mpii_mat
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples, Listing
from sanpose.data.synth.options import MARK
from sanpose.errors import UserError

Command = TypeVar("Command", bound=Callable[..., object])

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_DIR = click.Path(path_type=Path, file_okay=False, exists=True)
_ANY = click.Path(path_type=Path, exists=True)
_OUT = click.Path(path_type=Path, dir_okay=False)

_COMMON = (
    click.option("--src", type=click.Path(path_type=Path), required=True, help="The data set's folder."),
    click.option("--out", type=_OUT, required=True, help="The packed file to write."),
    click.option("--images", type=_DIR, help="The images' folder; default: the usual places under --src."),
    click.option("--skip-bad", is_flag=True, help="Leave bad samples out and count them; default: stop at the first."),
    click.option("--limit", type=click.IntRange(1), help="Only the first N samples."),
    click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Threads that read images."),
    click.option("--force", is_flag=True, help="Replace an existing output file."),
)  # fmt: skip
_SPLIT = click.option(
    "--split",
    type=click.Choice(["train", "val"]),
    help="The split of all samples; default: by the annotation files' names.",
)


class _Common(TypedDict):
    """The options of every data set that `_run` reads."""

    out: Path
    skip_bad: bool
    limit: int | None
    workers: int
    force: bool


def _common(command: Command) -> Command:
    for option in reversed(_COMMON):
        command = option(command)
    return command


@click.group()
def prepare() -> None:
    """Pack a data set into one HDF5 file: images as JPEG bytes, annotations as arrays.

    After an interruption, run the same command again to resume. A finished file of the same data is not changed.
    """


@prepare.command("h36m")
@_common
@click.option("--format", "form", type=click.Choice(h36m.FORMATS), help="The folder's form; default: detected.")
@click.option("--annotations", type=_ANY, multiple=True, help="PoseNet: the folder of the JSON files; MMPose: an .npz.")
@click.option("--cameras", type=_FILE, help="cameras.pkl, cameras.json or metadata.xml.")
@click.option("--protocol", type=click.Choice(["1", "2", "both"]), default="1", show_default=True,
              help="Test subjects: 1: 9 and 11; 2: 11; both: 9 and 11, 9 with its training frames too.")  # fmt: skip
@click.option("--subjects", help="Only these, as 1,5,6.")
@click.option(
    "--train-stride", type=click.IntRange(1), default=5, show_default=True, help="Pack every Nth training frame."
)
@click.option("--test-stride", type=click.IntRange(1), default=64, show_default=True, help="Pack every Nth test frame.")
@click.option("--stride", type=click.IntRange(1), help="Both strides at once; 1: every frame.")
@click.option(
    "--skip-known/--no-skip-known", default=True, show_default=True, help="Leave out the corrupt video of S11."
)
@click.option("--skip-s9-shifted", is_flag=True, help="Leave out S9's videos with shifted ground truth.")
def h36m_command(
    src: Path,
    form: str | None,
    annotations: tuple[Path, ...],
    images: Path | None,
    cameras: Path | None,
    subjects: str | None,
    protocol: str,
    train_stride: int,
    test_stride: int,
    stride: int | None,
    skip_known: bool,
    skip_s9_shifted: bool,
    **common: Unpack[_Common],
) -> None:
    """Human3.6M as PoseNet JSON, MMPose npz + cameras.pkl, or the official features with extracted frames."""
    replaced = explicit_options("train_stride", "test_stride") if stride else []
    if replaced:
        raise UserError(
            f"--stride sets both strides, and {replaced[0]} sets one of them", hint="leave one of the two out"
        )
    select = FrameSelection(
        parse_subjects(subjects) if subjects is not None else None,
        protocol,
        stride or train_stride,
        stride or test_stride,
        skip_known,
        skip_s9_shifted,
    )
    read = partial(h36m.read, select=select, form=form, annotations=annotations, images=images, cameras=cameras)
    options = {"strides": [select.train_stride, select.test_stride], "protocol": protocol, "subjects": subjects}
    _run(src, read, {**options, "skip_known": skip_known, "skip_s9_shifted": skip_s9_shifted}, **common)


@prepare.command("mpii")
@_common
@_SPLIT
@click.option("--format", "form", type=click.Choice(["json", "mat"]), help="JSON of HRNet, or the official .mat.")
@click.option("--annotations", type=_FILE, multiple=True, help="An annotation file; repeatable.")
@click.option("--head-boxes", type=_FILE, help="gt_valid.mat, which belongs to valid.json.")
def mpii_command(
    src: Path,
    images: Path | None,
    split: str | None,
    form: str | None,
    annotations: tuple[Path, ...],
    head_boxes: Path | None,
    **common: Unpack[_Common],
) -> None:
    """MPII as HRNet's and Simple Baselines' JSON, or as the official .mat."""
    if annotations:
        form = form or ("mat" if annotations[0].suffix == ".mat" else "json")
    if form == "mat" or (form is None and mpii_mat.has_mat(src) and not mpii.has_json(src)):
        _refuse_unread_by_mat(annotations, head_boxes)
        path = annotations[0] if annotations else None
        read: partial[Listing] = partial(mpii_mat.read, annotations=path, images=images, split=split)
    else:
        read = partial(mpii.read, annotations=annotations, images=images, head_boxes=head_boxes, split=split)
    _run(src, read, {"split": split}, **common)


def _refuse_unread_by_mat(annotations: tuple[Path, ...], head_boxes: Path | None) -> None:
    if head_boxes:
        raise UserError(
            "MPII's official .mat contains the head boxes, so --head-boxes is not read",
            where=head_boxes,
            hint="leave --head-boxes out, or add --format json",
        )
    if len(annotations) > 1:
        raise UserError("only one official .mat can be read", where=annotations[1], expected="one --annotations")


@prepare.command("coco")
@_common
@_SPLIT
@click.option("--annotations", type=_FILE, multiple=True, help="person_keypoints_*.json; repeatable.")
@click.option("--detections", type=_FILE, help="Detected person boxes in COCO's result format.")
def coco_command(
    src: Path,
    images: Path | None,
    split: str | None,
    annotations: tuple[Path, ...],
    detections: Path | None,
    **common: Unpack[_Common],
) -> None:
    """COCO keypoints, with detected boxes if there are any."""
    read = partial(coco.read, annotations=annotations, images=images, detections=detections, split=split)
    _run(src, read, {"split": split}, **common)


@quiet_libraries()
def _run(
    src: Path,
    read: Callable[[Path, BadSamples], Listing],
    options: dict[str, object],
    **common: Unpack[_Common],
) -> None:
    limit, skip_bad = common["limit"], common["skip_bad"]
    bad = BadSamples(skip=skip_bad)
    console = Console(stderr=True)
    with console.status("reading annotations"):
        listing = read(src, bad)
    with ImageProgress(console) as progress:
        report = pack(
            listing,
            common["out"],
            bad,
            options={"src": str(src), "limit": limit, "skip_bad": skip_bad, **options},
            workers=common["workers"],
            limit=limit,
            synthetic=(src / MARK).is_file(),
            force=common["force"],
            progress=progress.show,
        )
    for line in _lines(report):
        click.echo(line)


_SHOWN = 10


def _lines(report: PrepareReport) -> Sequence[str]:
    lines = [f"{report.path} {_outcome(report)}: {report.samples} samples in {report.images} images"]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  left out by rule: {count} ({reason})" for reason, count in report.dropped.items()]
    lines += [f"  left out as bad: {count} ({reason})" for reason, count in report.bad.items()]
    lines += [f"    {entry}" for entry in report.bad_samples[:_SHOWN]]
    if len(report.bad_samples) > _SHOWN:
        lines.append(f"    ... and more; the file's provenance lists {len(report.bad_samples)}")
    if report.mended:
        lines.append(f"  {report.mended} of the images left out as bad can be read now; --force packs them")
    return lines


def _outcome(report: PrepareReport) -> str:
    if not report.done_before:
        return "written"
    exists = "already exists, with the same data"
    return f"{exists} except the bad samples (--force reads them again)" if report.bad else f"{exists}: nothing to do"
