"""The code as it is now, kept for a job that runs later: a read-only copy, shared by all jobs with the same code.

With git: the commit's files as they lie there (so with what differs from the commit) and the untracked ones that are
not ignored. Without: the folders that the caller names. What it came from is in the copy's .provenance.json, since a
copy has no history of its own.
"""

from __future__ import annotations

import compileall
import datetime
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError

PROVENANCE = ".provenance.json"
LARGEST_BYTES = 200 * 2**20
_GIT_SECONDS = 60.0
_SHOWN = 3


@dataclass(frozen=True)
class SnapshotPlan:
    """A snapshot that could be made. files: path in the copy -> where it lies. packages: the folders of Python code.
    git: `commit`, `dirty`, `diff`, `untracked`, or `commit` None and `reason`; as in a run's provenance. hash: of all
    that, names the copy."""

    root: Path
    files: dict[str, Path]
    packages: tuple[str, ...]
    git: dict[str, Any]
    hash: str


def plan(repository: Path, folders: Sequence[Path], exclude: Sequence[Path] = ()) -> SnapshotPlan:
    """What a snapshot would hold; writes nothing.

    folders: packages and data folders that are to be in it by their names: copied where they are not in a git
    repository at `repository`. exclude: folders that are left out, such as that of the runs. Raises ClusterError when
    it would be larger than a snapshot may be, or a file cannot be read.
    """
    git = _git_state(repository)
    files: dict[str, Path] = {}
    if git["commit"]:
        names = _git(repository, "ls-files", "-z").split("\0") + git["untracked"]
        files = {name: repository / name for name in names if name}
    for folder in folders:
        if not any(name.startswith(f"{folder.name}/") and path.is_relative_to(folder) for name, path in files.items()):
            files = {n: p for n, p in files.items() if not n.startswith(f"{folder.name}/")} | _below(folder)
    files = {n: p for n, p in sorted(files.items()) if _wanted(p, exclude)}
    _refuse_large(files)
    packages = tuple(folder.name for folder in folders if (folder / "__init__.py").is_file())
    return SnapshotPlan(repository, files, packages, git, _hash(files, git))


def make(planned: SnapshotPlan, store: Path) -> Path:
    """The copy, made in `store` if it is not there yet; it appears whole. Raises ClusterError when it cannot be."""
    target = store / planned.hash
    if target.is_dir():
        return target
    part = None
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=store))
        _fill(planned, part, target)
        _finish(part, target)
    except OSError as error:
        raise ClusterError(f"the code cannot be copied: {error.strerror}", where=error.filename or store) from error
    finally:
        if part and part.exists():
            remove(part)
    return target


def remove(snapshot: Path) -> None:
    """Delete a snapshot, read-only as it is."""
    for folder, _, _ in os.walk(snapshot):
        Path(folder).chmod(0o700)
    shutil.rmtree(snapshot)


def _fill(planned: SnapshotPlan, part: Path, target: Path) -> None:
    for name, path in planned.files.items():
        copy = part / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(_link(name, path))
        else:
            shutil.copy2(path, copy)
    copied = {name: part / name for name in planned.files}
    if _hash(copied, planned.git) != planned.hash:
        raise ClusterError("the code was changed while it was copied", where=planned.root, hint="submit again")
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = {"schema": 1, "made": at, "repository": str(planned.root), "hash": planned.hash, "git": planned.git}
    (part / PROVENANCE).write_text(json.dumps(told, indent=1) + "\n")
    # A read-only folder takes no bytecode later, and every process would compile the code for itself.
    for package in planned.packages:
        compileall.compile_dir(
            part / package,
            quiet=2,
            stripdir=str(part),
            prependdir=str(target),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _finish(part: Path, target: Path) -> None:
    for folder, _, names in os.walk(part, topdown=False):
        for name in names:
            file = Path(folder) / name
            if not file.is_symlink():
                file.chmod(0o555 if os.access(file, os.X_OK) else 0o444)
        Path(folder).chmod(0o555)
    try:
        part.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster, with the same
            raise


def _git_state(repository: Path) -> dict[str, Any]:
    try:
        top = Path(_git(repository, "rev-parse", "--show-toplevel").strip())
        if top.resolve() != repository.resolve():
            return {"commit": None, "reason": f"{repository} is no repository of its own"}
        commit = _git(repository, "rev-parse", "--verify", "HEAD").strip()
        diff = _git(repository, "diff", "HEAD", "--no-ext-diff", "--no-color", errors="replace")
        untracked = [n for n in _git(repository, "ls-files", "-z", "--others", "--exclude-standard").split("\0") if n]
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return {"commit": None, "reason": lines[-1] if lines else f"git ended with code {error.returncode}"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"commit": None, "reason": str(error)}
    return {"commit": commit, "dirty": bool(diff or untracked), "diff": diff, "untracked": untracked}


def _git(repository: Path, *arguments: str, errors: str = "surrogateescape") -> str:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors=errors,
        timeout=_GIT_SECONDS,
    ).stdout


def _below(folder: Path) -> dict[str, Path]:
    return {
        str(Path(folder.name) / path.relative_to(folder)): path
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }


def _wanted(path: Path, exclude: Sequence[Path]) -> bool:
    """Whether a file is to be copied: one that is listed may be deleted, or a repository within the repository."""
    inside = any(path.absolute().is_relative_to(folder.absolute()) for folder in exclude)
    return not inside and (path.is_symlink() or path.is_file())


def _refuse_large(files: dict[str, Path]) -> None:
    sizes = {name: path.lstat().st_size for name, path in files.items()}
    if sum(sizes.values()) > LARGEST_BYTES:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_SHOWN]
        raise ClusterError(
            f"the code is {sum(sizes.values()) / 2**20:.0f} MB, too large to be copied for a job",
            where=", ".join(f"{name} ({sizes[name] / 2**20:.0f} MB)" for name in largest),
            expected=f"at most {LARGEST_BYTES // 2**20} MB that git does not ignore",
            hint="name what is not code in .gitignore",
        )


def _link(name: str, path: Path) -> str:
    """Where a link of the copy leads: within the tree as before, outside of it to the same place."""
    root = path.parents[len(Path(name).parts) - 1]
    told = path.readlink()
    leads = Path(os.path.normpath(path.parent / told))
    return str(leads if told.is_absolute() or not leads.is_relative_to(root) else told)


def _hash(files: dict[str, Path], git: dict[str, Any]) -> str:
    """Ten characters of the SHA-256 of the files' names, contents and modes, the commit, and whether it is dirty."""
    digest = hashlib.sha256(f"{git['commit']} {git.get('dirty')}\0".encode())
    for name, path in files.items():
        digest.update(os.fsencode(name) + b"\0")
        try:
            if path.is_symlink():
                digest.update(b"link\0" + os.fsencode(_link(name, path)))
            else:
                digest.update(b"x" if os.access(path, os.X_OK) else b"-")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise ClusterError(f"a file of the code cannot be read: {error.strerror}", where=path) from error
    return digest.hexdigest()[:10]
