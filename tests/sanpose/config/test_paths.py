"""A path on the command line is its own text, whatever letters are in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanpose.config.compose import compose, located, with_overrides
from sanpose.config.schema import PATHS
from sanpose.tuning import sweep
from tests.sanpose.odd_paths import ODD


@pytest.mark.parametrize("key", PATHS)
def test_a_path_is_taken_as_it_stands(key: str) -> None:
    for text in (f"/data/{ODD}/x.h5", "[a, b]", "null", "'x'", "a=b", "1e3", "~", "x#y"):
        config = compose(["preset=smoke", f"{key}={text}"])
        assert value(config, key) == text
        assert value(with_overrides(config, ["train.workers=1"]), key) == text
        assert value(with_overrides(compose(["preset=smoke"]), [f"{key}={text}"]), key) == text


def value(config: object, key: str) -> object:
    for name in key.split("."):
        config = config[name] if name in ("h36m", "mpii", "coco") else getattr(config, name)  # type: ignore[index]
    return config


def test_the_last_path_counts() -> None:
    assert compose(["runs=a b", "preset=smoke", "runs=c, d"]).runs == "c, d"


def test_relative_paths_begin_in_an_odd_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)
    assert located(compose(["preset=smoke", "runs=r [1]"])).runs == str(tmp_path / ODD / "r [1]")


def test_a_sweep_in_a_file_of_an_odd_name(tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    file = tmp_path / ODD / "my sweep=1, [x].yaml"
    file.write_text(f"title: t\naxes:\n  data.sources.mpii.file: ['/d/{ODD.replace(chr(39), '')}', '/e [2]']\n")
    read = sweep.read([f"sweep={file}", "preset=smoke", f"runs={tmp_path / ODD}"])
    assert read.name == "my-sweep-1-x-smoke" and read.runs == tmp_path / ODD
    files = [read.config(values, 0).data.sources.mpii.file for values in read.definition.grid()]
    assert files == [f"/d/{ODD.replace(chr(39), '')}", "/e [2]"]
