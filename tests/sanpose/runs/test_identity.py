"""The identity of a run is a promise: the same text for the same configuration, today and in a year."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanpose.config.plain import without
from sanpose.runs.identity import canonical, hash_of

CONFIG: dict[str, object] = {
    "cell": "c",
    "model": {"backbone": "resnet18", "width": 0.5, "attention": "position"},
    "train": {"lr": 1e-4, "drops": [170, 190], "seed": 0, "workers": 2},
    "data": {"root": "/somewhere", "sources": ["h36m", "mpii"]},
    "resume": None,
}
NUISANCE = {"data.root", "train.workers"}


def reverse(value: object) -> object:
    if isinstance(value, dict):
        return {k: reverse(value[k]) for k in reversed(list(value))}
    return value


def test_golden() -> None:
    assert canonical({"b": [1.0, 0.1, 1e-7], "a": {"é": True, "z": None}}) == (
        '{"a":{"z":null,"\\u00e9":true},"b":[1,0.1,1e-07]}'
    )
    assert hash_of(CONFIG, leave_out=NUISANCE, schema=1) == "2283dbad78"


def test_order_and_nuisance_do_not_matter_and_everything_else_does() -> None:
    base = hash_of(CONFIG, leave_out=NUISANCE, schema=1)
    turned = reverse(CONFIG)
    assert isinstance(turned, dict)
    assert hash_of(turned, leave_out=NUISANCE, schema=1) == base
    assert (
        hash_of({**CONFIG, "data": {"root": "/else", "sources": ["h36m", "mpii"]}}, leave_out=NUISANCE, schema=1)
        == base
    )
    assert hash_of({**CONFIG, "data": {"root": "", "sources": ["mpii", "h36m"]}}, leave_out=NUISANCE, schema=1) != base
    assert hash_of({**CONFIG, "cell": "d"}, leave_out=NUISANCE, schema=1) != base
    assert hash_of(CONFIG, leave_out=NUISANCE, schema=2) != base
    assert CONFIG["data"] == {"root": "/somewhere", "sources": ["h36m", "mpii"]}, (
        "the caller's configuration was changed"
    )


def test_numbers() -> None:
    assert canonical({"x": 1}) == canonical({"x": 1.0}) != canonical({"x": True})
    assert canonical({"x": -0.0}) == canonical({"x": 0})
    assert canonical({"x": (1, 2)}) == canonical({"x": [1, 2]})
    assert canonical(float(np.float64(0.1))) == canonical(np.float64(0.1)) == "0.1"
    assert canonical(1e300) == "1e+300"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_have_one_text_each(a: float, b: float) -> None:
    assert (canonical(a) == canonical(b)) == (a == b)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"a": {"b": float("nan")}}, "a.b"),
        ({"a": [1.0, float("inf")]}, r"a\[1\]"),
        ({"a": {1: 2}}, "strings"),
        ({"a": {"b": object()}}, "a.b"),
    ],
)
def test_refused_with_its_place(config: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        hash_of(config, schema=1)


def test_a_misspelt_nuisance_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.roots"):
        without(CONFIG, {"data.roots"})
    with pytest.raises(ValueError, match="not a section"):
        without(CONFIG, {"cell.letter"})
    assert without(CONFIG, {"resume.path"}) == CONFIG
    assert without(CONFIG, {"data", "model"}).keys() == {"cell", "train", "resume"}
