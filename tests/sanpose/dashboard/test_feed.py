"""What the dashboard sends: changes only, curves thinned, the end of a log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sanpose.dashboard.curves import LOG_LINES, LiveCurves, log_tail, thinned
from sanpose.dashboard.feed import Feed
from sanpose.status.watch import Watcher
from sweeps import record
from sweeps.files import write_atomic
from tests.sanpose.run_records import journal, measured, within, write_run, write_sweep

A = "a" * 10


def test_only_what_changed_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanpose.dashboard.feed.REFRESH_SECONDS", -1.0)
    for number in range(50):
        write_run(tmp_path, f"{number:010d}", "done", 60.0)
    feed = Feed(Watcher(tmp_path))
    first = feed.since("", 0)
    assert len(first["items"]) == 52
    write_run(tmp_path, "0" * 10, "done", 55.0)
    second = feed.since(first["started"], first["version"])
    assert [(kind, name, value["mpjpe_mm"]) for kind, name, value in second["items"]] == [("run", "0" * 10, 55.0)]
    write_run(tmp_path, A, "done", 65.0)
    third = feed.since(first["started"], second["version"])
    assert {(kind, name) for kind, name, _ in third["items"]} == {("run", A), ("loose", "")}
    shutil.rmtree(tmp_path / A)
    fourth = feed.since(first["started"], third["version"])
    assert ["run", A, None] in fourth["items"]
    assert feed.run(A) is None


def test_a_trial_that_could_not_be_begun_is_shown_with_its_reason(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, "delta", [("delta 0", 0, A)])
    record.append_trial(folder, record.TrialRecord(1, "delta 1", {}, 0, "", "delta_init=1 cannot be"))
    items = {(kind, name): value for kind, name, value in Feed(Watcher(tmp_path)).since("", 0)["items"]}
    name = "delta, trial 1"
    assert items["trials", "delta"] == [["delta 0", 0, A], ["delta 1", 0, name]]
    assert (items["run", name]["state"], items["run", name]["reason"]) == ("failed", "delta_init=1 cannot be")
    assert items["sweep", "delta"]["counts"] == {"failed": 1, "waiting": 1}


def test_curves_follow_a_journal(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "running")
    curves = LiveCurves()
    assert curves.of(folder)["loss"] == []
    journal(folder, within(0, 50, 0.5))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train"')
    assert curves.of(folder)["loss"] == [(0.5, 0.5)]
    lines = measured(1, 80.0), measured(1, 70.0, "final"), measured(2, 60.0, "final")
    write_atomic(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))  # it continues
    found = curves.of(folder)
    assert found["loss"] == []
    assert found["mpjpe_mm"] == [(1.0, 80.0), (2.0, 60.0)], "the final figures are of other samples"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), pytest.param(10**400, id="huge"), True, "0.5", None])
def test_only_finite_numbers_have_points(tmp_path: Path, value: object) -> None:
    folder = write_run(tmp_path, A, "running")
    odd = measured(1, 90.0)
    odd["figures"]["h36m"]["mpjpe"]["mean_over_frames"] = value
    line = within(1, 50) | {"loss": value, "delta": value}
    places = [within(1, 50) | {name: value} for name in ("epoch", "step") if value is not True]
    journal(folder, within(0, 50), line, odd, *places)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(f'{{"kind": "train", "epoch": {"[" * 100_000}\n')
    assert LiveCurves().of(folder) == {"loss": [(0.5, 0.25)], "delta": [(0.5, 0.125)], "mpjpe_mm": []}


def test_thinned_curves_keep_their_ends() -> None:
    points = [(float(i), float(i)) for i in range(10_001)]
    found = thinned(points, 100)
    assert (len(found), found[0], found[-1]) == (100, points[0], points[-1])
    assert thinned(points[:100], 100) == points[:100]


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    folder = write_run(tmp_path, A, "failed")
    assert log_tail(folder) == []
    (folder / "logs" / "worker-0.log").write_bytes(b"".join(b"line %d\xff\n" % i for i in range(5000)))
    lines = log_tail(folder)
    assert (len(lines), lines[-1]) == (LOG_LINES, "line 4999\N{REPLACEMENT CHARACTER}")
