"""The command `sanpose metrics`, and a packed ground truth of Human3.6M to score against."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sanpose.cli import main
from tests.sanpose.metrics.scored import Run, h36m_truth, pack


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `sanpose metrics ...` in this process; returns exit code, standard output and error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sanpose", "metrics", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def h36m_h5(tmp_path: Path) -> Path:
    return pack(
        tmp_path / "h36m.h5",
        "h36m",
        {
            "keypoints": np.zeros((6, 17, 2)),
            "visible": np.full((6, 17), 2),
            "keypoints3d": h36m_truth(),
            "camera": np.zeros(6),
            "subject": np.array([5, 5, 9, 9, 11, 11]),
            "action": np.array([2, 3, 2, 3, 2, 14]),
            "subaction": np.zeros(6),
            "frame": np.array([0, 64, 128, 0, 64, 192]),
        },
    )
