"""Definitions of sweeps: what they mean, and what is refused."""

from __future__ import annotations

import pytest

from sweeps import definition
from sweeps.definition import BadSweep

AXES = {
    "model.delta_init": [0.0, 0.123456789, 1],
    "input": {"square": ["data.input_width=256"], "tall": ["data.input_width=288", "data.input_height=384"]},
}


def test_a_grid_is_every_combination_the_last_axis_fastest():
    found = definition.read({"title": "t", "fixed": ["ablation=c"], "axes": AXES})
    points = found.grid()
    assert len(points) == 6
    assert points[0] == {"model.delta_init": 0.0, "input": "square"} and points[1]["input"] == "tall"
    assert found.overrides(points[3]) == [
        "ablation=c", "model.delta_init=0.123456789", "data.input_width=288", "data.input_height=384",
    ]  # fmt: skip
    assert definition.label(points[3]) == "delta_init 0.123457, input tall"


def test_changes_of_the_search_come_after_the_file():
    axes = {**AXES, "train.learning_rate": {"low": 1e-5, "high": "1e-3", "log": True}}
    first = [{"model.delta_init": 0.0, "input": "tall", "train.learning_rate": 1e-4}]
    found = definition.read({"axes": axes, "search": {"trials": 5, "first": first}}, {"sampler": "tpe", "trials": 7})
    assert (found.search.sampler, found.search.trials) == ("tpe", 7)
    assert found.overrides(first[0])[-1] == "train.learning_rate=0.0001"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "title, axes"),
        ({"axes": {}}, "axes is empty"),
        ({"axes": AXES, "grid": 1}, "unknown key 'grid'"),
        ({"axes": {"a": "b"}}, "axis 'a'"),
        ({"axes": {"a": [[1, 2]]}}, "numbers, words"),
        ({"axes": {"a": {"x": "y=1"}}}, "a list of overrides"),
        ({"axes": {"a": {"low": 2, "high": 1}}}, "low below high"),
        ({"axes": {"a": {"low": 0, "high": 1, "log": True}}}, "above 0 with log"),
        ({"axes": {"a": {"low": 0, "high": "x"}}}, "a number was expected"),
        ({"axes": {"a": {"low": 0, "high": 1}}}, "a grid cannot have"),
        ({"axes": AXES, "search": {"sampler": "best"}}, "search.sampler"),
        ({"axes": AXES, "search": {"pruner": "some"}}, "search.pruner"),
        ({"axes": AXES, "search": {"trial": 3}}, "search.trial"),
        ({"axes": AXES, "search": {"trials": 0}}, "at least 1"),
        ({"axes": AXES, "search": {"trials": True}}, "int was expected"),
        ({"axes": AXES, "search": {"objectives": "ap"}}, "a list was expected"),
        ({"axes": AXES, "search": {"objectives": []}}, "at least one figure"),
        ({"axes": AXES, "search": {"objectives": ["ap"], "pruner": "asha"}}, "looks at mpjpe_mm"),
        ({"axes": AXES, "search": {"objectives": ["a", "b"], "sampler": "gp"}}, "nsga2"),
        ({"axes": AXES, "search": {"first": [{"input": "tall"}]}}, "a value for each of"),
        ({"axes": AXES, "search": {"first": [{"input": "wide", "model.delta_init": 0.0}]}}, "no 'wide'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(raw, said):
    with pytest.raises(BadSweep, match=said):
        definition.read(raw)
