"""seeds=auto with real trainings: it ends, records what it decided, and resumes after a kill as if nothing had been."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sanpose.claims import record as claims_record
from sanpose.report.gather import gather
from sanpose.status.watch import snapshot
from sanpose.tuning import sweep
from sanpose.tuning.run import tune
from sweeps import record
from tests.sanpose.recorded import CONFIGS
from tests.sanpose.tuning.small import QUIET, definition, records
from tests.sanpose.tuning.test_kills import killed_at

# A network that learns against one that does not: decided by the fewest seeds. Against its like: never.
CONTENT = {"title": "rates", "fixed": ["ablation=a"], "axes": {"train.learning_rate": [1e-9, 2e-9, 0.003]}}
AUTO = ("seeds=auto", "max_seeds=5", "train.epochs=6", "train.milestones=[]", "eval.sets=[h36m]", "eval.every=0")


def test_a_sweep_ends_when_its_question_is_answered(ray: None, data: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    arguments = [definition(tmp_path, CONTENT, "rates"), *data, *AUTO, f"runs={runs}"]
    counts = tune(sweep.read(arguments), QUIET)
    (state,) = snapshot(runs).sweeps
    assert state.name == "rates-smoke-auto" and state.claims is not None
    alike, learns = state.claims.claims
    assert learns.state in ("better", "worse") and learns.p_holm is not None and learns.p_holm < 0.05
    assert alike.state in ("given up", "out of seeds", "better", "worse")
    seeds = {point: sum(t.point == point for t in state.trials) for point in {t.point for t in state.trials}}
    assert seeds["learning_rate 0.003"] < 5 and state.claims.saved_runs == 15 - counts["done"] > 0
    trials = record.read(runs, state.name).trials
    assert len({(str(t.values), t.seed) for t in trials}) == len(trials) == counts["done"]
    (table,) = [t for t in gather(runs, CONFIGS).compared if t is not None]
    row = next(r for r in table.rows if r["point"].value == "learning_rate 0.003")
    assert row["p_holm"].value == pytest.approx(learns.p_holm)
    assert row["verdict"].value == learns.state
    again = tune(sweep.read(arguments), QUIET)
    assert again.get("done", 0) == 0, "a finished sweep trains nothing again"


@pytest.mark.slow
def test_a_killed_driver_goes_on_with_the_same_seeds(ray: None, data: list[str], tmp_path: Path) -> None:
    arguments = [definition(tmp_path, CONTENT, "rates"), *data, *AUTO]
    tune(sweep.read([*arguments, f"runs={tmp_path / 'whole'}"]), QUIET)
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "sanpose.tune", *arguments, f"runs={killed}"]
    killed_at(command, killed, 20, 0.0)
    killed_at(command, killed, 40, 0.1)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = records(tmp_path / "whole"), records(killed)
    assert {name: run.metrics for name, run in one.items()} == {name: run.metrics for name, run in two.items()}
    first, second = (claims_record.read(runs / "sweeps" / "rates-smoke-auto") for runs in (tmp_path / "whole", killed))
    assert first is not None and second is not None
    assert first.claims == second.claims and first.runs == second.runs


def test_the_rules_of_the_test_cannot_change_between_starts(ray: None, data: list[str], tmp_path: Path) -> None:
    from sanpose.errors import UserError

    short = {**CONTENT, "axes": {"train.learning_rate": [1e-9, 2e-9]}}
    arguments = [definition(tmp_path, short, "two"), *data, "train.epochs=1", "train.milestones=[]", "eval.sets=[h36m]"]
    arguments += [f"runs={tmp_path / 'runs'}", "name=two", "eval.every=0"]
    tune(sweep.read([*arguments, "seeds=auto", "max_seeds=3"]), QUIET)
    for other in (("seeds=auto", "max_seeds=4"), ("seeds=auto", "max_seeds=3", "alpha=0.1"), ("seeds=4",)):
        with pytest.raises(UserError, match="differs in auto"):
            tune(sweep.read([*arguments, *other]), QUIET)
    tune(sweep.read([*arguments, "seeds=auto", "max_seeds=3", "power=0.9", "hours=2"]), QUIET)
