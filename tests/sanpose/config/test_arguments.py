"""Arguments are split by their key; the last value of a key counts."""

from __future__ import annotations

from sanpose.config.arguments import last_value, split


def test_arguments_are_split_by_key_and_the_others_keep_their_order() -> None:
    arguments = ["b=1", "runs=x", "runs.y=2", "a=3", "runs=z=1", "runs"]
    assert split(arguments, "runs", "resume") == ({"runs": "z=1"}, ["b=1", "runs.y=2", "a=3", "runs"])


def test_the_last_value_of_a_key_counts() -> None:
    assert last_value(["seed=1", "seed=", "other=2"], "seed") == ""
    assert last_value(["seed.x=1", "seed"], "seed") is None
