"""The record of a sweep: odd values are left out, and an impossible record is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeps import record
from sweeps.files import BrokenRecord

ODD = {"title": 5, "axes": {}, "objectives": "ap", "driver": [1], "planned": "many", "fingerprints": [], "ended": 7}


def test_values_of_another_type_are_left_out(tmp_path: Path) -> None:
    folder = record.write_head(tmp_path, "s", {**ODD, "seeds": 2, "later": 1})
    assert record.read(tmp_path, "s").head == {"schema": 1, "name": "s", "seeds": 2, "later": 1}
    (folder / "sweep.json").write_text(json.dumps({"schema": 1, "search": "tpe", "storage": 5}))
    sweep = record.read(tmp_path, "s")
    assert sweep.head.get("search") == {}, "still a search, and not a grid"
    assert record.storage(sweep) == ""


@pytest.mark.parametrize("seeds", [0, -1, 10_001, 1_000_000_000, 1.5, True, "3", None, [1]])
def test_a_sweep_with_seeds_that_cannot_be_is_broken(tmp_path: Path, seeds: object) -> None:
    record.write_head(tmp_path, "s", {"search": None, "axes": [], "seeds": seeds})
    with pytest.raises(BrokenRecord, match=r"seeds is .*: a whole number from 1 to 10,000 was expected"):
        record.read(tmp_path, "s")


def test_a_sweep_with_more_points_than_anybody_can_run_is_broken(tmp_path: Path) -> None:
    axes = [{"name": name, "values": list(range(100))} for name in "abcdefgh"]
    for search, seeds, count, sound in ((None, 1, 8, False), (None, 2, 3, False), (None, 1, 3, True), ({}, 1, 8, True)):
        record.write_head(tmp_path, "s", {"search": search, "axes": axes[:count], "seeds": seeds})
        if sound:
            assert record.read(tmp_path, "s").head["axes"] == axes[:count]
        else:
            with pytest.raises(BrokenRecord, match="more than 1,000,000 trials"):
                record.read(tmp_path, "s")


def test_a_sweep_that_has_lost_its_head_is_named_and_one_that_is_being_made_is_not(tmp_path: Path) -> None:
    record.write_head(tmp_path, "sound", {})
    for name, file in (("lost", "trials.jsonl"), ("study", "study.log"), ("new", ".lock")):
        (tmp_path / "sweeps" / name).mkdir()
        (tmp_path / "sweeps" / name / file).touch()
    (tmp_path / "sweeps" / "circle").symlink_to("circle")
    (tmp_path / "sweeps" / "notes.txt").touch()
    assert record.names(tmp_path) == ["circle", "lost", "sound", "study"]
    for name, reason in (("lost", "sweep.json is missing"), ("study", "sweep.json is missing"), ("circle", "links")):
        with pytest.raises(BrokenRecord, match=reason):
            record.read(tmp_path, name)
