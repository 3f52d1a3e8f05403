"""Folders of runs as training and sweeps leave them, made up: for tests of what is drawn from them."""

from __future__ import annotations

import copy
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from sanpose.config.compose import compose
from sanpose.data.actions import ACTIONS
from sanpose.pose.joints import TRAINING
from sanpose.runs import joint_maps, ledger
from sanpose.runs.paths import RunPaths
from sweeps import record
from sweeps.files import append_line, to_json, write_atomic

HOSTILE = (
    """</script><script>window.hacked = 1</script><img src=x onerror="window.hacked=1"> {{ 7*7 }} {% raw %} '"&amp;"""
)


@functools.cache
def _composed(cell: str, preset: str) -> dict[str, Any]:
    return compose([f"preset={preset}", f"ablation={cell}"]).plain()


def figures(mpjpe: float) -> dict[str, Any]:
    def average(value: float) -> dict[str, Any]:
        actions = {name: value + 3 * math.sin(i) for i, name in enumerate(ACTIONS.values())}
        return {"mean_over_frames": value, "mean_over_actions": value, "per_action": actions}

    return {
        "h36m": {
            "mpjpe": average(mpjpe),
            "pa_mpjpe": average(mpjpe - 10),
            "pa_mpjpe_scaled": average(mpjpe - 12),
            "untrained_mpjpe": 400.0,
            "mean_pose_mpjpe": 200.0,
            "protocol": {"text": "MPJPE [mm]; subjects: S9, S11; samples: 7"},
        }
    }


def add(
    root: Path,
    name: str,
    cell: str = "c",
    *,
    preset: str = "quick",
    mpjpe: float = 100.0,
    status: str = "done",
    epochs: int = 4,
    settings: dict[str, Any] | None = None,
    **result: Any,
) -> Path:
    """A run with a journal of so many epochs, and its record."""
    config = copy.deepcopy(_composed(cell, preset))
    for dotted, value in (settings or {}).items():
        *path, last = dotted.split(".")
        node = config
        for key in path:
            node = node[key]
        node[last] = value
    provenance = {
        "at": "2026-01-02T03:04:05+00:00",
        "command": ["sanpose", "train"],
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "packages": {"torch": "2.14.1", "numpy": "2.4.6"},
        "python": "3.11.7",
        "machine": {"hostname": "node7", "cpus": 2},
    }
    folder = ledger.create(root, name, config, provenance)
    attends = config["model"]["attention"] != "none"
    for epoch in range(1, epochs + 1):
        loss, delta = 0.1 + 0.1 / epoch, 0.02 * epoch if attends else None
        append_line(
            folder / "metrics.jsonl", {"kind": "epoch", "epoch": epoch, "step": 0, "loss": loss, "delta": delta}
        )
        seen = figures(mpjpe + 30.0 / epoch - 7.0)
        append_line(folder / "metrics.jsonl", {"kind": "evaluation", "epoch": epoch, "step": 0, "figures": seen})
    if status == "done":
        append_line(folder / "metrics.jsonl", {"kind": "final", "epoch": epochs, "step": 0, "figures": figures(mpjpe)})
        result = {"metrics": figures(mpjpe), "protocol": {"h36m": "MPJPE [mm]; S9, S11"}, **result}
    end = {"ended": "2026-01-02T04:04:05+00:00", "bill": {"wall_s": 3600.0, "device": "cpu", "accelerators": 2}}
    common = {"synthetic": True, "cell": cell, "started": "2026-01-02T03:04:05+00:00"}
    ledger.write_result(folder, {"status": status, **common, **(end if status != "running" else {}), **result})
    return folder


def cells(root: Path) -> Path:
    """Cells a to f with three seeds, of which some are running, failed and broken; g is missing. One has maps."""
    base = {"a": 130.0, "b": 121.0, "c": 112.0, "d": 115.0, "e": 109.0, "f": 111.0}
    for letter, value in base.items():
        for seed in range(3):
            name = f"{letter}{seed}" + "0" * 8
            if (letter, seed) == ("f", 2):
                add(
                    root, name, letter, status="failed", epochs=2, settings={"train.seed": seed}, reason="out of memory"
                )
            elif (letter, seed) == ("f", 1):
                add(root, name, letter, status="running", epochs=3, settings={"train.seed": seed})
            else:
                settings = {"train.seed": seed}
                add(root, name, letter, mpjpe=value + 1.7 * math.sin(5 * seed + ord(letter)), settings=settings)
    (root / "torn").mkdir()
    (root / "torn" / "result.json").write_text('{"schema": 1, "id": "to')
    maps(root / "c000000000")
    return root


def maps(folder: Path) -> None:
    """Joint-relationship maps, with the shapes and the range of real ones."""
    joints = TRAINING["h36m18"]
    random = np.random.default_rng(0)
    features = random.normal(size=(len(joints), 24))
    shared = random.normal(size=24)
    deltas = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
    found = np.stack([np.corrcoef(features + 2 * d * shared) for d in deltas])
    joint_maps.write(
        RunPaths(folder).joint_maps,
        joint_maps.JointMaps(
            joints=joints.joints,
            bones=joints.bone_indices,
            deltas=deltas,
            maps=found,
            along_deltas=np.array([0.01, 0.05]),
            along_epochs=np.array([1.0, 4.0]),
            along=found[:2],
            trained_delta=0.05,
            samples=7,
            checkpoint="epoch-0004-step-000000",
            protocol="Made up for a test.",
        ),
    )


def sweep(root: Path, name: str, keys: dict[str, list[Any]], seeds: int = 2, title: str = "", **head: Any) -> list[str]:
    """A sweep over every combination of the keys' values, all its runs done; gives their ids."""
    points: list[dict[str, Any]] = [{}]
    for key, values in keys.items():
        points = [{**point, key: value} for point in points for value in values]
    folder = record.write_head(root, name, {"title": title, "search": None, "seeds": seeds, **head})
    ids = []
    for number, (point, seed) in enumerate((p, s) for p in points for s in range(seeds)):
        run = f"{len(name):01x}{number:03x}{sum(map(ord, name)):06x}"
        worth = sum((i + 1) * (sum(map(ord, str(v))) % 17) for i, v in enumerate(point.values()))
        add(root, run, mpjpe=95.0 + worth + seed, settings={**point, "train.seed": seed}, epochs=3)
        label = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in point.items())
        record.append_trial(folder, record.TrialRecord(number, label, point, seed, run))
        ids.append(run)
    return ids


def hostile(root: Path) -> Path:
    """Text that would run, or break the page, everywhere a person or a file name can put it."""
    settings = {"data.sources.mpii.file": HOSTILE, "preset": HOSTILE[:40]}
    add(root, "c000000000", settings=settings)
    add(root, "c100000000", status="failed", reason=HOSTILE, settings={"train.seed": 1})
    maps(add(root, 'x"><b>', settings={**settings, "train.seed": 2}))
    folder = root / "c000000000"
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["machine"]["hostname"], provenance["command"] = HOSTILE, [HOSTILE]
    write_atomic(folder / "provenance.json", to_json(provenance))
    result = json.loads((folder / "result.json").read_text())
    result["protocol"]["h36m"] = HOSTILE
    write_atomic(folder / "result.json", to_json(result))
    sweep(root, "bad'\"><b>", {"model.delta_init": [0.0, 0.5], "model.weights": [HOSTILE, "none"]}, 1, title=HOSTILE)
    (root / "<script>window.hacked=1<\\script>").mkdir()
    pictures = folder / "predictions"
    pictures.mkdir()
    (pictures / '"><img src=x onerror=window.hacked=1>.overlay.png').write_bytes(PNG)
    return root


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)  # one red pixel
