"""A snapshot is the code of one moment: whole, read-only, shared, and it says what it came from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.slurm import snapshot
from cluster.slurm.snapshot import SnapshotPlan, make
from sanpose.runs import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {
        "pose/__init__.py": "",
        "pose/net.py": "VALUE = 1\n",
        "configs/a.yaml": "x: 1\n",
        "run.sh": "#!/bin/sh\n",
        ".gitignore": "*.log\n/data\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "run.sh").chmod(0o755)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store"
    for made in (tmp_path / "store").glob("*"):
        snapshot.remove(made)


def folders(root: Path) -> list[Path]:
    return [root / "pose", root / "configs"]


def plan(repository: Path, folders: list[Path], exclude: Sequence[Path] = ()) -> SnapshotPlan:
    return snapshot.plan(repository, provenance.git_state(repository, own=True), folders, exclude)


def files(folder: Path) -> set[str]:
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() or p.is_symlink()}
    return {name for name in names if "__pycache__" not in name}


def value(folder: Path) -> str:
    command = [sys.executable, "-P", "-c", "import pose.net; print(pose.net.VALUE, pose.net.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_clean_commit(repository: Path, store: Path) -> None:
    made = make(plan(repository, folders(repository)), store)
    assert files(made) == {
        ".gitignore",
        ".provenance.json",
        "configs/a.yaml",
        "pose/__init__.py",
        "pose/net.py",
        "run.sh",
    }
    origin = json.loads((made / snapshot.PROVENANCE).read_text())
    assert origin["git"] == {
        "commit": git(repository, "rev-parse", "HEAD").strip(), "dirty": False, "diff": "", "untracked": []
    }  # fmt: skip
    assert os.access(made / "run.sh", os.X_OK)
    assert not os.access(made / "pose" / "net.py", os.X_OK)


def test_changes_and_new_files_are_in_it_and_ignored_ones_are_not(repository: Path, store: Path) -> None:
    (repository / "pose" / "net.py").write_text("VALUE = 2\n")
    (repository / "pose" / "new é.py").write_text("")
    (repository / "train.log").write_text("noise")
    (repository / "configs" / "a.yaml").unlink()
    made = make(plan(repository, folders(repository)), store)
    assert {"pose/net.py", "pose/new é.py"} <= files(made)
    assert not {"train.log", "configs/a.yaml"} & files(made)
    origin = json.loads((made / snapshot.PROVENANCE).read_text())["git"]
    assert origin["dirty"] is True
    assert "+VALUE = 2" in origin["diff"]
    assert origin["untracked"] == ["pose/new é.py"]


def test_later_edits_change_nothing(repository: Path, store: Path) -> None:
    made = make(plan(repository, folders(repository)), store)
    (repository / "pose" / "net.py").write_text("VALUE = 3\n")
    assert value(made) == f"1 {made}/pose/net.py\n"


def test_the_code_runs_from_its_bytecode(repository: Path, store: Path) -> None:
    made = make(plan(repository, folders(repository)), store)
    compiled = list((made / "pose" / "__pycache__").glob("*.pyc"))
    assert len(compiled) == 2
    before = {path: path.stat().st_mtime_ns for path in compiled}
    value(made)
    assert {path: path.stat().st_mtime_ns for path in (made / "pose" / "__pycache__").iterdir()} == before


def test_it_is_read_only(repository: Path, store: Path) -> None:
    made = make(plan(repository, folders(repository)), store)
    assert all(not p.stat().st_mode & 0o222 for p in [made, *made.rglob("*")])


def test_the_same_code_is_kept_once(repository: Path, store: Path) -> None:
    first = make(plan(repository, folders(repository)), store)
    inode = first.stat().st_ino
    assert make(plan(repository, folders(repository)), store) == first
    assert first.stat().st_ino == inode
    (repository / "pose" / "net.py").write_text("VALUE = 2\n")
    second = make(plan(repository, folders(repository)), store)
    git(repository, "commit", "-qam", "second")
    third = make(plan(repository, folders(repository)), store)
    assert len({first, second, third}) == 3, "the same files, but committed, are another provenance"
    (repository / "run.sh").chmod(0o644)
    assert plan(repository, folders(repository)).hash != third.name


def test_many_at_once_make_one(repository: Path, store: Path) -> None:
    planned, made = plan(repository, folders(repository)), []
    threads = [threading.Thread(target=lambda: made.append(make(planned, store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [store / planned.hash] * 8
    assert [path.name for path in store.iterdir()] == [planned.hash]


def test_code_that_changes_meanwhile_is_noticed_and_nothing_is_left(repository: Path, store: Path) -> None:
    planned = plan(repository, folders(repository))
    (repository / "pose" / "net.py").write_text("VALUE = 4\n")
    with pytest.raises(ClusterError, match="changed while it was copied"):
        make(planned, store)
    assert list(store.iterdir()) == []


def test_nothing_is_written_by_planning(repository: Path, store: Path) -> None:
    before = sorted(str(p) for p in repository.rglob("*") if ".git/" not in str(p))
    plan(repository, folders(repository))
    assert sorted(str(p) for p in repository.rglob("*") if ".git/" not in str(p)) == before
    assert not store.exists()


def test_without_git(tmp_path: Path, repository: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "elsewhere" / "configs"
    other.mkdir(parents=True)
    (other / "b.yaml").write_text("y: 2\n")
    (repository / "pose" / "__pycache__").mkdir()
    (repository / "pose" / "__pycache__" / "net.pyc").write_text("")
    monkeypatch.setenv("PATH", "/nowhere")
    made = make(plan(repository, [repository / "pose", other]), store)
    assert files(made) == {".provenance.json", "pose/__init__.py", "pose/net.py", "configs/b.yaml"}
    origin = json.loads((made / snapshot.PROVENANCE).read_text())["git"]
    assert origin["commit"] is None
    assert "git" in origin["reason"]


def test_code_that_is_installed_inside_another_repository(repository: Path, store: Path) -> None:
    inside = repository / "venv" / "lib"
    (inside / "pose").mkdir(parents=True)
    (inside / "pose" / "__init__.py").write_text("")
    made = make(plan(inside, [inside / "pose"]), store)
    assert files(made) == {".provenance.json", "pose/__init__.py"}
    assert json.loads((made / snapshot.PROVENANCE).read_text())["git"]["commit"] is None


def test_other_configs_take_the_place_of_the_repository_s(repository: Path, tmp_path: Path, store: Path) -> None:
    other = tmp_path / "mine" / "configs"
    other.mkdir(parents=True)
    (other / "b.yaml").write_text("y: 2\n")
    made = make(plan(repository, [repository / "pose", other]), store)
    assert {name for name in files(made) if name.startswith("configs/")} == {"configs/b.yaml"}


def test_links(repository: Path, tmp_path: Path, store: Path) -> None:
    (tmp_path / "big").mkdir()
    (repository / "inside.py").symlink_to("pose/net.py")
    (repository / "outside").symlink_to("../big")
    git(repository, "add", ".")
    made = make(plan(repository, folders(repository)), store)
    assert (made / "inside.py").readlink() == Path("pose/net.py")
    assert (made / "outside").readlink() == tmp_path / "big"


def test_the_runs_are_not_in_it(repository: Path, store: Path) -> None:
    (repository / "myruns").mkdir()
    (repository / "myruns" / "weights").write_text("x")
    made = make(plan(repository, folders(repository), exclude=[repository / "myruns"]), store)
    assert "myruns/weights" not in files(made)


def test_large_files_are_refused_by_name(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LARGEST_BYTES", 2**20)
    (repository / "weights.bin").write_bytes(b"\0" * 2**21)
    with pytest.raises(ClusterError) as error:
        plan(repository, folders(repository))
    assert "weights.bin (2 MB)" in str(error.value)
    assert ".gitignore" in str(error.value)


def test_a_store_that_cannot_be_written(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match="the code cannot be copied"):
        make(plan(repository, folders(repository)), tmp_path / "file" / "store")
