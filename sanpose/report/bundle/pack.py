"""From a folder of runs to a bundle: a folder, or one archive."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from sanpose import __version__
from sanpose.errors import UserError
from sanpose.report import build
from sanpose.report.bundle import manifest
from sanpose.report.bundle.manifest import CONFIGS, RUNS, TABLES, Manifest
from sanpose.report.bundle.placeless import placeless, placeless_lines
from sanpose.report.gather import gather
from sanpose.runs import provenance
from sanpose.runs.ledger import RunRecord
from sanpose.runs.paths import RunPaths
from sweeps import record
from sweeps.files import read_json, to_json, write_atomic

_ARCHIVES = {".tar.xz": "xztar", ".tar.gz": "gztar"}
_OTHER_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".bz2", ".zst")
_CONFIGS = ("config.yaml", "preset/*.yaml", "ablation/*.yaml", "paper/*.csv")
_SUBMITTED = ("sweep.json", "trials.jsonl")


def pack(runs: Path, sweep: str | None, out: Path, config_dir: Path, *, weights: bool = False) -> Manifest:
    """Write the records of a sweep, or of all runs, and the tables that they give, as a folder or an archive `out`.

    weights: also the kept checkpoints. The bundle appears whole or not at all. Raises UserError when `out` exists, a
    record cannot be read, a run has not ended, and as `gather` does.
    """
    if out.exists():
        raise UserError("the bundle's place is taken", where=out, hint="another --out")
    if out.name.endswith(_OTHER_ARCHIVES):
        raise UserError("this kind of archive is not written", where=out, expected="a .tar.xz, a .tar.gz, or a folder")
    content = gather(runs, config_dir, sweep)
    _require_ended(content.records, content.broken)
    with _staged(out) as folder:
        for run in content.records:
            _copy_run(run, folder / RUNS / run.id, weights)
        for one in content.sweeps:
            _copy_sweep(record.folder_of(runs, one.name), record.folder_of(folder / RUNS, one.name))
        _copy_configs(config_dir, folder / CONFIGS)
        tables = gather(folder / RUNS, folder / CONFIGS, sweep).all_tables
        build.write(tables, folder / TABLES)
        changed = {run.id: run.changed for run in content.records}
        names = tuple(table.name for table in tables)
        listed = Manifest(sweep, provenance.now(), __version__, manifest.hashes(folder), changed, names)
        listed.write(folder)
    return listed


def _require_ended(records: tuple[RunRecord, ...], broken: tuple[object, ...]) -> None:
    if broken:
        raise UserError(f"{len(broken)} records cannot be read", hint="`sanpose report` names them")
    if not records:
        raise UserError("there is no run to bundle")
    going = [run.id for run in records if run.status == "running"]
    if going:
        raise UserError(f"run {going[0]} has not ended", expected="a bundle of runs that have ended")


def _copy_run(run: RunRecord, target: Path, weights: bool) -> None:
    """A run's record, journal and provenance, and on request its checkpoints."""
    source, copy = RunPaths(run.folder), RunPaths(target)
    target.mkdir(parents=True)
    config = placeless(yaml.safe_load(source.config.read_text()))
    write_atomic(copy.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    documents = [source.result, source.provenance, *sorted(run.folder.glob("evaluation-*.json"))]
    for path in (path for path in documents if path.is_file()):
        write_atomic(target / path.name, to_json(placeless(read_json(path))))
    if source.journal.is_file():
        write_atomic(copy.journal, placeless_lines(source.journal.read_text()))
    for path in run.folder.glob("diff*.patch"):
        shutil.copyfile(path, target / path.name)
    if weights and source.checkpoints.is_dir():
        shutil.copytree(source.checkpoints, copy.checkpoints)
    _set_changed(copy, run.changed)


def _set_changed(paths: RunPaths, seconds: float) -> None:
    """Of two equal groups of runs, the report takes the group whose record changed last."""
    for path in (paths.result, paths.journal):
        if path.is_file():
            os.utime(path, (seconds, seconds))


def restore_times(folder: Path, listed: Manifest) -> None:
    """Give the records of a bundle's folder the times of the list: neither git nor every archive keeps times."""
    for run, seconds in listed.changed.items():
        _set_changed(RunPaths(folder / RUNS / run), seconds)


def _copy_sweep(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    head, trials = (source / name for name in _SUBMITTED)
    write_atomic(target / head.name, to_json(placeless(read_json(head))))
    if trials.is_file():
        write_atomic(target / trials.name, placeless_lines(trials.read_text()))


def _copy_configs(source: Path, target: Path) -> None:
    for path in (path for pattern in _CONFIGS for path in sorted(source.glob(pattern))):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, which becomes the folder or the archive `out` at the end."""
    ending = next((ending for ending in _ARCHIVES if out.name.endswith(ending)), None)
    name = out.name.removesuffix(ending) if ending else out.name
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise UserError(f"the bundle cannot be written: {error.strerror}", where=out) from error
    stage.chmod(0o755)
    try:
        folder = stage / name
        folder.mkdir()
        yield folder
        whole = Path(shutil.make_archive(str(folder), _ARCHIVES[ending], stage, name)) if ending else folder
        whole.rename(out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
