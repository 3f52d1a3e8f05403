"""Which checkpoints stay of a run that has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sanpose.errors import UserError
from sanpose.runs.checkpoints import kinds, trim


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for epoch, score in ((1, 30.0), (2, 10.0), (3, 20.0)):
        folder = tmp_path / f"epoch-{epoch:04d}-step-000000"
        folder.mkdir()
        (folder / "weights").write_bytes(b"12345")
        (folder / "manifest.json").write_text(
            json.dumps({"position": {"epoch": epoch}, "world": 1, "zero_stage": 0, "score": score})
        )
    (tmp_path / ".epoch-0004-step-000000.part").mkdir()
    (tmp_path / "epoch-0005-step-000000").mkdir()  # without a manifest
    return tmp_path


@pytest.mark.parametrize(
    ("text", "left"), [("best", [2]), ("last", [3]), ("best,last", [2, 3]), ("none", []), ("last, best", [2, 3])]
)
def test_the_kinds_that_are_kept(checkpoints: Path, text: str, left: list[int]) -> None:
    freed = trim(checkpoints, kinds(text))
    assert sorted(p.name for p in checkpoints.iterdir()) == [f"epoch-{e:04d}-step-000000" for e in left]
    assert freed >= 5 * (3 - len(left))


def test_all_are_kept_when_asked_and_nothing_is_no_error(checkpoints: Path, tmp_path: Path) -> None:
    assert trim(checkpoints, kinds("all")) == 0 and len(list(checkpoints.iterdir())) == 5
    assert trim(tmp_path / "nothing", ("best",)) == 0


def test_without_scores_the_last_is_the_best(checkpoints: Path) -> None:
    for path in checkpoints.glob("epoch-*/manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "score": None}))
    trim(checkpoints, ("best",))
    assert [p.name for p in checkpoints.iterdir()] == ["epoch-0003-step-000000"]


def test_other_words_are_refused() -> None:
    with pytest.raises(UserError, match="'newest'"):
        kinds("newest")
