"""One odd record does not end the report: it is listed as broken, or used without what cannot be used."""

from __future__ import annotations

import copy
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sanpose.report.build import write
from sanpose.report.figures import build
from sanpose.report.gather import Report, gather
from sanpose.report.page.write import write as page
from sanpose.report.selection import groups
from sanpose.report.selection.cells import definitions
from sanpose.report.writers import to_json
from sanpose.runs import ledger
from sweeps import record
from sweeps.files import read_json
from tests.sanpose.recorded import CONFIGS, add, add_sweep, figures

REMOVED = object()
ODD = {"null": None, "5": 5, "x": "x", "{}": {}, "[]": [], "NaN": float("nan"), "removed": REMOVED}
BILL = {"wall_s": 3600.0, "workers": 1, "device": "cpu", "accelerators": 2, "images_per_s": 80.0}


def good(root: Path, seed: int = 0) -> dict[str, Any]:
    result = {"reason": "none", "started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T04:04:05+00:00"}
    result |= {
        "protocol": {"h36m": "MPJPE [mm]"},
        "fingerprints": {"h36m": "1", "mpii": "2"},
        "macs": 3e9,
        "bill": BILL,
    }
    folder = add(root, "c", seed=seed, status="done", metrics=figures(60.0), **result)
    return read_json(folder / "result.json")


def paths(node: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a record, of the fifteen actions two."""
    for key in list(node)[: 2 if before[-1:] == ("per_action",) else None] if isinstance(node, dict) else []:
        yield (*before, key)
        yield from paths(node[key], (*before, key))


def changed(content: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    found = copy.deepcopy(content)
    *nodes, last = path
    node = functools.reduce(lambda inside, key: inside[key], nodes, found)
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    return found


def written(found: Report) -> list[str]:
    """In the strictest of the formats; all of them take four times as long."""
    return [to_json(table) for table in found.all_tables]


@pytest.mark.parametrize("kind", ODD)
def test_a_record_with_any_odd_value(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = definitions(CONFIGS, {"quick"})
    monkeypatch.setattr(groups, "definitions", lambda *_: cells)  # what takes most of the time
    content = good(tmp_path / "good")
    folder = tmp_path / "runs" / content["id"]
    ledger.create(folder.parent, folder.name, {}, {})
    for path in paths(content):
        (folder / "result.json").write_text(json.dumps(changed(content, path, ODD[kind])))
        try:
            found = gather(tmp_path / "runs", CONFIGS)
            written(found)
        except Exception as error:
            raise AssertionError(f"{'.'.join(path)} = {kind} ends the report") from error
        assert len(found.records) + len(found.broken) == 1, (path, found.broken)


def test_the_page_of_all_of_them(tmp_path: Path) -> None:
    """Each with a seed of its own, so that they are all of one cell, and in its figures."""
    content = good(tmp_path / "good")
    points, number = [], 0
    for path in paths(content):
        for value in ODD.values():
            one, number = changed(content, path, value), number + 1
            if one.get("id") == content["id"]:
                one["id"] = f"{number:010}"
            if path[:3] not in (("config",), ("config", "train"), ("config", "train", "seed")):
                one["config"]["train"]["seed"] = number
            folder = ledger.create(tmp_path / "runs", f"{number:010}", {}, {})
            (folder / "result.json").write_text(json.dumps(one))
            points.append(({"x": 1}, number, folder))
    add_sweep(tmp_path / "runs", "all", points)
    found = gather(tmp_path / "runs", CONFIGS)
    assert len(found.records) + len(found.broken) == number and found.broken
    assert write(found.all_tables, tmp_path / "out") and page(found, tmp_path / "out").is_file()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.joints", REMOVED, "has no 'model.joints'"),
        ("data.sources.mpii.share", None, "has no 'data.sources.mpii.share'"),
        ("data.sources.coco", {}, "has no 'data.sources.coco.share'"),
        ("model.width", "wide", "model.width=wide: a number was expected"),
        ("model.deconv_channels", None, "has no 'model.deconv_channels'"),
        ("train.seed", "x", "train.seed=x: a whole number was expected"),
        ("train.learning_rate", float("inf"), "not plain data"),
    ],
)
def test_an_odd_configuration_is_named(tmp_path: Path, path: str, value: object, message: str) -> None:
    content = good(tmp_path)
    one = changed(content, ("config", *path.split(".")), value)
    (tmp_path / content["id"] / "result.json").write_text(json.dumps(one))
    found = gather(tmp_path, CONFIGS)
    assert found.records == () and message in found.broken[0].reason
    assert any(message in note for note in found.tables[0].notes)


def test_figures_that_are_no_numbers_are_none(tmp_path: Path) -> None:
    content = good(tmp_path)
    for value in (float("nan"), float("inf"), 10**400, True):
        one = changed(content, ("metrics", "h36m", "mpjpe", "mean_over_frames"), value)
        one = changed(one, ("bill", "wall_s"), value)
        (tmp_path / content["id"] / "result.json").write_text(json.dumps(one))
        found = gather(tmp_path, CONFIGS)
        assert found.tables[0].rows[2]["ours_mm"].value is None and found.broken == ()
        assert found.tables[0].rows[2]["status"].value == "done, its MPJPE is not a number"
        assert found.bill.rows[-1]["unknown"].value == 1


@pytest.mark.parametrize("kind", ODD)
def test_a_sweep_with_any_odd_value(tmp_path: Path, kind: str) -> None:
    axes = [{"name": "x", "values": [1, 2], "means": {}}]
    aims = [{"name": "mpjpe_mm", "direction": "minimize"}]
    points = [({"x": 1}, 0, "0123456789")]
    add_sweep(tmp_path / "runs", "s", points, axes=axes, objectives=aims, storage="", planned=None)
    folder = record.folder_of(tmp_path / "runs", "s")
    for name in ("sweep.json", "trials.jsonl"):
        text = (folder / name).read_text()
        for path in paths(json.loads(text)):
            (folder / name).write_text(json.dumps(changed(json.loads(text), path, ODD[kind])) + "\n")
            found = gather(tmp_path / "runs", CONFIGS)
            assert len(found.sweeps) + len(found.broken) == 1, (path, found.broken)
            written(found)
            assert list(build._plans(found))
        (folder / name).write_text(text)


def test_a_configuration_of_yaml_with_what_json_lacks(tmp_path: Path) -> None:
    for name, text in {"date": "when: 2026-01-02", "no-date": "when: 2026-13-45", "keys": "1: 2\na: 3"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    found = gather(tmp_path, CONFIGS)
    reasons = {(entry.path.name, entry.path.parent.name): entry.reason for entry in found.broken}
    assert len(reasons) == 3 and "cannot be read as YAML" in reasons["config.yaml", "no-date"]
    assert page(found, tmp_path / "out").is_file()


def test_what_cannot_be_read_is_the_trouble_of_one_run_or_sweep(tmp_path: Path) -> None:
    runs, name = tmp_path / "runs", os.fsdecode(b"run-\xff")
    add(runs, "c", status="done", metrics=figures(60.0))
    add(runs, "d", status="failed", reason="no 'a-\udcff.png' \ud800")
    add(runs, "e", status="failed", reason="x").rename(runs / name)
    for run, file in (("loop", "result.json"), ("lines", "metrics.jsonl")):
        (ledger.create(runs, run, {}, {}) / file).symlink_to(file)
    (runs / "circle").symlink_to("circle")
    (ledger.create(runs, "deep", {}, {}) / "result.json").write_text("[" * 100_000)
    add_sweep(runs, os.fsdecode(b"sweep-\xff"), [({"x": "\udcff"}, 0, name)])
    axes = [{"name": key, "values": list(range(1000))} for key in "abcd"]
    add_sweep(runs, "seeds", [({"x": 1}, 0, "c0quick0")], seeds=10**9, search={"sampler": "tpe"})
    add_sweep(runs, "axes", [], axes=axes)
    add_sweep(runs, "lost", [({"x": 1}, 0, "c0quick0")])
    (record.folder_of(runs, "lost") / "sweep.json").unlink()
    found = gather(runs, CONFIGS)
    assert [run.id for run in found.records] == ["c0quick0", "d0quick0"]
    places = [str(entry.path.relative_to(runs)) for entry in found.broken]
    assert places == [
        "circle/result.json", "deep/result.json", "lines/metrics.jsonl", "loop/result.json", f"{name}/result.json",
        "sweeps/axes/sweep.json", "sweeps/lost", "sweeps/seeds/sweep.json",
    ]  # fmt: skip
    assert write(found.all_tables, tmp_path / "out")
    assert r"run-\udcff" in (tmp_path / "out" / "report.md").read_text().replace("\\\\", "\\")


def test_a_search_that_wants_more_seeds_than_anybody_can_run(tmp_path: Path) -> None:
    points = [({"x": number}, 0, "") for number in range(101)]
    add_sweep(tmp_path, "s", points, seeds=10_000, search={"sampler": "tpe"})
    (found,) = gather(tmp_path, CONFIGS).points
    assert [point.seeds for point in found] == [1] * 101
