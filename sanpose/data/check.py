"""The content and the faults of a packed file, and a contact sheet of its samples.

Reprojection error: the distance in px between the 2D joints and the 3D joints projected by the sample's camera.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.data import crop, doubts, jpeg_files
from sanpose.data.actions import ACTIONS
from sanpose.data.array_files import Array
from sanpose.data.packed import BOX_PADDING, CAMERA, DETECTION, Packed
from sanpose.data.readers.listing import BadSamples, Listing, validate
from sanpose.pose import draw
from sanpose.pose.cameras import depth_is_plausible, project

_IMAGES_DECODED = 200
_SHEET_COLUMNS, _SHEET_ROWS, _TILE, _LABEL = 6, 4, 256, 18  # px
# Human3.6M's own 2D joints agree with its 3D joints to 0.2 px with the lens distortion, to 1.3 px without.
_MAX_REPROJECTION_PX = 5.0
_FRAMES = {
    "x right, y down, z away from the camera": (1, 1),
    "y up": (1, -1),
    "x left": (-1, 1),
    "x left, y up": (-1, -1),
}


@dataclass(frozen=True)
class Reprojection:
    """The reprojection error, px; None without 3D joints in front of the camera."""

    mean: float | None
    max: float | None


@dataclass(frozen=True)
class SpaceReport:
    """The 3D joints of a packed file. frame: the camera frame that fits best; pelvis_depth_mm: as `box_side_px`."""

    frame: str
    reprojection_px: Reprojection
    reprojection_without_distortion_px: Reprojection
    pelvis_depth_mm: Mapping[str, float]


@dataclass(frozen=True)
class CheckReport:
    """The result of a check. `problems`: one sentence each; empty when the file is good. `notes`: what to look at.

    groups: numbers of samples; joints: number of samples that label each joint; outside: number of those labels outside
    the image; box_side_px: "min", "median", "max", empty without a finite value; space: None without 3D; decoded:
    number of images.
    """

    file: str
    source: str
    synthetic: bool
    samples: int
    images: int
    bytes: int
    groups: Mapping[str, Mapping[str, int]]
    joints: Mapping[str, int]
    outside: Mapping[str, int]
    box_side_px: Mapping[str, float]
    space: SpaceReport | None
    decoded: int
    notes: list[str]
    problems: list[str]

    def as_dict(self) -> dict[str, object]:
        """The report ready for JSON."""
        return asdict(self)


def examine(file: Packed, *, every_image: bool = False) -> CheckReport:
    """Counts, measures and faults of a packed file. Decodes 200 images spread over the file, or every image."""
    columns = file.columns
    problems = [*_faulty_rows(file), *doubts.of_columns(columns)]
    labelled = columns["visible"] > 0
    image = columns["image"].clip(0, max(len(file.image_size) - 1, 0))
    size = file.image_size[image][:, None] if len(file.image_size) else np.zeros((0, 1, 2))
    outside = labelled & ((columns["keypoints"] < -0.5) | (columns["keypoints"] > size - 0.5)).any(-1)
    names = file.joints.joints
    side = columns["box"][:, 2:].max(-1) if len(file) else np.zeros(0)
    space = _space(file, problems) if "keypoints3d" in columns and len(file) else None
    rows = np.arange(len(file.image_end))
    rows = rows if every_image else rows[_spread(len(rows), _IMAGES_DECODED)]
    turned = []
    for row in rows.tolist():
        problems += _image_problem(file, row)
        turned += [row] if jpeg_files.is_turned(file.jpeg(row).tobytes()) else []
    return CheckReport(
        file=str(file.path),
        source=file.source,
        synthetic=file.synthetic,
        samples=len(file),
        images=len(file.image_end),
        bytes=int(file.image_end[-1]) if len(file.image_end) else 0,
        groups=_groups(file),
        joints=dict(zip(names, labelled.sum(0).tolist(), strict=True)),
        outside={name: count for name, count in zip(names, outside.sum(0).tolist(), strict=True) if count},
        box_side_px=_quantiles(side),
        space=space,
        decoded=len(rows),
        notes=_turned(file, turned, len(rows)),
        problems=problems,
    )


def contact_sheet(file: Packed) -> npt.NDArray[np.uint8]:
    """24 samples spread over the file, RGB uint8: their crops (a square box, padded as in training) with skeletons.

    A label below each tile gives the sample's number and its subject and action, or its split. The choice depends only
    on the number of samples. The tile of an image that cannot be decoded is grey.
    """
    tiles = [_tile(file, int(n)) for n in _spread(len(file), _SHEET_COLUMNS * _SHEET_ROWS)]
    count = max(len(tiles), 1)
    columns = min(_SHEET_COLUMNS, count)
    rows = -(-count // columns)
    sheet = np.zeros((rows * (_TILE + _LABEL), columns * _TILE, 3), np.uint8)
    for n, tile in enumerate(tiles):
        y, x = (n // columns) * (_TILE + _LABEL), (n % columns) * _TILE
        sheet[y : y + _TILE + _LABEL, x : x + _TILE] = tile
    return sheet


def _spread(count: int, limit: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, limit)).round().astype(np.int64))


def _faulty_rows(file: Packed) -> list[str]:
    """Faults of the arrays: samples that `prepare` would refuse, and indices that are out of range."""
    if not len(file):
        return ["the file holds no samples"]
    where = np.array([f"sample {n}" for n in range(len(file))], dtype=object)
    bad = BadSamples(skip=True)
    validate(Listing(file.source, [], file.columns, where), bad)
    problems = [f"{count} samples: {kind} (first: {bad.first[kind]})" for kind, count in bad.kinds.items()]
    problems += [*_not_finite(file), *_unknown_actions(file)]
    limits = [("image", file.columns["image"], len(file.image_end))]
    if "cameras" in file.extra:
        limits.append(("camera", file.columns["camera"], len(file.extra["cameras"])))
    if "detections" in file.extra:
        limits.append(("image of detections", file.extra["detections"]["image"], len(file.image_end)))
    for name, rows, count in limits:
        invalid = int(((rows < 0) | (rows >= count)).sum())
        if invalid:
            problems.append(f"{invalid} rows of '{name}' are outside 0 .. {count - 1}")
    return problems


def _not_finite(file: Packed) -> list[str]:
    """Values that are not finite and that `prepare` does not check; a head box of NaN means an unknown one."""
    columns, detections = file.columns, file.extra.get("detections")
    unlabelled = (columns["visible"] == 0) & ~np.isfinite(columns["keypoints"]).all(-1)
    values: dict[str, Array] = {"area": columns["area"]} if "area" in columns else {}
    if detections is not None and detections.dtype.names == DETECTION.names:
        values |= {"box of detections": detections["box"], "score of detections": detections["score"]}
    table = file.extra.get("cameras")
    if table is not None and table.dtype.names == CAMERA.names:
        values |= {f"{name} of cameras": table[name] for name in "fckp"}
    problems = []
    if unlabelled.any():
        sample, joint = np.argwhere(unlabelled)[0].tolist()
        problems.append(
            f"{unlabelled.any(-1).sum()} samples: missing or non-finite coordinates of unlabelled joints "
            f"(first: sample {sample}, {file.joints.joints[joint]}); they are read as 0"
        )
    for name, array in values.items():
        rows = np.flatnonzero(~np.isfinite(array).all(tuple(range(1, array.ndim))))
        if len(rows):
            problems.append(f"{len(rows)} rows of '{name}' are missing or not finite (first: {rows[0]})")
    return problems


def _unknown_actions(file: Packed) -> list[str]:
    if file.source != "h36m":
        return []
    action = file.columns["action"]
    unknown = np.flatnonzero(~np.isin(action, list(ACTIONS)))
    if not len(unknown):
        return []
    first = f"(first: sample {unknown[0]}: {action[unknown[0]]})"
    return [f"{len(unknown)} samples: not an action of Human3.6M, 2 .. 16 {first}"]


def _groups(file: Packed) -> dict[str, dict[str, int]]:
    """Samples per subject and action, or per split."""
    columns = file.columns
    if file.source == "h36m":
        return {
            "subject": _counted(f"S{n}" for n in sorted(columns["subject"].tolist())),
            "action": _counted(ACTIONS.get(n, str(n)) for n in sorted(columns["action"].tolist())),
        }
    groups = {"split": _counted("training" if n else "evaluation" for n in columns["train"].tolist())}
    if file.source == "mpii":
        finite = np.asarray(np.isfinite(columns["headbox"]).all(-1))
        groups["head box"] = _counted("known" if k else "unknown" for k in finite.tolist())
    if file.source == "coco":
        groups["detections"] = {"persons": len(file.extra.get("detections", ()))}
    return groups


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


def _quantiles(values: Array) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {}
    low, middle, high = np.percentile(finite, [0, 50, 100])
    return {"min": float(low), "median": float(middle), "max": float(high)}


def _space(file: Packed, problems: list[str]) -> SpaceReport | None:
    """The report on the 3D joints; adds their problems to `problems`."""
    columns = file.columns
    table = file.extra.get("cameras")
    if table is None or not len(table) or table.dtype.names != CAMERA.names:
        problems.append("there are 3D joints, but the cameras are missing or damaged")
        return None
    cameras = table[columns["camera"].clip(0, len(table) - 1)][:, None]
    points = columns["keypoints3d"].astype(np.float64)
    good = (columns["visible"] > 0) & (np.isfinite(points) & (points[..., 2:] > 0)).all(-1)
    good &= np.isfinite(columns["keypoints"]).all(-1)
    points = np.where(good[..., None], points, 1.0)
    f, c, k, p = (cameras[name] for name in "fckp")

    def errors(signs: tuple[int, int], distorted: bool) -> npt.NDArray[np.float64]:
        moved = points * np.array([*signs, 1])
        pixels = project(moved, f, c, k if distorted else None, p if distorted else None)
        distances: npt.NDArray[np.float64] = np.linalg.norm(pixels - columns["keypoints"], axis=-1)[good]
        return distances

    fits = {name: float(errors(signs, True).mean()) for name, signs in _FRAMES.items()} if good.any() else {}
    expected, frame = next(iter(_FRAMES)), min(fits, key=lambda name: fits[name]) if fits else "unknown"
    distorted, bare = errors((1, 1), True), errors((1, 1), False)
    depth = columns["keypoints3d"][:, 0, 2]
    implausible = int((~depth_is_plausible(depth)).sum())
    if frame != expected:
        problems.append(f"the 3D joints seem to be in another frame: {frame} (expected: {expected})")
    elif distorted.mean() > _MAX_REPROJECTION_PX:
        problems.append(f"3D does not fit 2D: {distorted.mean():.1f} px apart on average when projected")
    if implausible:
        unit = " (metres instead of mm?)" if np.nanmedian(depth) < 100 else ""
        problems.append(f"{implausible} pelvises are not at a studio's depth, 1.5 to 10 m{unit}")
    return SpaceReport(frame, _reprojection(distorted), _reprojection(bare), _quantiles(depth))


def _reprojection(errors: npt.NDArray[np.float64]) -> Reprojection:
    return Reprojection(float(errors.mean()), float(errors.max())) if len(errors) else Reprojection(None, None)


def _turned(file: Packed, rows: list[int], examined: int) -> list[str]:
    if not rows:
        return []
    return [
        f"{len(rows)} of {examined} images examined have an EXIF mark that turns them (first: image {rows[0]}, "
        f"{file.image_name[rows[0]]}); sanpose ignores the mark, so the labels must belong to the image as stored: "
        "look at the contact sheet"
    ]


def _image_problem(file: Packed, row: int) -> list[str]:
    width, height = file.image_size[row].tolist()
    try:
        jpeg = jpeg_files.check(file.jpeg(row).tobytes())
    except jpeg_files.BadImageError as error:
        return [f"image {row} ({file.image_name[row]}): {error.message}"]
    if (jpeg.width, jpeg.height) != (width, height):
        return [f"image {row} ({file.image_name[row]}): {jpeg.width} x {jpeg.height} px, {width} x {height} recorded"]
    return []


def _tile(file: Packed, sample: int) -> npt.NDArray[np.uint8]:
    columns = file.columns
    row = int(columns["image"][sample])
    tile: npt.NDArray[np.uint8] = np.full((_TILE, _TILE, 3), 128, np.uint8)
    drawable = 0 <= row < len(file.image_end) and bool(np.isfinite(columns["box"][sample]).all())
    if drawable and (columns["box"][sample][2:] > 0).all() and not _image_problem(file, row):
        view = crop.view_of(columns["box"][sample], BOX_PADDING[file.source], _TILE, _TILE)
        tile = crop.crop(file.jpeg(row), view, _TILE, _TILE)
        points = crop.apply(crop.to_crop(view, _TILE, _TILE), columns["keypoints"][sample])
        tile = draw.overlay(tile, points, file.joints, columns["visible"][sample])
    if file.source == "h36m":
        label = f"{sample}: S{columns['subject'][sample]} {ACTIONS.get(int(columns['action'][sample]), '?')}"
    else:
        label = f"{sample}: {'training' if columns['train'][sample] else 'evaluation'}"
    strip = np.zeros((_LABEL, _TILE, 3), np.uint8)
    cv2.putText(strip, label, (4, _LABEL - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([tile, strip])
