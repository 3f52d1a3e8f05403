"""The measures of the house: what counts as a circle, an import and a name."""

from __future__ import annotations

import ast

from bench import house


def module(text: str, name: str = "a.b") -> house.Module:
    return house.Module(name, False, text, ast.parse(text))


def test_circles_are_groups_that_reach_each_other() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}
    assert sorted(house.circles(graph)) == ["a, b, c", "e"]


def test_rooms_hide_what_is_within_them() -> None:
    graph = {"p.a.x": {"p.a.y", "p.b"}, "p.a.y": {"p.a.x"}, "p.b": {"q.c.z"}, "q.c.z": set()}
    assert house.of_rooms(graph) == {"p.a": {"p.b"}, "p.b": {"q.c"}, "q.c": set()}


def test_imports_within_functions_count_and_those_for_type_checkers_do_not() -> None:
    text = "from p import x\nimport p.y\nif TYPE_CHECKING:\n    import p.z\ndef f():\n    from p.w import thing\n"
    assert house.imports(module(text), {"p", "p.x", "p.y", "p.z", "p.w"}) == {"p.x", "p.y", "p.w"}


def test_names_are_those_a_file_gives() -> None:
    text = "def f(a):\n    b, c.d = a\n    for e in b:\n        pass\n    with g as h:\n        pass\nimport i as j\n"
    assert sorted(name for name, _ in house.named(ast.parse(text))) == ["a", "b", "d", "e", "f", "h", "j"]


def test_every_measure_has_a_number() -> None:
    measures = {measure.name: measure.value for measure in house.measures()}
    assert len(measures) > 10 and measures["import layers"] > 5 and measures["lines"] > 10_000
