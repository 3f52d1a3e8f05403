"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real COCO, MPII and Human3.6M samples; their licences keep them out of the project."""
    if not REAL.is_dir():
        pytest.skip("the real sample images are not beside the project (../shared/data/real)")
    return REAL
