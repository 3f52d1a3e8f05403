"""Records of jobs: written whole, read strictly, found by their id, name or target."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.slurm import jobs, profiles
from cluster.slurm.jobs import JobRecord
from cluster.slurm.spec import Profile


def put(runs: Path, name: str, job_id: str | None = "7", **values: object) -> JobRecord:
    folder = jobs.folder_of(runs, name)
    values_of_all = {
        "name": name, "kind": "train", "target": name, "job_id": job_id, "cluster": "gpu",
        "profile": profiles.to_plain(Profile("gpu", nodes=2)), "command": ("/bin/true",), "overrides": ("a=b",),
        "folder": str(folder), "cwd": str(runs), "python": "/bin/python", "submitted": "2026-01-01T10:00:00+00:00",
        "code": {"commit": "abc", "dirty": False}, "snapshot": None,
    }  # fmt: skip
    record = JobRecord(**{**values_of_all, **values})  # type: ignore[arg-type]
    with jobs.locked(folder):
        jobs.write(record)
    return record


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = put(tmp_path, "a1", snapshot="/code/x")
    folder = tmp_path / "jobs" / "a1"
    assert jobs.read(folder) == record
    assert json.loads((folder / "job.json").read_text())["schema"] == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "job.json").stat().st_mode & 0o777 == 0o600
    spec = record.spec()
    assert (spec.name, spec.profile.nodes, spec.snapshot) == ("a1", 2, Path("/code/x"))


def test_all_of_them_the_newest_first_and_what_is_broken(tmp_path: Path) -> None:
    put(tmp_path, "old")
    put(tmp_path, "new", submitted="2026-01-02T10:00:00+00:00")
    for name, text in {"torn": "{", "other": '{"schema": 2}', "list": "[]"}.items():
        (tmp_path / "jobs" / name).mkdir()
        (tmp_path / "jobs" / name / "job.json").write_text(text)
    (tmp_path / "jobs" / ".code" / "0123").mkdir(parents=True)
    records, broken = jobs.read_all(tmp_path)
    assert [record.name for record in records] == ["new", "old"]
    assert len(broken) == 3
    assert jobs.read_all(tmp_path / "none") == ([], [])


def test_a_job_is_found_by_its_number_its_name_or_its_run(tmp_path: Path) -> None:
    put(tmp_path, "4c1f0ab23e", "12")
    put(tmp_path, "4c9fffffff", "13")
    put(tmp_path, "12ab345678", "14")
    for text, name in {
        "12": "4c1f0ab23e",
        "4c9fffffff": "4c9fffffff",
        "4c1": "4c1f0ab23e",
        "12a": "12ab345678",
    }.items():
        assert jobs.find(tmp_path, text).name == name
    for text, message in {"4c": "matches several", "x": "there is no job 'x'", "": "there is no job ''"}.items():
        with pytest.raises(ClusterError, match=message):
            jobs.find(tmp_path, text)


def test_only_one_submits_into_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "a"
    with jobs.locked(folder), pytest.raises(ClusterError, match="another process"), jobs.locked(folder):
        pass
    with jobs.locked(folder):
        pass


def test_a_profile_that_no_longer_passes_is_named(tmp_path: Path) -> None:
    record = put(tmp_path, "a")
    broken = dataclasses.replace(record, profile={**record.profile, "nodes": 0})
    with pytest.raises(ClusterError, match="nodes=0"):
        broken.spec()
