"""Definitions of sweeps: what they mean, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeps import definition
from sweeps.definition import BadSweep

AXES = {
    "model.delta_init": [0.0, 0.123456789, 1],
    "input": {"square": ["data.input_width=256"], "tall": ["data.input_width=288", "data.input_height=384"]},
}


def test_a_grid_is_every_combination_the_last_axis_fastest() -> None:
    found = definition.read({"title": "t", "fixed": ["ablation=c"], "axes": AXES})
    points = found.grid()
    assert len(points) == 6
    assert points[0] == {"model.delta_init": 0.0, "input": "square"} and points[1]["input"] == "tall"
    assert found.overrides(points[3]) == [
        "ablation=c", "model.delta_init=0.123456789", "data.input_width=288", "data.input_height=384",
    ]  # fmt: skip
    assert definition.label(points[3]) == "delta_init 0.123457, input tall"


def test_changes_of_the_search_come_after_the_file() -> None:
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
        ({"axes": {"a": [0, 0.0]}}, "a value twice: 0, 0.0"),
        ({"axes": {"a": {"x": "y=1"}}}, "a list of overrides"),
        ({"axes": {"a": {"low": 2, "high": 1}}}, "low below high"),
        ({"axes": {"a": {"low": 0, "high": 1, "log": True}}}, "above 0 with log"),
        ({"axes": {"a": {"low": 0, "high": "x"}}}, "a number was expected"),
        ({"axes": {"a": {"low": 0, "high": 1}}}, "a grid cannot have"),
        ({"axes": AXES, "search": [3]}, "sampler, trials or other keys"),
        ({"axes": AXES, "search": {"sampler": "best"}}, "search.sampler"),
        ({"axes": AXES, "search": {"pruner": "some"}}, "search.pruner"),
        ({"axes": AXES, "search": {"trial": 3}}, "search.trial"),
        ({"axes": AXES, "search": {"trials": 0}}, "at least 1"),
        ({"axes": AXES, "search": {"trials": True}}, "int was expected"),
        ({"axes": AXES, "search": {"objectives": "ap"}}, "a list was expected"),
        ({"axes": AXES, "search": {"objectives": []}}, "at least one figure"),
        ({"axes": AXES, "search": {"objectives": ["ap"], "pruner": "asha"}}, "compares mpjpe_mm"),
        ({"axes": AXES, "search": {"objectives": ["a", "b"], "sampler": "gp"}}, "nsga2"),
        ({"axes": AXES, "search": {"first": [{"input": "tall"}]}}, "a value for each of"),
        ({"axes": AXES, "search": {"first": [{"input": "wide", "model.delta_init": 0.0}]}}, "no 'wide'"),
        ({"axes": AXES, "search": {"first": [{"input": ["tall"], "model.delta_init": 0.0}]}}, "no .'tall'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(raw: object, said: str) -> None:
    with pytest.raises(BadSweep, match=said):
        definition.read(raw)


def overrides_of(values: Sequence[object]) -> list[str]:
    found = definition.read({"axes": {"key": values}})
    return [found.overrides(point)[0] for point in found.grid()]


def test_what_hydra_reads_rightly_is_written_as_it_is() -> None:
    """These texts also distinguish a sweep that has started from another sweep."""
    plain = ["c", "runs/a-1/best.pt", "two words", "1e-3", "${scale.deep}", "[40, 50]", ""]
    assert overrides_of(plain) == [f"key={text}" for text in plain]
    assert overrides_of([True, None, 1e-05]) == ["key=true", "key=null", "key=1e-05"]


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
@example("a,b")
@example("key=value")
@example("it's")
@example('say "hi"')
@example(" room ")
@example("sweep(1,2)")
@example("tail\\")
@example("\\'")
@example("a\\\n")
@example("[a], b")
def test_a_text_is_that_text_for_hydra(text: str) -> None:
    parsed = OverridesParser.create().parse_override(overrides_of([text])[0]).value()
    read = parsed.text if isinstance(parsed, QuotedString) else parsed
    # A number, true, null or a list is read as such, as it was meant: YAML takes 1e-3 for a text.
    assert read == text or not isinstance(read, str)
