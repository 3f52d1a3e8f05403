"""YAML with a key that stands twice is refused wherever it is read, with both lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import yaml_text
from cluster.errors import ClusterError
from cluster.slurm import profiles
from sanpose.config.compose import compose, configs_dir
from sanpose.errors import UserError
from sanpose.tuning import sweep


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' stands twice, in lines 1 and 3"),
        ("x:\n- {b: 1, b: 2}\n", "'b' stands twice, in lines 2 and 2"),
        ("x:\n  c: 1\n  'c': 2\n", "'c' stands twice, in lines 2 and 3"),
    ],
)
def test_a_repeated_key(text: str, message: str) -> None:
    with pytest.raises(yaml_text.RepeatedKeyError, match=message):
        yaml_text.load(text)


def test_other_text() -> None:
    assert yaml_text.load("a: {k: 1}\nb: {k: [1, yes]}\n") == {"a": {"k": 1}, "b": {"k": [1, True]}}
    assert yaml_text.load("") is None
    assert yaml_text.load("&x {a: 1, b: {c: 2}}") == {"a": 1, "b": {"c": 2}}
    loop = yaml_text.load("&x [*x]")
    assert isinstance(loop, list) and loop[0] is loop


def test_sweeps_profiles_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("title: t\naxes:\n  train.gamma: [0.1]\n  train.gamma: [0.2]\n")
    with pytest.raises(UserError, match=r"'train\.gamma' stands twice, in lines 3 and 4"):
        sweep.read([f"sweep={file}", "preset=smoke"])
    file.write_text("partition: gpu\npartition: cpu\n")
    with pytest.raises(ClusterError, match="'partition' stands twice, in lines 1 and 2"):
        profiles.read(str(file), configs_dir() / "cluster")
    with pytest.raises(ClusterError, match="'a' stands twice"):
        profiles.read("cpu", configs_dir() / "cluster", ["cluster.extra={a: b, a: c}"])


def test_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(configs_dir(), tmp_path / "configs")
    preset = tmp_path / "configs" / "preset" / "smoke.yaml"
    preset.write_text(preset.read_text() + "\npreset: again\n")
    monkeypatch.setattr("sanpose.config.compose.configs_dir", lambda: tmp_path / "configs")
    with pytest.raises(UserError, match="duplicate key preset"):
        compose(["preset=smoke"])
