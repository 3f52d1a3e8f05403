"""Nodes that come and go: how many, which are given back, and what is left alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cluster.raycluster import elastic, node
from cluster.raycluster.elastic import Change, Joiners


@pytest.mark.parametrize(("trials", "per_node", "nodes"), [(0, 2, 0), (1, 2, 1), (5, 2, 3), (100, 2, 4), (3, 0, 3)])
def test_as_many_nodes_as_the_trials_fill_and_no_more_than_may_be(trials: int, per_node: int, nodes: int) -> None:
    assert elastic.nodes_needed({"trials": trials, "per_node": per_node, "busy": []}, 4) == nodes


def test_what_is_missing_is_submitted() -> None:
    assert elastic.plan(3, {"7": "RUNNING"}, frozenset()) == Change(2, ())


def test_of_too_many_the_waiting_go_first_the_last_of_them_before_then_the_idle_never_the_busy() -> None:
    states = {"1": "RUNNING", "2": "RUNNING", "3": "PENDING", "4": "PENDING"}
    assert elastic.plan(3, states, frozenset({"2"})) == Change(0, ("4",))
    assert elastic.plan(1, states, frozenset({"2"})) == Change(0, ("4", "3", "2"))
    assert elastic.plan(0, states, frozenset()) == Change(0, ("4", "3"))


def test_a_node_is_idle_when_it_has_run_nothing_for_a_while(tmp_path: Path) -> None:
    joiners = Joiners(tmp_path / "joiner.sbatch", 4, tmp_path, tmp_path)
    for job, address in (("1", "10.0.0.1:20000"), ("2", "10.0.0.2:20100")):
        (tmp_path / f"node-{job}-0.json").write_text(json.dumps({"state": "ready", "address": address}))
    states = {"1": "RUNNING", "2": "RUNNING", "3": "RUNNING"}
    assert joiners._idle(states, []) == frozenset()
    joiners._busy_at = dict.fromkeys(states, time.monotonic() - 60)
    assert joiners._idle(states, ["10.0.0.2"]) == {"1"}  # 2 runs something, 3 has not joined yet


def test_after_jobs_that_did_not_join_the_next_is_submitted_later_and_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joiners = Joiners(tmp_path / "joiner.sbatch", 4, tmp_path, tmp_path)
    pauses = []
    for job in ("1", "2", "3"):
        (tmp_path / f"node-{job}-0.json").write_text(json.dumps({"state": "failed", "reason": "no such file"}))
        joiners._note_end(job)
        pauses.append(joiners._not_before - time.monotonic())
    assert 9 < pauses[0] < pauses[1] / 1.9 < pauses[2] / 3.8 and "no such file" in capsys.readouterr().out
    (tmp_path / "node-4-0.json").write_text(json.dumps({"state": "ready"}))
    joiners._note_end("4")
    assert joiners._misses == 0, "a node that was lent and is gone has done no wrong"


@pytest.mark.parametrize(("joins", "notices"), [(None, 1), ("1", 0)])
def test_a_node_that_is_lent_may_be_taken_away_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joins: str | None, notices: int
) -> None:
    environment = {"SLURM_NODEID": "1", "SLURM_JOB_ID": "7", node.START: str(tmp_path)}
    own = node.NodeProcess.of(environment | ({node.JOINS: joins} if joins else {}))
    monkeypatch.setattr(node, "notices", ["SIGTERM"])
    node.pass_on(own)
    assert len(list(tmp_path.glob("notice-*"))) == notices
