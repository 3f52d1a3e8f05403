"""Makes the synthetic sets: plans jobs, runs them in processes, and puts each finished set in its place at once.

A set depends on its options alone: every picture has its own random numbers, whatever process draws it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from sanpose.data.synth import h36m_set, wild_sets
from sanpose.data.synth.options import SETS, VERSION, Options, SetName
from sanpose.errors import UserError

MANIFEST = "synth.json"
MARK = "SYNTHETIC"
_Entries = list[dict[str, Any]]
_Map = Callable[[Callable[[Any], _Entries], list[Any]], Iterable[_Entries]]
Progress = Callable[[SetName, int, int], None]
"""Called with the set, the pictures made so far, and the pictures wanted."""


def is_there(folder: Path, name: SetName, options: Options) -> bool:
    """Whether a folder already holds this set, made with these options.

    Raises UserError where it holds something else, which is never overwritten unasked.
    """
    if not folder.exists():
        return False
    found = _manifest(folder)
    if found is None:
        raise UserError(
            "the folder holds something that was not made by `sanpose data synth`",
            where=folder,
            expected=f"an empty place, or a folder with {MANIFEST}",
            hint="another --out",
        )
    return found == _wanted(name, options)


def generate(
    out: Path,
    options: Options,
    *,
    only: tuple[SetName, ...] = SETS,
    workers: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[SetName, bool]:
    """Make sets under `out`, in out/h36m, out/mpii and out/coco. Returns for each whether it was made now.

    A finished set with the same options is left alone unless `force`; each set appears complete or not at all.
    Raises UserError where a folder holds a set with other options (and not `force`), or something else.
    """
    made: dict[SetName, bool] = {}
    for name in only:
        if is_there(out / name, name, options) and not force:
            made[name] = False
        elif (out / name).exists() and not force:
            raise UserError(
                "the folder holds a synthetic set made with other options",
                where=out / name,
                expected=json.dumps(_wanted(name, options)["options"]),
                hint="--force to make it anew, or another --out",
            )
        else:
            made[name] = True
    if any(made.values()):
        with _pool(workers) as run:
            for name in [name for name, wanted in made.items() if wanted]:
                _make(out, name, options, run, progress or (lambda *_: None))
    return made


def _wanted(name: SetName, options: Options) -> dict[str, Any]:
    return {"set": name, "version": VERSION, "options": options.of(name)}


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _make(out: Path, name: SetName, options: Options, run: _Map, progress: Progress) -> None:
    part, final = out / f"{name}.part", out / name
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    jobs, one, count, finish = _plan(name, options, part)
    total, done = sum(map(count, jobs)), 0
    entries: _Entries = []
    progress(name, 0, total)
    try:
        for job, result in zip(jobs, run(one, jobs), strict=True):
            entries += result
            done += count(job)
            progress(name, done, total)
        finish(entries)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    text = ", ".join(f"{key} {value}" for key, value in options.of(name).items())
    (part / MARK).write_text(f"Made by `sanpose data synth`, version {VERSION}: {text}\n", "utf-8")
    (part / MANIFEST).write_text(json.dumps(_wanted(name, options), indent=1) + "\n", "utf-8")
    if final.exists():
        shutil.rmtree(final)
    os.replace(part, final)


_Plan = tuple[list[Any], Callable[[Any], _Entries], Callable[[Any], int], Callable[[_Entries], None]]


def _plan(name: SetName, options: Options, part: Path) -> _Plan:
    """A set's jobs, what does one, how many pictures one makes, and what writes the annotations."""
    if name == "h36m":
        return (
            h36m_set.jobs(options),
            partial(_one, h36m_set.make, options, part),
            partial(h36m_set.pictures, options),
            lambda entries: h36m_set.finish(options, entries, part),
        )
    if name == "mpii":
        return (
            wild_sets.jobs(options.mpii_train, options.mpii_val),
            partial(_one, wild_sets.make_mpii, options, part),
            wild_sets.pictures,
            lambda entries: wild_sets.finish_mpii(entries, part),
        )
    return (
        wild_sets.jobs(options.coco_train, options.coco_val),
        partial(_one, wild_sets.make_coco, options, part),
        wild_sets.pictures,
        lambda entries: wild_sets.finish_coco(options, entries, part),
    )


def _one(make: Callable[[Options, Any, Path], _Entries], options: Options, part: Path, job: Any) -> _Entries:
    return make(options, job, part)


@contextmanager
def _pool(workers: int) -> Iterator[_Map]:
    """A `map` that keeps its jobs' order, in this process or in several."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that a progress bar's thread may hold
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield pool.map
