"""Records as training writes them, without any training."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanpose.config.compose import compose
from sanpose.data.actions import ACTIONS
from sanpose.runs import ledger
from sweeps import record

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def average(value: float | None) -> dict[str, Any]:
    return {
        "mean_over_frames": value,
        "mean_over_actions": value,
        "per_action": {name: None if value is None else value + i for i, name in enumerate(ACTIONS.values())},
    }


def figures(mpjpe: float) -> dict[str, Any]:
    groups = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean")
    return {
        "h36m": {
            "mpjpe": average(mpjpe),
            "pa_mpjpe": average(mpjpe - 10),
            "pa_mpjpe_scaled": average(mpjpe - 12),
            "untrained_mpjpe": 400.0,
            "mean_pose_mpjpe": 200.0,
            "protocol": {"text": "MPJPE [mm]; subjects: S9, S11; samples: 7"},
        },
        "mpii": {"pckh@0.5": {name: 50.0 + i for i, name in enumerate(groups)}},
        "coco": {"AP": 0.25, "AP50": 0.5, "AP75": 0.2, "AP_M": 0.1, "AP_L": 0.3},
    }


@functools.cache
def _composed(cell: str, preset: str) -> dict[str, Any]:
    return compose([f"preset={preset}", f"ablation={cell}"]).plain()


def composed(cell: str, preset: str) -> dict[str, Any]:
    return copy.deepcopy(_composed(cell, preset))


def add(root: Path, cell: str, *, seed: int = 0, preset: str = "quick", age: int = 0, **result: Any) -> Path:
    """A run of a cell, as training records it; `age` in minutes; without a result it is still running."""
    config = composed(cell, preset)
    config["train"]["seed"] = seed
    folder = ledger.create(root, f"{cell}{seed}{preset}{age}", config, {"at": "then"})
    if result:
        ledger.write_result(folder, {"synthetic": preset != "paper", "cell": cell, **result})
        moment = (folder / "config.yaml").stat().st_mtime - 60 * age
        os.utime(folder / "result.json", (moment, moment))
    return folder


def add_sweep(root: Path, name: str, points: Sequence[tuple[Mapping[str, Any], int, Path | str]], **head: Any) -> None:
    """A sweep of (values, seed, run's folder or id), in this order."""
    folder = record.write_head(root, name, {"title": f"The sweep {name}", "search": None, "seeds": 1, **head})
    for number, (values, seed, run) in enumerate(points):
        label = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items())
        record.append_trial(folder, record.TrialRecord(number, label, dict(values), seed, Path(run).name))
