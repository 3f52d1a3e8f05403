"""Makes the synthetic sets: plans jobs, runs them in processes, and moves each finished set to its final folder.

A set depends only on its options: every picture has its own random numbers, whichever process draws it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import cv2

from sanpose.data.synth import h36m_set, wild_sets
from sanpose.data.synth.options import MARK, SETS, VERSION, Options, SetName
from sanpose.errors import UserError

MANIFEST = "synth.json"
Progress = Callable[[SetName, int, int], None]
"""Called with the set, the number of pictures made so far, and the number of pictures to make."""

Job = TypeVar("Job")
Entry = TypeVar("Entry")
Result = TypeVar("Result")


class _Map(Protocol):
    """Calls a function on each job, here or in other processes; the results have the jobs' order."""

    def __call__(self, function: Callable[[Job], Result], jobs: Sequence[Job], /) -> Iterable[Result]: ...


@dataclass(frozen=True)
class _Plan(Generic[Job, Entry]):
    """A set's jobs. make: writes one job's pictures, and returns their annotations; pictures: a job's number of
    pictures; finish: writes the annotation files of all jobs."""

    jobs: list[Job]
    make: Callable[[Job], list[Entry]]
    pictures: Callable[[Job], int]
    finish: Callable[[list[Entry]], None]

    def carry_out(self, run: _Map, progress: Callable[[int, int], None]) -> None:
        """Run all jobs. progress: called with the numbers of pictures made and to make."""
        total, done = sum(map(self.pictures, self.jobs)), 0
        entries: list[Entry] = []
        progress(0, total)
        for job, result in zip(self.jobs, run(self.make, self.jobs), strict=True):
            entries += result
            done += self.pictures(job)
            progress(done, total)
        self.finish(entries)


def is_there(folder: Path, name: SetName, options: Options) -> bool:
    """Whether a folder already holds this set, made with these options.

    Raises UserError where it holds other content, which is never replaced.
    """
    if not folder.exists():
        return False
    manifest = _read_manifest(folder)
    if manifest is None:
        raise UserError(
            "the folder was not made by `sanpose data synth`",
            where=folder,
            expected=f"no folder, or a folder with {MANIFEST}",
            hint="another --out",
        )
    return manifest == _manifest(name, options)


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

    A finished set with the same options is made again only with `force`; each set appears complete or not at all.
    Raises UserError where a folder holds a set with other options (without `force`), or other content.
    """
    made: dict[SetName, bool] = {}
    for name in only:
        if is_there(out / name, name, options) and not force:
            made[name] = False
        elif (out / name).exists() and not force:
            raise UserError(
                "the folder holds a synthetic set made with other options",
                where=out / name,
                expected=json.dumps(options.of(name)),
                hint="--force to replace the set, or another --out",
            )
        else:
            made[name] = True
    if any(made.values()):
        with _pool(workers) as run:
            for name in [name for name, is_new in made.items() if is_new]:
                _make(out, name, options, run, progress or (lambda *_: None))
    return made


def _manifest(name: SetName, options: Options) -> dict[str, object]:
    return {"set": name, "version": VERSION, "options": options.of(name)}


def _read_manifest(folder: Path) -> dict[str, object] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _make(out: Path, name: SetName, options: Options, run: _Map, progress: Progress) -> None:
    part, final = out / f"{name}.part", out / name
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _plan(name, options, part).carry_out(run, partial(progress, name))
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    text = ", ".join(f"{key} {value}" for key, value in options.of(name).items())
    (part / MARK).write_text(f"Made by `sanpose data synth`, version {VERSION}: {text}\n", "utf-8")
    (part / MANIFEST).write_text(json.dumps(_manifest(name, options), indent=1) + "\n", "utf-8")
    if final.exists():
        shutil.rmtree(final)
    os.replace(part, final)


def _plan(
    name: SetName, options: Options, part: Path
) -> (
    _Plan[h36m_set.Job, h36m_set.Shot]
    | _Plan[wild_sets.Job, wild_sets.MpiiPerson]
    | _Plan[wild_sets.Job, wild_sets.CocoPicture]
):
    """The jobs of a set that write into the folder `part`."""
    if name == "h36m":
        return _Plan(
            h36m_set.jobs(options),
            partial(h36m_set.make, options, part),
            partial(h36m_set.pictures, options),
            partial(h36m_set.finish, options, part),
        )
    if name == "mpii":
        return _Plan(
            wild_sets.jobs(options.mpii_train, options.mpii_val),
            partial(wild_sets.make_mpii, options, part),
            wild_sets.pictures,
            partial(wild_sets.finish_mpii, part),
        )
    return _Plan(
        wild_sets.jobs(options.coco_train, options.coco_val),
        partial(wild_sets.make_coco, options, part),
        wild_sets.pictures,
        partial(wild_sets.finish_coco, options, part),
    )


@contextmanager
def _pool(workers: int) -> Iterator[_Map]:
    """A `map` in this process or in several."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that a progress bar's thread may hold
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield pool.map
