"""The three packages belong to this project: `cluster` and `sweeps` are also names on the package index."""

from importlib.metadata import packages_distributions

import pytest


@pytest.mark.parametrize("package", ["sanpose", "cluster", "sweeps"])
def test_the_package_is_ours(package: str) -> None:
    assert set(packages_distributions()[package]) == {"sanpose"}
