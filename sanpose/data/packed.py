"""The packed file: one HDF5 file holds one source's JPEG bytes and its samples' arrays.

One large file spares a cluster's file system a million small ones. The JPEG bytes lie in one contiguous dataset, so
that an image is read without HDF5; processes may share a `Packed` across a fork or by pickling.

Layout (N samples, M images, Jn native joints of the source; see `sanpose.pose.joints.NATIVE`):

    attributes      format, version, source ("h36m" | "mpii" | "coco"), joints, provenance (JSON text), synthetic
    images/bytes    (total,) uint8: JPEG files end to end      images/end    (M,) int64: where each one ends
    images/name     (M,) text: the data set's name for it        images/size   (M, 2) int32: width, height, px
    samples/*       the columns of `COLUMNS`
    extra/*         per source: "cameras" (h36m), "ground_truth" (coco, JSON text), "detections" (coco)

Pixel coordinates are 0-based, x right, y down, (0, 0) the centre of the first pixel. 3D is in mm in the camera frame:
x right, y down, z away from the camera.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import h5py
import numpy as np
import numpy.typing as npt

from sanpose.data.array_files import Array
from sanpose.errors import UserError
from sanpose.pose.joints import NATIVE, JointSet

FORMAT, VERSION = "sanpose-packed", 1

# name -> (dtype, shape after N; "J" stands for the source's joints, sources that carry it)
COLUMNS: Mapping[str, tuple[str, tuple[int | str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "image": ("int64", (), ("h36m", "mpii", "coco")),  # row in images/
        "annotation": ("int64", (), ("h36m", "mpii", "coco")),  # the data set's own annotation id, or its row
        "box": ("float32", (4,), ("h36m", "mpii", "coco")),  # x, y, width, height, px, before `box_padding`
        "keypoints": ("float32", ("J", 2), ("h36m", "mpii", "coco")),  # px in the whole image
        "visible": ("uint8", ("J",), ("h36m", "mpii", "coco")),  # 0 not labelled, 1 labelled but hidden, 2 visible
        "keypoints3d": ("float32", ("J", 3), ("h36m",)),  # mm, camera frame
        "camera": ("int64", (), ("h36m",)),  # row in extra/cameras
        "subject": ("int64", (), ("h36m",)),  # 1 .. 11
        "action": ("int64", (), ("h36m",)),  # 2 .. 16, Human3.6M's numbers
        "subaction": ("int64", (), ("h36m",)),  # 1, 2; 0: unknown
        "frame": ("int64", (), ("h36m",)),  # 0-based
        "headbox": ("float32", (4,), ("mpii",)),  # x1, y1, x2, y2, px; NaN where the data set has none
        "train": ("uint8", (), ("mpii", "coco")),  # 1 in the training split, 0 in the evaluation split
        "area": ("float32", (), ("coco",)),  # px^2, of the person's segment (0.53 * w * h where missing)
        "image_id": ("int64", (), ("coco",)),  # COCO's image id
    }
)

# The factor by which a box grows before the crop: Human3.6M's 2 m square needs none; the other boxes are tight.
BOX_PADDING = {"h36m": 1.0, "mpii": 1.25, "coco": 1.25}

CAMERA = np.dtype(
    [("name", "S32"), ("width", "i4"), ("height", "i4"), ("f", "f8", 2), ("c", "f8", 2), ("k", "f8", 3), ("p", "f8", 2)]
)
DETECTION = np.dtype([("image_id", "i8"), ("image", "i8"), ("box", "f4", 4), ("score", "f4")])


class Provenance(TypedDict, total=False):
    """How `data.prepare` made a packed file. listing: the listing's hash; options: the caller's choices; samples,
    images: packed; dropped, bad: numbers left out, by reason; bad_samples: messages; notes: the reader's."""

    listing: str
    options: dict[str, object]
    samples: int
    images: int
    dropped: dict[str, int]
    bad: dict[str, int]
    bad_samples: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Packed:
    """A packed file's content without the images. `columns`: the samples' arrays by name; `extra`: the source's own."""

    path: Path
    source: str
    columns: Mapping[str, Array]
    image_end: npt.NDArray[np.int64]
    image_name: Array
    image_size: npt.NDArray[np.int32]
    extra: Mapping[str, Array]
    provenance: Provenance
    synthetic: bool
    fingerprint: str
    bytes_offset: int

    def __len__(self) -> int:
        return len(self.columns["image"])

    @property
    def joints(self) -> JointSet:
        return NATIVE[self.source]

    def jpeg(self, image: int) -> npt.NDArray[np.uint8]:
        """The JPEG file of one image, (length,) uint8, read only, from the packed file."""
        end = int(self.image_end[image])
        start = int(self.image_end[image - 1]) if image else 0
        file = os.open(self.path, os.O_RDONLY)  # np.fromfile takes three times as long
        try:
            return np.frombuffer(os.pread(file, end - start, self.bytes_offset + start), np.uint8)
        finally:
            os.close(file)


def write(
    path: Path,
    source: str,
    *,
    jpegs: Iterable[bytes | npt.NDArray[np.uint8]],
    lengths: npt.NDArray[np.int64],
    names: list[str],
    sizes: npt.NDArray[np.int32],
    columns: Mapping[str, Array],
    extra: Mapping[str, Array] | None = None,
    provenance: Provenance | None = None,
    synthetic: bool = False,
) -> None:
    """Write a packed file: whole, or not at all (a temporary file beside it, then os.replace). HDF5's file locks, which
    some file systems lack, are not needed: a packed file never changes.

    jpegs: M JPEG files in order, of `lengths` bytes. Columns are cast to the types of `COLUMNS`. Raises ValueError for
    a missing, unknown or misshapen column, as this is an error of the caller's code.
    """
    checked = _checked_columns(source, columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(part, "w", locking=False) as file:
            file.attrs.update(format=FORMAT, version=VERSION, source=source, synthetic=synthetic)
            file.attrs["joints"] = list(NATIVE[source].joints)
            file.attrs["provenance"] = json.dumps(dict(provenance or {}))
            digest = _digest(lengths, names, {**checked, **(extra or {})})
            end = np.cumsum(np.asarray(lengths, np.int64))
            blob = file.create_dataset("images/bytes", (max(int(end[-1]) if len(end) else 0, 1),), "uint8")
            start = 0
            for stop, jpeg in zip(end, jpegs, strict=True):
                data = np.frombuffer(jpeg, np.uint8)
                blob[start:stop] = data
                digest.update(data.data)
                start = stop
            file.attrs["fingerprint"] = digest.hexdigest()[:16]
            file["images/end"] = end
            file.create_dataset("images/name", data=np.asarray(names, dtype=object), dtype=h5py.string_dtype())
            file["images/size"] = np.asarray(sizes, np.int32).reshape(-1, 2)
            for name, values in checked.items():
                file[f"samples/{name}"] = values
            for name, values in (extra or {}).items():
                file[f"extra/{name}"] = values
            file.flush()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | Path) -> Packed:
    """A packed file with everything except the images.

    Raises UserError when the file is missing, cut short, no packed file, or inconsistent.
    """
    with _opened(path) as (absolute, file):
        return _read_open(absolute, file)


@dataclass(frozen=True)
class PackedHead:
    """What identifies a file's content, and whether the people in it are synthetic."""

    fingerprint: str
    synthetic: bool


def head(path: str | Path) -> PackedHead:
    """A packed file's head, without reading its samples. Raises UserError as `read` does."""
    with _opened(path) as (_, file):
        return PackedHead(str(file.attrs["fingerprint"]), bool(file.attrs["synthetic"]))


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Path, h5py.File]]:
    path = Path(path).absolute()
    if not path.is_file():
        raise UserError(
            "the packed data file does not exist", where=path, hint="`sanpose data prepare` or `sanpose data synth`"
        )
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise UserError(
                    "this HDF5 file is not a packed data file of this version",
                    where=path,
                    expected=f"format {FORMAT}, version {VERSION}",
                    hint="`sanpose data prepare`",
                )
            yield path, file
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"the packed data file cannot be read ({error})",
            where=path,
            expected="a complete file written by `sanpose data prepare`",
            hint="copy or prepare the file again: it may be cut short",
        ) from error


def _read_open(path: Path, file: h5py.File) -> Packed:
    source = str(file.attrs["source"])
    blob = file["images/bytes"]
    offset = blob.id.get_offset()
    end = file["images/end"][()]
    if offset is None or os.path.getsize(path) < offset + blob.shape[0] or (len(end) and end[-1] > blob.shape[0]):
        raise OSError("the image bytes end early")
    columns = {name: file[f"samples/{name}"][()] for name, (_, _, has) in COLUMNS.items() if source in has}
    _checked_columns(source, columns)
    return Packed(
        path=path,
        source=source,
        columns=columns,
        image_end=end,
        image_name=file["images/name"].asstr()[()],
        image_size=file["images/size"][()],
        extra={name: values[()] for name, values in file.get("extra", {}).items()},
        provenance=json.loads(file.attrs["provenance"]),
        synthetic=bool(file.attrs["synthetic"]),
        fingerprint=str(file.attrs["fingerprint"]),
        bytes_offset=offset,
    )


def _digest(lengths: npt.NDArray[np.int64], names: list[str], arrays: Mapping[str, Array]) -> hashlib._Hash:
    """A hash of the samples, whatever the file's path: part of the identity of the runs that train on them."""
    digest = hashlib.sha256(json.dumps(names).encode())
    digest.update(np.asarray(lengths, np.int64).tobytes())
    for name in sorted(arrays):
        digest.update(name.encode() + np.asarray(arrays[name]).tobytes())
    return digest


def _checked_columns(source: str, columns: Mapping[str, Array]) -> dict[str, Array]:
    specs = {name: spec for name, spec in COLUMNS.items() if source in spec[2]}
    if specs.keys() != columns.keys():
        raise ValueError(f"{source} columns differ: {sorted(specs.keys() ^ columns.keys())}")
    count = len(columns["image"])
    out = {}
    for name, (dtype, shape, _) in specs.items():
        full = (count, *(len(NATIVE[source]) if n == "J" else n for n in shape))
        out[name] = np.asarray(columns[name], dtype)
        if out[name].shape != full:
            raise ValueError(f"column {name}: shape {out[name].shape}, expected {full}")
    return out


def fill_unlabelled(keypoints: Array, visible: Array) -> Array:
    """Keypoints (N, J, 2), with 0 where a joint is unlabelled, visible (N, J) = 0, and its coordinates are not finite.

    A weight of 0 does not cancel a NaN, as NaN times 0 is NaN.
    """
    return np.where(np.isfinite(keypoints) | (visible > 0)[..., None], keypoints, keypoints.dtype.type(0))


def wrong_source(file: Packed, expected: str, hint: str | None = None) -> UserError:
    """The error for a packed file of another source than expected."""
    return UserError(
        f"this packed file holds {file.source} samples", where=file.path, expected=f"{expected} samples", hint=hint
    )
