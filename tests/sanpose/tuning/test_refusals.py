"""Sweeps that are refused, and what a sweep of the same name may change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanpose.errors import UserError
from sanpose.runs import locks
from sanpose.tuning import ownership, sweep
from sanpose.tuning.run import tune
from sweeps import record
from tests.sanpose import tiny
from tests.sanpose.tuning.small import DELTAS, QUIET, SHORT, definition


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep=tabel1"], "did you mean 'table1'"),
        ([], "no sweep is named"),
        (["sweep=table1", "seeds=0"], "seeds=0"),
        (["sweep=table1", "seeds=10001"], "seeds=10001"),
        (["sweep=full", "search.sampler=random", "search.trials=1000", "seeds=1001"], "1,001,000 trials"),
        (["sweep=table1", "name=../x"], "cannot name a folder"),
        (["sweep=table1", "search.sampler=random", "search.trials=many"], "int was expected"),
        (["sweep=table1", "search.objectives=[mpjp]"], "did you mean 'mpjpe_mm'"),
        (["sweep=table1", "search.objectives=[ap]"], "eval.sets leaves out"),
        (["sweep=table1", "search.pruner=asha", "eval.every=0"], "eval.every=1"),
        (["sweep=table1", "train.epoch=3"], "did you mean 'train.epochs'"),
        (["sweep=nothing.yaml"], "there is no such sweep"),
        (["sweep=table1", "seeds="], "seeds= is not"),
        (["sweep=table1", "seeds"], "'seeds' is not an override"),
        (["sweep=table1", "first_seed=-1"], "first_seed=-1 is not a seed"),
        (["sweep=table1", "first_seed="], "first_seed= is not a seed"),
        (["sweep=table1", "search.objectives=[mpjpe_mm"], "cannot be used"),
        (["sweep=table1", "train.seed=7"], "seeds=N"),
        (["sweep=data_mix", "data.sources.mpii.share=3"], "the sweep sets 'data.sources.mpii.share' itself"),
        (["sweep=table1", "search.objectives=[pckh]", "search.pruner=asha"], "compares mpjpe_mm"),
        (["sweep=table1", "seeds=autom"], "or auto"),
        (["sweep=table1", "max_seeds=5"], "max_seeds=5 has no effect without seeds=auto"),
        (["sweep=table1", "seeds=3", "hours=2"], "hours=2 has no effect without seeds=auto"),
        (["sweep=table1", "seeds=auto", "max_seeds=2"], "max_seeds=2 cannot be used"),
        (["sweep=table1", "seeds=auto", "alpha=0"], "alpha=0 cannot be used"),
        (["sweep=table1", "seeds=auto", "alpha=nan"], "alpha=nan cannot be used"),
        (["sweep=table1", "seeds=auto", "power=1"], "power=1 cannot be used"),
        (["sweep=table1", "seeds=auto", "hours=soon"], "hours=soon cannot be used"),
        (["sweep=table1", "seeds=auto", "search.sampler=tpe"], "search.sampler=tpe draws its points"),
        (["sweep=table1", "seeds=auto", "search.pruner=asha", "eval.every=1"], "search.pruner=asha stops some early"),
    ],
)
def test_bad_sweeps_are_refused_before_anything_starts(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        sweep.read(arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [(["a"], "the sweep has one, ablation a"), (["a", "c", "g"], "both cells of a step: b and c, f and g")],
)
def test_seeds_auto_needs_something_to_decide(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        sweep.read([definition(tmp_path, {"title": "x", "axes": {"ablation": options}}), "seeds=auto"])


IDLE = [
    ({"train.workers": [1, 2]}, "all trials share one value"),
    (
        {"size": {"small": ["model.width=0.5", "train.threads=1"], "large": ["model.width=1"]}},
        "all trials share one value",
    ),
    ({"size": {"small": ["train.recompute=true"], "large": ["eval.batch_size=8"]}}, "would be the same run"),
]


@pytest.mark.parametrize(("axes", "said"), IDLE)
def test_an_axis_that_makes_no_other_run_is_refused(axes: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        sweep.read([definition(tmp_path, {"title": "idle", "axes": axes})])


def test_an_axis_may_also_set_what_makes_no_other_run(tmp_path: Path) -> None:
    sizes = {"small": ["model.backbone=resnet50"], "large": ["model.backbone=resnet152", "train.recompute=true"]}
    assert len(sweep.read([definition(tmp_path, {"title": "size", "axes": {"size": sizes}})]).definition.grid()) == 2


def test_a_sweep_of_the_same_name_must_be_the_same(data: list[str], tmp_path: Path) -> None:
    runs = f"runs={tmp_path / 'runs'}"
    first = sweep.read([definition(tmp_path), *data, *SHORT, runs])
    root = tmp_path / "runs"
    folder = record.folder_of(root, first.name)
    folder.mkdir(parents=True)
    ownership.claim(first, root)
    ownership.claim(sweep.read([definition(tmp_path), *data, *SHORT, runs, "seeds=3"]), root)
    with pytest.raises(UserError, match="differs in overrides"):
        ownership.claim(sweep.read([definition(tmp_path), *data, *SHORT, runs, "train.epochs=7"]), root)
    with pytest.raises(UserError, match="differs in first_seed"):
        ownership.claim(
            sweep.read([definition(tmp_path), *data, *SHORT, runs, "first_seed=100", f"name={first.name}"]), root
        )
    moved = tiny.write(tmp_path / "other", "h36m", seed=9)
    with pytest.raises(UserError, match="differs in the data"):
        ownership.claim(
            sweep.read([definition(tmp_path), *data, *SHORT, runs, f"data.sources.h36m.file={moved}"]), root
        )
    wider = {**DELTAS, "axes": {"model.delta_init": {0.0: ["model.delta_init=0.1"], 0.5: ["model.delta_init=0.5"]}}}
    with pytest.raises(UserError, match="differs in axes"):
        ownership.claim(sweep.read([definition(tmp_path, wider), *data, *SHORT, runs]), root)
    definition(tmp_path)
    with locks.hold(folder / ".lock", "held"), pytest.raises(UserError, match="another process runs this sweep"):
        tune(first, QUIET)


def test_other_data_of_any_trial_is_noticed(data: list[str], tmp_path: Path) -> None:
    """COCO is used by the second trial only."""
    shares = {"alone": ["data.sources.coco.share=0"], "with": ["data.sources.coco.share=1"]}
    content = {"title": "coco", "axes": {"coco": shares}}
    rest = [x for x in data if not x.startswith("data.sources.coco")]
    arguments = [definition(tmp_path, content), *rest, "eval.sets=[h36m]", f"runs={tmp_path / 'runs'}"]
    files = [tiny.write(tmp_path / name, "coco", seed=seed) for name, seed in (("a", 1), ("b", 2), ("c", 1))]
    first, other, moved = (sweep.read([*arguments, f"data.sources.coco.file={path}"]) for path in files)
    root = tmp_path / "runs"
    record.folder_of(root, first.name).mkdir(parents=True)
    hidden = files[0].rename(tmp_path / "hidden.h5")
    ownership.claim(first, root)
    hidden.rename(files[0])
    ownership.claim(first, root)  # the file has come: until then the trial could only fail
    with pytest.raises(UserError, match=r"differs in the data of coco\n"):
        ownership.claim(other, root)
    ownership.claim(moved, root)


def test_a_sweep_begun_before_the_data_were_noted_goes_on(data: list[str], tmp_path: Path) -> None:
    arguments = [definition(tmp_path), *data, *SHORT, f"runs={tmp_path / 'runs'}"]
    first, root = sweep.read(arguments), tmp_path / "runs"
    record.folder_of(root, first.name).mkdir(parents=True)
    ownership.claim(first, root)
    head = record.read(root, first.name).head
    prints = head.pop("fingerprints")
    record.write_head(root, first.name, head)
    ownership.claim(first, root)
    assert record.read(root, first.name).head["fingerprints"] == prints and set(prints) == {"h36m", "mpii", "coco"}


def test_a_database_s_password_is_kept_apart_and_may_change(data: list[str], tmp_path: Path) -> None:
    runs, root = f"runs={tmp_path / 'runs'}", tmp_path / "runs"
    url = "postgresql://u:{}@h/db"

    def with_password(password: str) -> sweep.Sweep:
        more = ("search.sampler=random", f"search.storage={url.format(password)}")
        return sweep.read([definition(tmp_path), *data, *SHORT, runs, *more])

    folder = record.folder_of(root, with_password("secret1").name)
    folder.mkdir(parents=True)
    ownership.claim(with_password("secret1"), root)
    ownership.finish(with_password("secret1"), root)
    head = json.loads((folder / "sweep.json").read_text())
    assert head["storage"] == head["search"]["storage"] == url.format("***")
    head["storage"] = head["search"]["storage"] = url.format("secret1")  # as sweeps were recorded before
    (folder / "sweep.json").write_text(json.dumps(head))
    ownership.claim(with_password("secret2"), root)
    ownership.finish(with_password("secret2"), root)
    assert "secret" not in (folder / "sweep.json").read_text()
    assert record.storage(record.read(root, with_password("secret2").name)) == url.format("secret2")
    other = sweep.read([definition(tmp_path), *data, *SHORT, runs, "search.sampler=random"])
    with pytest.raises(UserError, match="differs in search"):
        ownership.claim(other, root)
