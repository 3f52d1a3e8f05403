"""Human3.6M in any of its three forms: detects the form of a folder, and returns its listing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sanpose.data.readers import files, h36m_mmpose, h36m_official, h36m_posenet
from sanpose.data.readers.h36m_select import FrameSelection
from sanpose.data.readers.listing import BadSamples, Listing
from sanpose.errors import UserError

FORMATS = ("posenet", "mmpose", "official")


def detect(src: Path) -> str:
    """The form of a folder. Raises UserError with the patterns searched where the folder has none."""
    files.folder(src)
    if files.find(src, h36m_posenet.PATTERNS):
        return "posenet"
    if files.find(src, h36m_mmpose.PATTERNS):
        return "mmpose"
    if any(path.is_dir() for pattern in h36m_official.FEATURES for path in src.glob(pattern)):
        return "official"
    patterns = (*h36m_posenet.PATTERNS, *h36m_mmpose.PATTERNS, *h36m_official.FEATURES)
    raise UserError(
        "the folder holds Human3.6M in none of its known forms",
        where=src,
        expected="one of " + ", ".join(patterns),
        hint="name Human3.6M's parts: --format with --annotations, --images and --cameras; for another data set see "
        "'Your own data' in docs/data.md",
    )


def read(
    src: Path,
    bad: BadSamples,
    select: FrameSelection,
    *,
    form: str | None = None,
    annotations: tuple[Path, ...] = (),
    images: Path | None = None,
    cameras: Path | None = None,
) -> Listing:
    """The listing of a Human3.6M folder in the form `form`; None: detected.

    Raises UserError for missing or broken files, and for options that the form does not read.
    """
    form = form or detect(src)
    _refuse_unread(form, annotations, cameras)
    if form == "posenet":
        folder = annotations[0] if annotations else None
        listing = h36m_posenet.read(src, bad, select, annotations=folder, images=images)
    elif form == "mmpose":
        listing = h36m_mmpose.read(src, bad, select, annotations=annotations, images=images, cameras=cameras)
    else:
        listing = h36m_official.read(src, bad, select, images=images, cameras=cameras)
    notes = select.spacing(listing.columns["subject"], listing.columns["frame"])
    return replace(listing, notes=[*listing.notes, *notes])


def _refuse_unread(form: str, annotations: tuple[Path, ...], cameras: Path | None) -> None:
    hint = "leave it out, or pass another --format"
    if form == "posenet" and cameras:
        own = "Human36M_subject*_camera.json, beside the annotations"
        raise UserError("the form 'posenet' reads no --cameras", where=cameras, expected=own, hint=hint)
    if form == "posenet" and len(annotations) > 1:
        raise UserError("the form 'posenet' reads one --annotations", where=annotations[1], expected="one folder")
    if form == "official" and annotations:
        own = "poses in MyPoseFeatures, under --src"
        raise UserError("the form 'official' reads no --annotations", where=annotations[0], expected=own, hint=hint)
