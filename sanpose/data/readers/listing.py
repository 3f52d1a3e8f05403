"""The result of every reader: a list of the images, and the samples' arrays as `sanpose.data.packed` defines them.

Knows how to join, validate and reduce listings. Does not know data sets or pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanpose.data.array_files import Array
from sanpose.data.packed import COLUMNS, fill_unlabelled
from sanpose.data.readers.listed_truth import NOT_PACKED, ListedTruth
from sanpose.errors import UserError
from sanpose.pose.joints import NATIVE


class ImageFile(NamedTuple):
    """An image to pack. `size`: (width, height) px according to the annotations, None where they do not say."""

    path: Path
    name: str
    size: tuple[int, int] | None = None


@dataclass
class BadSamples:
    """Bad samples. The first one raises UserError; with `skip`, each one is left out and recorded."""

    skip: bool = False
    messages: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def refuse(self, kind: str, what: str, where: object, expected: str | None = None, hint: str | None = None) -> None:
        """Record one bad sample. `kind`: a few words to count by. Raises UserError unless bad samples are skipped."""
        if not self.skip:
            hint = hint or "repair it, or leave bad samples out with --skip-bad"
            raise UserError(what, where=where, expected=expected, hint=hint)
        self.kinds[kind] += 1
        self.messages.append(f"{where}: {what}")
        self.first.setdefault(kind, self.messages[-1])

    def malformed(self, error: UserError) -> None:
        """Record an entry that cannot be read. Raises UserError unless bad samples are skipped."""
        self.refuse("malformed entry", error.what, error.where, error.expected, error.hint)


@dataclass(frozen=True)
class Listing:
    """Images and samples of one source.

    columns: as in `packed.COLUMNS`, where `image` is a row of `images`; where: (N,) text, each sample's file and entry
    for messages; extra: as in the packed file; truth: what an evaluation scores against, where it differs from the
    samples; dropped: number of samples that each of the data set's own rules leaves out; notes: how the reader
    interpreted the folder.
    """

    source: str
    images: Sequence[ImageFile]
    columns: Mapping[str, Array]
    where: npt.NDArray[np.object_]
    extra: Mapping[str, Array] = field(default_factory=dict)
    truth: ListedTruth | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.columns["image"])

    def take(self, rows: Array) -> Listing:
        """The samples at `rows` (indices or a mask), with all images."""
        return replace(
            self, columns={name: values[rows] for name, values in self.columns.items()}, where=self.where[rows]
        )

    @property
    def stored_extra(self) -> dict[str, Array]:
        """`extra` as the packed file stores it, with the ground truth as text."""
        return {**self.extra, **({"ground_truth": text_array(self.truth.text())} if self.truth else {})}

    def without_images(self, bad: npt.NDArray[np.bool_]) -> Listing:
        """Without the images of the mask `bad` (M,), their samples, their detections, and their ground truth."""
        return replace(self, truth=self.truth and self.truth.without_images(bad))._only_images(~bad)

    def used_images(self) -> Listing:
        """Without the images that have no sample and no detection; the ground truth retains them."""
        keep = np.zeros(len(self.images), bool)
        keep[self.columns["image"]] = True
        if "detections" in self.extra:
            keep[self.extra["detections"]["image"]] = True
        return self if keep.all() else self._only_images(keep)

    def first(self, count: int) -> Listing:
        """The first `count` samples and their images; the ground truth, too, is of these images only."""
        reduced = self.take(np.arange(min(count, len(self))))
        keep = np.zeros(len(self.images), bool)
        keep[reduced.columns["image"]] = True
        return reduced.without_images(~keep)

    def _only_images(self, keep: npt.NDArray[np.bool_]) -> Listing:
        """Only the images of the mask `keep` (M,), with their samples and detections."""
        row = np.where(keep, np.cumsum(keep) - 1, NOT_PACKED)
        reduced = self.take(keep[self.columns["image"]])
        extra = dict(self.extra)
        if "detections" in extra:
            detections = extra["detections"][keep[extra["detections"]["image"]]].copy()
            detections["image"] = row[detections["image"]]
            extra["detections"] = detections
        return replace(
            reduced,
            images=list(compress(self.images, keep)),
            columns={**reduced.columns, "image": row[reduced.columns["image"]]},
            extra=extra,
            truth=self.truth and self.truth.moved(row),
        )


def make_columns(source: str, values: Mapping[str, object]) -> dict[str, Array]:
    """Columns with the types and shapes of `packed.COLUMNS`, also when empty. values: lists or arrays by column."""
    joints = len(NATIVE[source])
    columns = {}
    for name, (dtype, shape, sources) in COLUMNS.items():
        if source in sources:
            full = [-1, *(joints if isinstance(n, str) else n for n in shape)]
            columns[name] = np.asarray(values[name], dtype).reshape(full)
    return columns


def columns_of(source: str, rows: Sequence[Mapping[str, object]]) -> dict[str, Array]:
    """Columns as `make_columns` makes them, from the samples' values by column."""
    names = [name for name, (_, _, sources) in COLUMNS.items() if source in sources]
    return make_columns(source, {name: [row[name] for row in rows] for name in names})


def join(parts: Sequence[Listing]) -> Listing:
    """One listing from several of the same source, with image rows shifted. The reader adds `extra`."""
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


def validate(listing: Listing, bad: BadSamples) -> Listing:
    """The listing without its bad samples: coordinates that are not finite, boxes without area, no labelled joint.

    Coordinates of unlabelled joints that are not finite become 0, as they have no meaning. Raises UserError at the
    first bad sample, unless `bad` skips them.
    """
    columns = listing.columns
    labelled = columns["visible"] > 0
    box = columns["box"]
    rules: list[tuple[str, npt.ArrayLike, Callable[[int], str]]] = [
        (
            "coordinates not finite",
            (labelled & ~np.isfinite(columns["keypoints"]).all(-1)).any(-1),
            lambda n: f"keypoints are not finite: {_joint_names(listing, n, columns['keypoints'])}",
        ),
        (
            "box not finite or without area",
            ~np.isfinite(box).all(-1) | ~(box[:, 2:] > 0).all(-1),
            lambda n: f"the box has no area: x, y, width, height = {', '.join(f'{v:g}' for v in box[n])} px",
        ),
        ("no labelled joint", ~labelled.any(-1), lambda _: "no joint is labelled"),
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
    for kind, mask, describe in rules:
        broken = np.asarray(mask, bool)
        for n in np.flatnonzero(broken & good):
            bad.refuse(kind, describe(int(n)), listing.where[n])
        good &= ~broken
    keypoints = fill_unlabelled(columns["keypoints"], columns["visible"])
    listing = replace(listing, columns={**columns, "keypoints": keypoints})
    return listing if good.all() else _without(listing, good)


def _without(listing: Listing, good: npt.NDArray[np.bool_]) -> Listing:
    """Only the good samples, in the ground truth too: people without a prediction must not count in the metric."""
    truth = listing.truth and listing.truth.without_people(set(listing.where[~good].tolist()))
    return replace(listing.take(good), truth=truth)


def _joint_names(listing: Listing, sample: int, points: Array) -> str:
    broken = np.flatnonzero(~np.isfinite(points[sample]).all(-1))
    return ", ".join(NATIVE[listing.source].joints[j] for j in broken)


def text_array(text: str) -> npt.NDArray[np.bytes_]:
    """Text as a scalar array for a packed file's `extra`, which is read back as bytes."""
    return np.array(text.encode())
