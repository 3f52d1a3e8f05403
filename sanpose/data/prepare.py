"""From a listing to a packed file: reads and checks the images in parallel, then writes the packed file in one go.

The images are read in parts, which the call after an interrupted one takes up again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanpose.data import jpeg_files, packed, parts
from sanpose.data.readers.listing import Bad, Listing, validate
from sanpose.errors import UserError

_BAD_LISTED = 1000

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many images of it are done, and how many there are."""


@dataclass(frozen=True)
class PrepareReport:
    """What a packed file holds and what was left out. `done_before`: it was there already, nothing was written;
    `mended`: how many of the images that were left out of it as bad can be read now."""

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
    bad: Bad,
    *,
    options: Mapping[str, Any] | None = None,
    workers: int = 2,
    limit: int | None = None,
    synthetic: bool = False,
    force: bool = False,
    progress: Progress = lambda _what, _done, _count: None,
) -> PrepareReport:
    """Write the packed file `out` of a listing; where it is there already, of the same listing, do nothing.

    The file is known by a hash of the listing (image names, arrays), not of the pixels: `force` reads them anew.
    options: what a person chose, for the provenance. `out` appears whole or not at all. Until then OUT.parts beside
    it keeps what was read; it needs as much room as the file. Raises UserError at the first bad sample or image unless
    `bad` skips them, where nothing is left, and where `out` is something else and not forced.
    """
    listing = validate(listing, bad).used_images()
    listing = listing if limit is None else listing.first(limit)
    key = _key(listing, synthetic)
    before = None if force else _done_before(out, key, listing)
    if before is not None:
        return before
    _some(listing, bad)
    folder = parts.open_folder(out, key, afresh=force)
    try:
        made = _make_parts(listing, folder, bad, workers, progress)
        good = np.concatenate([part.lengths for part in made]) > 0
        kept = listing if good.all() else listing.with_images(good)
        _some(kept, bad)
        report = _report(kept, len(listing) - len(kept), out, bad)
        _write(kept, made, out, _provenance(report, key, options or {}), synthetic, progress)
    except BaseException:
        if not any(folder.glob("part-*.npz")):  # nothing that the next call could take up
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return report


def _some(listing: Listing, bad: Bad) -> None:
    if not len(listing):
        lost = {**listing.dropped, **bad.kinds}
        raise UserError(
            "no sample is left to pack",
            expected="at least one",
            hint="; ".join(f"{count} left out: {reason}" for reason, count in lost.items())
            or "a smaller --stride, or other --subjects",
        )


def _key(listing: Listing, synthetic: bool) -> str:
    digest = hashlib.sha256(json.dumps([packed.FORMAT, packed.VERSION, listing.source, synthetic]).encode())
    for image in listing.images:
        digest.update(json.dumps([image.name, image.size]).encode())
    for group in (listing.columns, listing.extra):
        for name in sorted(group):
            digest.update(name.encode() + group[name].tobytes())
    return digest.hexdigest()


def _done_before(out: Path, key: str, listing: Listing) -> PrepareReport | None:
    """The report of the file that is there, or None where there is none. Raises UserError where it is another.

    A file that lacks bad images is not written anew by itself when they have come: runs are known by its fingerprint,
    and a training may be reading it.
    """
    if not out.exists():
        return None
    try:
        file = packed.read(out)
    except UserError as error:
        raise UserError(
            f"there is something else already: {error.what}", where=out, hint="--force replaces it"
        ) from error
    there: Mapping[str, Any] = file.provenance
    if there.get("listing") != key:
        raise UserError(
            "there is a packed file of other data or options already", where=out, hint="another --out, or --force"
        )
    return PrepareReport(
        out,
        there["samples"],
        there["images"],
        there["dropped"],
        there["bad"],
        there["bad_samples"],
        there["notes"],
        done_before=True,
        mended=_readable(listing, set(file.image_name.tolist())) if there["bad"] else 0,
    )


def _readable(listing: Listing, packed_names: Set[str]) -> int:
    """How many of the listing's images that are not packed can be read."""
    count = 0
    for image in listing.images:
        if image.name not in packed_names:
            try:
                jpeg_files.load(image.path, image.size)
            except jpeg_files.BadImageError:
                continue
            count += 1
    return count


def _make_parts(listing: Listing, folder: Path, bad: Bad, workers: int, progress: Progress) -> list[parts.Part]:
    images, step = listing.images, parts.IMAGES_PER_PART
    starts = range(0, len(images), step)
    progress("reading images", 0, len(images))
    made: list[parts.Part] = []
    pool = ThreadPoolExecutor(max(workers, 1))  # reading and decoding both release the interpreter's lock
    try:
        jobs = [pool.submit(parts.make, folder, n, images[at : at + step]) for n, at in enumerate(starts)]
        for at, job in zip(starts, jobs, strict=True):
            part = job.result()
            for n, kind, what in part.bad:
                bad.refuse(kind, what, images[at + n].path)
            made.append(part)
            progress("reading images", min(at + step, len(images)), len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return made


def _write(
    listing: Listing,
    made: Sequence[parts.Part],
    out: Path,
    provenance: Mapping[str, Any],
    synthetic: bool,
    progress: Progress,
) -> None:
    lengths = np.concatenate([part.lengths for part in made])
    sizes = np.concatenate([part.sizes for part in made])
    good = lengths > 0
    packed.write(
        out,
        listing.source,
        jpegs=_jpegs(made, progress),
        lengths=lengths[good],
        names=[image.name for image in listing.images],
        sizes=sizes[good],
        columns=listing.columns,
        extra=listing.extra,
        provenance=provenance,
        synthetic=synthetic,
    )


def _jpegs(made: Sequence[parts.Part], progress: Progress) -> Iterator[npt.NDArray[np.uint8]]:
    count, done = sum(int((part.lengths > 0).sum()) for part in made), 0
    for part in made:
        progress("writing the file", done, count)
        for jpeg in part.jpegs():
            done += 1
            yield jpeg
    progress("writing the file", done, count)


def _report(listing: Listing, without_image: int, out: Path, bad: Bad) -> PrepareReport:
    kinds = dict(bad.kinds)
    if without_image:
        kinds["samples in bad images"] = without_image
    return PrepareReport(
        out,
        len(listing),
        len(listing.images),
        dict(listing.dropped),
        kinds,
        bad.found[:_BAD_LISTED],
        list(listing.notes),
    )


def _provenance(report: PrepareReport, key: str, options: Mapping[str, Any]) -> dict[str, Any]:
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
