"""The code as it is now, kept for a job that runs later: a read-only copy, shared by all jobs with the same code.

With git, the copy holds the working tree: tracked files (with their changes) and untracked files that git does not
ignore. Without git, it holds the folders that the caller names. The copy has no git history; its .provenance.json
records the state of the repository, which the caller reads and passes in.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError

PROVENANCE = ".provenance.json"
LARGEST_BYTES = 200 * 2**20
_GIT_SECONDS = 60.0
_SHOWN = 3


@dataclass(frozen=True)
class SnapshotPlan:
    """A snapshot that could be made.

    files: path in the copy -> path of the original. packages: the folders of Python code. git: the state of the
    repository, as in a run's provenance. hash: of all that; it names the copy.
    """

    root: Path
    files: dict[str, Path]
    packages: tuple[str, ...]
    git: Mapping[str, object]
    hash: str

    @property
    def commit(self) -> str | None:
        """The commit that the code is based on; None without a repository."""
        commit = self.git.get("commit")
        return commit if isinstance(commit, str) else None

    @property
    def dirty(self) -> bool | None:
        """Whether the code differs from the commit; None without a commit."""
        dirty = self.git.get("dirty")
        return dirty if isinstance(dirty, bool) else None


def plan(
    repository: Path, git: Mapping[str, object], folders: Sequence[Path], exclude: Sequence[Path] = ()
) -> SnapshotPlan:
    """What a snapshot would hold; writes nothing.

    git: the state of the repository: `commit` (None without one), `dirty` and whatever else the copy's provenance
    should say. folders: packages and data folders that the copy must hold under their names: taken from their own place
    where git does not list them. exclude: folders to leave out, such as the folder of runs. Raises ClusterError when
    the snapshot would be too large, or when a file cannot be read.
    """
    files = {name: repository / name for name in _listed(repository)} if git.get("commit") else {}
    for folder in folders:
        if not any(name.startswith(f"{folder.name}/") and path.is_relative_to(folder) for name, path in files.items()):
            files = {n: p for n, p in files.items() if not n.startswith(f"{folder.name}/")} | _below(folder)
    files = {n: p for n, p in sorted(files.items()) if _is_code(p, exclude)}
    _refuse_large(files)
    packages = tuple(folder.name for folder in folders if (folder / "__init__.py").is_file())
    return SnapshotPlan(repository, files, packages, git, _hash(files, git))


def make(planned: SnapshotPlan, store: Path) -> Path:
    """The copy, made in `store` unless it exists; it appears whole. Raises ClusterError when it cannot be made."""
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
    """Delete a snapshot, which is read-only."""
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
        raise ClusterError("the code changed while it was copied", where=planned.root, hint="submit again")
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    origin = {"schema": 1, "made": at, "repository": str(planned.root), "hash": planned.hash, "git": dict(planned.git)}
    (part / PROVENANCE).write_text(json.dumps(origin, indent=1) + "\n")
    # Python cannot write bytecode into a read-only folder, and every process would compile the code again.
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
        if not target.is_dir():  # otherwise another process has made the same copy first
            raise


def _listed(repository: Path) -> list[str]:
    """The files that git tracks, and the untracked ones that it does not ignore. Empty where git lists nothing, as in
    a snapshot, which has no history."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, timeout=_GIT_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [os.fsdecode(name) for name in listing.split(b"\0") if name]


def _below(folder: Path) -> dict[str, Path]:
    return {
        str(Path(folder.name) / path.relative_to(folder)): path
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }


def _is_code(path: Path, exclude: Sequence[Path]) -> bool:
    """Whether to copy a listed file. A listed file may be deleted, or be a repository inside the repository."""
    excluded = any(path.absolute().is_relative_to(folder.absolute()) for folder in exclude)
    return not excluded and (path.is_symlink() or path.is_file())


def _refuse_large(files: dict[str, Path]) -> None:
    sizes = {name: path.lstat().st_size for name, path in files.items()}
    if sum(sizes.values()) > LARGEST_BYTES:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_SHOWN]
        raise ClusterError(
            f"the code is {sum(sizes.values()) / 2**20:.0f} MB, too large to copy for a job",
            where=", ".join(f"{name} ({sizes[name] / 2**20:.0f} MB)" for name in largest),
            expected=f"at most {LARGEST_BYTES // 2**20} MB that git does not ignore",
            hint="add what is not code to .gitignore",
        )


def _link(name: str, path: Path) -> str:
    """The target of a link in the copy: unchanged inside the tree, absolute where it leads outside."""
    root = path.parents[len(Path(name).parts) - 1]
    link = path.readlink()
    target = Path(os.path.normpath(path.parent / link))
    return str(target if link.is_absolute() or not target.is_relative_to(root) else link)


def _hash(files: dict[str, Path], git: Mapping[str, object]) -> str:
    """Ten characters of the SHA-256 of the files' names, contents and modes, the commit, and whether it is dirty."""
    digest = hashlib.sha256(f"{git.get('commit')} {git.get('dirty')}\0".encode())
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
