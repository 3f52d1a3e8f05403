"""What every reader returns: which images there are, and the samples' arrays, as `sanpose.data.packed` defines them.

Knows how listings are joined, validated and thinned out; knows neither data sets nor pixels.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sanpose.data.packed import COLUMNS, known
from sanpose.errors import UserError
from sanpose.pose.joints import NATIVE


class ImageFile(NamedTuple):
    """An image to pack. `size`: the (width, height) px that the annotations claim, None where they do not tell."""

    path: Path
    name: str
    size: tuple[int, int] | None = None


@dataclass
class Bad:
    """Bad samples: the first is a UserError, or, where `skip` is set, each is left out and recorded."""

    skip: bool = False
    found: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def refuse(self, kind: str, what: str, where: object, expected: str | None = None) -> None:
        """Record one bad sample. `kind`: a few words to count by. Raises UserError unless bad samples are skipped."""
        if not self.skip:
            raise UserError(
                what, where=where, expected=expected, hint="mend it, or leave bad samples out with --skip-bad"
            )
        self.kinds[kind] += 1
        self.found.append(f"{where}: {what}")
        self.first.setdefault(kind, self.found[-1])

    def malformed(self, error: UserError) -> None:
        """Record an entry that cannot be understood. Raises it unless bad samples are skipped."""
        self.refuse("malformed entry", error.what, error.where, error.expected)


@dataclass(frozen=True)
class Listing:
    """Images and samples of one source.

    columns: those of `packed.COLUMNS`, `image` being a row of `images`; where: (N,) text, each sample's file and entry
    for messages; extra: as in the packed file; dropped: samples left out by the data set's own rules, by rule;
    notes: what a person should know about how the folder was understood.
    """

    source: str
    images: Sequence[ImageFile]
    columns: Mapping[str, npt.NDArray[Any]]
    where: npt.NDArray[np.object_]
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.columns["image"])

    def take(self, rows: npt.NDArray[Any]) -> Listing:
        """The samples at `rows` (indices or a mask); the images stay."""
        return replace(
            self, columns={name: values[rows] for name, values in self.columns.items()}, where=self.where[rows]
        )

    def with_images(self, keep: npt.NDArray[np.bool_]) -> Listing:
        """Only the images of the mask `keep` (M,), with the samples, detections and ground truth that lie in them."""
        row = np.where(keep, np.cumsum(keep) - 1, -1)
        thinner = self.take(keep[self.columns["image"]])
        extra = dict(self.extra)
        if "detections" in extra:
            detections = extra["detections"][keep[extra["detections"]["image"]]].copy()
            detections["image"] = row[detections["image"]]
            extra["detections"] = detections
        if "ground_truth" in extra:
            gone = {image.name for image, kept in zip(self.images, keep, strict=True) if not kept}
            extra["ground_truth"] = _truth_without(extra["ground_truth"], images=gone)
        return replace(
            thinner,
            images=[image for image, kept in zip(self.images, keep, strict=True) if kept],
            columns={**thinner.columns, "image": row[thinner.columns["image"]]},
            extra=extra,
        )

    def used_images(self) -> Listing:
        """Without the images that no sample and no detection lies in."""
        keep = np.zeros(len(self.images), bool)
        keep[self.columns["image"]] = True
        if "detections" in self.extra:
            keep[self.extra["detections"]["image"]] = True
        return self if keep.all() else self.with_images(keep)

    def first(self, count: int) -> Listing:
        """The first `count` samples and their images."""
        thinner = self.take(np.arange(min(count, len(self))))
        keep = np.zeros(len(self.images), bool)
        keep[thinner.columns["image"]] = True
        return thinner.with_images(keep)


def make_columns(source: str, values: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Columns with the types and shapes of `packed.COLUMNS`, from lists or arrays; empty ones get their shape too."""
    joints = len(NATIVE[source])
    columns = {}
    for name, (dtype, shape, sources) in COLUMNS.items():
        if source in sources:
            full = [-1, *(joints if isinstance(n, str) else n for n in shape)]
            columns[name] = np.asarray(values[name], dtype).reshape(full)
    return columns


def join(parts: Sequence[Listing]) -> Listing:
    """One listing of several of the same source, image rows shifted. `extra` is left to the reader."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.images) for part in parts)])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    columns["image"] = np.concatenate(
        [part.columns["image"] + start for part, start in zip(parts, starts[:-1], strict=True)]
    )
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
    return Listing(
        parts[0].source,
        [image for part in parts for image in part.images],
        columns,
        np.concatenate([part.where for part in parts]),
        dropped=dict(dropped),
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def validate(listing: Listing, bad: Bad) -> Listing:
    """The listing without its bad samples: coordinates that are not finite, boxes without an area, nobody labelled.

    Coordinates of unlabelled joints mean nothing: those that are not finite become 0.

    Raises UserError at the first one, unless `bad` skips them.
    """
    columns = listing.columns
    seen = columns["visible"] > 0
    box = columns["box"]
    rules: list[tuple[str, Any, Callable[[int], str]]] = [
        (
            "coordinates not finite",
            (seen & ~np.isfinite(columns["keypoints"]).all(-1)).any(-1),
            lambda n: f"keypoints are not finite: {_joint_names(listing, n, columns['keypoints'])}",
        ),
        (
            "box not finite or without area",
            ~np.isfinite(box).all(-1) | ~(box[:, 2:] > 0).all(-1),
            lambda n: f"the box has no area: x, y, width, height = {', '.join(f'{v:g}' for v in box[n])} px",
        ),
        ("no labelled joint", ~seen.any(-1), lambda _: "no joint is labelled"),
    ]
    if "keypoints3d" in columns:
        points = columns["keypoints3d"]
        rules.append(
            (
                "3D coordinates not finite",
                ~np.isfinite(points).all((-1, -2)),
                lambda n: f"3D joints are not finite: {_joint_names(listing, n, points)}",
            )
        )
        rules.append(
            (
                "behind the camera",
                (points[..., 2] <= 0).any(-1),
                lambda n: f"a joint lies behind the camera (z = {points[n, :, 2].min():g} mm)",
            )
        )
    good = np.ones(len(listing), bool)
    for kind, broken, describe in rules:
        for n in np.flatnonzero(broken & good):
            bad.refuse(kind, describe(int(n)), listing.where[n])
        good &= ~broken
    listing = replace(listing, columns={**columns, "keypoints": known(columns["keypoints"], columns["visible"])})
    return listing if good.all() else _without(listing, good)


def _without(listing: Listing, good: npt.NDArray[np.bool_]) -> Listing:
    """Only the good samples, in the ground truth too: a person who is not predicted is not to be judged."""
    extra = dict(listing.extra)
    if "ground_truth" in extra:
        gone = set(listing.columns["annotation"][~good].tolist())
        extra["ground_truth"] = _truth_without(extra["ground_truth"], annotations=gone)
    return replace(listing.take(good), extra=extra)


def _joint_names(listing: Listing, sample: int, points: npt.NDArray[Any]) -> str:
    broken = np.flatnonzero(~np.isfinite(points[sample]).all(-1))
    return ", ".join(NATIVE[listing.source].joints[j] for j in broken)


def _truth_without(
    text: npt.NDArray[np.bytes_], images: Set[str] = frozenset(), annotations: Set[int] = frozenset()
) -> npt.NDArray[np.bytes_]:
    data = json.loads(text.tobytes())
    gone = {image["id"] for image in data["images"] if image["file_name"] in images}
    data["images"] = [image for image in data["images"] if image["id"] not in gone]
    data["annotations"] = [
        entry for entry in data["annotations"] if entry["image_id"] not in gone and entry["id"] not in annotations
    ]
    return text_array(json.dumps(data))


def text_array(text: str) -> npt.NDArray[np.bytes_]:
    """Text as the scalar that a packed file's `extra` holds and reads back as bytes."""
    return np.array(text.encode())
