"""Packs a listing: reads and checks the images in parallel, then writes the packed file at once.

The images are read in parts; after an interruption, the next call reuses the complete parts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanpose.data import doubts, jpeg_files, packed, parts
from sanpose.data.readers.listing import BadSamples, Listing, validate
from sanpose.errors import UserError

_BAD_LISTED = 1000

Progress = Callable[[str, int, int], None]
"""Called with a step's name, the number of images done, and the number of images."""


@dataclass(frozen=True)
class PrepareReport:
    """The content of a packed file, and the numbers left out of it. `done_before`: the file existed, nothing was
    written; `mended`: number of images left out as bad that can be read now."""

    path: Path
    samples: int
    images: int
    dropped: Mapping[str, int]
    bad: Mapping[str, int]
    bad_samples: Sequence[str]
    notes: Sequence[str]
    done_before: bool = False
    mended: int = 0


def prepare(
    listing: Listing,
    out: Path,
    bad: BadSamples,
    *,
    options: Mapping[str, object] | None = None,
    workers: int = 2,
    limit: int | None = None,
    synthetic: bool = False,
    force: bool = False,
    progress: Progress = lambda _step, _done, _count: None,
) -> PrepareReport:
    """Write the packed file `out` of a listing; does nothing where `out` already holds the same listing.

    A hash of the listing (image names, arrays) identifies the file, not the pixels: `force` reads them again. options:
    the caller's choices, for the provenance. `out` appears whole or not at all; until then the folder OUT.parts beside
    it stores the images read and needs as much space as the file. Raises UserError at the first bad sample or image
    unless `bad` skips them, where no sample remains, and where `out` holds other content and `force` is not set.
    """
    listing = validate(listing, bad)
    listing = (listing if limit is None else listing.first(limit)).used_images()
    key = _key(listing, synthetic)
    before = None if force else _done_before(out, key, listing)
    if before is not None:
        return before
    _require_samples(listing, bad)
    folder = parts.open_folder(out, key, afresh=force)
    try:
        image_parts = _make_parts(listing, folder, bad, workers, progress)
        good = np.concatenate([part.lengths for part in image_parts]) > 0
        readable = listing if good.all() else listing.without_images(~good)
        _require_samples(readable, bad)
        report = _report(readable, len(listing) - len(readable), out, bad)
        _write(readable, image_parts, out, _provenance(report, key, options or {}), synthetic, progress)
    except BaseException:
        if not any(folder.glob("part-*.npz")):  # no complete part for the next call
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return report


def _require_samples(listing: Listing, bad: BadSamples) -> None:
    if not len(listing):
        left_out = {**listing.dropped, **bad.kinds}
        raise UserError(
            "no sample remains to pack",
            expected="at least one",
            hint="; ".join(f"{count} left out: {reason}" for reason, count in left_out.items())
            or "a smaller --stride, or other --subjects",
        )


def _key(listing: Listing, synthetic: bool) -> str:
    digest = hashlib.sha256(json.dumps([packed.FORMAT, packed.VERSION, listing.source, synthetic]).encode())
    for image in listing.images:
        digest.update(json.dumps([image.name, image.size]).encode())
    for group in (listing.columns, listing.stored_extra):
        for name in sorted(group):
            digest.update(name.encode() + group[name].tobytes())
    return digest.hexdigest()


def _done_before(out: Path, key: str, listing: Listing) -> PrepareReport | None:
    """The report of the existing file, or None without a file. Raises UserError for a file of another listing.

    A file without its bad images is not replaced when they become readable: its fingerprint identifies runs, and a
    training may be reading it.
    """
    if not out.exists():
        return None
    try:
        file = packed.read(out)
    except UserError as error:
        raise UserError(
            f"the output already exists, with other content: {error.what}", where=out, hint="--force replaces it"
        ) from error
    stored = file.provenance
    if stored.get("listing") != key:
        raise UserError(
            "the output already exists, packed from other data or with other options",
            where=out,
            hint="another --out, or --force",
        )
    return PrepareReport(
        out,
        stored["samples"],
        stored["images"],
        stored["dropped"],
        stored["bad"],
        stored["bad_samples"],
        stored["notes"],
        done_before=True,
        mended=_readable(listing, set(file.image_name.tolist())) if stored["bad"] else 0,
    )


def _readable(listing: Listing, packed_names: Set[str]) -> int:
    """The number of the listing's images that are not packed and can be read."""
    count = 0
    for image in listing.images:
        if image.name not in packed_names:
            try:
                jpeg_files.load(image.path, image.size)
            except jpeg_files.BadImageError:
                continue
            count += 1
    return count


def _make_parts(listing: Listing, folder: Path, bad: BadSamples, workers: int, progress: Progress) -> list[parts.Part]:
    images, step = listing.images, parts.IMAGES_PER_PART
    starts = range(0, len(images), step)
    progress("reading images", 0, len(images))
    image_parts: list[parts.Part] = []
    pool = ThreadPoolExecutor(max(workers, 1))  # reading and decoding both release the interpreter's lock
    try:
        jobs = [pool.submit(parts.make, folder, n, images[at : at + step]) for n, at in enumerate(starts)]
        for at, job in zip(starts, jobs, strict=True):
            part = job.result()
            for n, kind, message in part.bad:
                bad.refuse(kind, message, images[at + n].path)
            image_parts.append(part)
            progress("reading images", min(at + step, len(images)), len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return image_parts


def _write(
    listing: Listing,
    image_parts: Sequence[parts.Part],
    out: Path,
    provenance: packed.Provenance,
    synthetic: bool,
    progress: Progress,
) -> None:
    lengths = np.concatenate([part.lengths for part in image_parts])
    sizes = np.concatenate([part.sizes for part in image_parts])
    good = lengths > 0
    packed.write(
        out,
        listing.source,
        jpegs=_jpegs(image_parts, progress),
        lengths=lengths[good],
        names=[image.name for image in listing.images],
        sizes=sizes[good],
        columns=listing.columns,
        extra=listing.stored_extra,
        provenance=provenance,
        synthetic=synthetic,
    )


def _jpegs(image_parts: Sequence[parts.Part], progress: Progress) -> Iterator[npt.NDArray[np.uint8]]:
    count, done = sum(int((part.lengths > 0).sum()) for part in image_parts), 0
    for part in image_parts:
        progress("writing the file", done, count)
        for jpeg in part.jpegs():
            done += 1
            yield jpeg
    progress("writing the file", done, count)


def _report(listing: Listing, without_image: int, out: Path, bad: BadSamples) -> PrepareReport:
    kinds = dict(bad.kinds)
    if without_image:
        kinds["samples in bad images"] = without_image
    return PrepareReport(
        out,
        len(listing),
        len(listing.images),
        dict(listing.dropped),
        kinds,
        bad.messages[:_BAD_LISTED],
        [*listing.notes, *(f"doubtful: {doubt}" for doubt in doubts.of_columns(listing.columns))],
    )


def _provenance(report: PrepareReport, key: str, options: Mapping[str, object]) -> packed.Provenance:
    return {
        "listing": key,
        "options": dict(options),
        "samples": report.samples,
        "images": report.images,
        "dropped": dict(report.dropped),
        "bad": dict(report.bad),
        "bad_samples": list(report.bad_samples),
        "notes": list(report.notes),
    }
