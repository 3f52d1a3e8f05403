"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.slurmlab.lab import Lab
from tests.slurmlab.requirements import accounting_unavailable, unavailable

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real"


def pytest_configure() -> None:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and all their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes depends on what else the machine does.
    hypothesis.settings.register_profile("no deadline", deadline=None)
    hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real COCO, MPII and Human3.6M samples; their licences keep them out of the project."""
    if not REAL.is_dir():
        pytest.skip("the real sample images are not beside the project (../shared/data/real)")
    return REAL


@pytest.fixture(scope="session")
def slurm_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Slurm of three nodes, one for all tests; `lab` is what a test takes. Nodes see what is in `tmp_path`."""
    without_lab(unavailable())
    with Lab.started(SHARE=str(tmp_path_factory.getbasetemp())) as lab:
        yield lab


def without_lab(reason: str | None) -> None:
    if reason and os.environ.get("CI"):
        pytest.fail(f"no Slurm to test on: {reason}")
    if reason:
        pytest.skip(f"no Slurm to test on: {reason}")


@pytest.fixture
def lab(slurm_lab: Lab) -> Iterator[Lab]:
    """The Slurm lab with an empty queue, idle nodes and an empty shared folder, left so for the next test."""
    yield slurm_lab
    slurm_lab.clean()


@pytest.fixture(scope="module")
def accounting_lab() -> Iterator[Lab]:
    """A lab with a database of jobs, as sacct wants it; not cleaned between tests."""
    without_lab(accounting_unavailable())
    with Lab.started(ACCOUNTING=1) as lab:
        yield lab
