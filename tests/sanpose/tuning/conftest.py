"""The data and the Ray that the sweeps of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.raycluster.connect import ray_cluster
from tests.sanpose import tiny


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny.overrides(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="package")
def ray() -> Iterator[None]:
    with ray_cluster(2):
        yield
