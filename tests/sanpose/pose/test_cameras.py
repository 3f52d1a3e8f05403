"""The camera model."""

from __future__ import annotations

import pytest

from sanpose.pose.cameras import back_project, project
from tests.sanpose import tiny_sets as tiny


def test_back_projection_undoes_projection() -> None:
    points = tiny.in_camera(tiny.people(3))
    pixels = project(points, tiny.F, tiny.C)
    assert back_project(pixels, points[..., 2], tiny.F, tiny.C) == pytest.approx(points)
