"""Real images, from their folders to a trained, evaluated network: a network can learn the samples by heart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from sanpose.data import loader, samples
from sanpose.evaluation import predictions
from sanpose.inference import trained
from sanpose.pose.joints import UNION22
from sanpose.runs import lookup

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800)]

# The four Human3.6M images are of S1, S5, S7 and S8; every sample is for training and for evaluation.
SETTINGS = [
    "preset=smoke", "data.train_subjects=[1,5,7,8]", "data.test_subjects=[1,5,7,8]", "data.train_stride=1",
    "data.test_stride=1", "data.sources.h36m.share=10", "data.sources.mpii.share=6", "data.sources.coco.share=12",
    "data.augment.flip=0", "data.augment.rotation=0", "data.augment.scale=0", "data.augment.translation=0",
    "data.epoch_samples=700", "train.batch_size=14", "train.epochs=14", "train.milestones=[9,12,13]",
    "train.gamma=0.3", "train.learning_rate=2e-3", "train.checkpoint_epochs=14", "eval.sets=[h36m]", "eval.every=0",
    "model.width=0.5", "model.depth_bins=16", "model.deconv_channels=64",
]  # fmt: skip


def sanpose(*arguments: object, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sanpose", *map(str, arguments)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def head_boxes(annotations: Path, out: Path) -> None:
    """The MPII samples lack head boxes: squares from the upper neck to the top of the head stand in for them."""
    people = json.loads(annotations.read_text())
    joints = np.array([p["joints"] for p in people])
    neck, head = joints[:, 8], joints[:, 9]
    middle, half = (neck + head) / 2, np.linalg.norm(head - neck, axis=1)[:, None] / 2
    missing = 1 - np.array([p["joints_vis"] for p in people])
    boxes = np.stack([middle - half, middle + half]).transpose(0, 2, 1)
    savemat(out, {"jnt_missing": missing.T, "pos_gt_src": joints.transpose(1, 2, 0), "headboxes_src": boxes})
    assert loadmat(out)["headboxes_src"].shape == (2, 2, len(people))


@pytest.fixture(scope="module")
def prepared(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    head_boxes(real_data / "mpii" / "test_mpii.json", folder / "gt_valid.mat")
    sanpose("data", "prepare", "h36m", "--src", real_data / "h36m", "--out", "h36m.h5", "--stride", 1, folder=folder)
    for split in ("train", "val"):
        for source in ("mpii", "coco"):
            extra = ["--head-boxes", "gt_valid.mat"] if (source, split) == ("mpii", "val") else []
            out = f"{source}-{split}.h5"
            sanpose(
                "data", "prepare", source, "--src", real_data / source, "--out", out, "--split", split, *extra,
                folder=folder,
            )  # fmt: skip
    for name in ("h36m", "mpii-train", "coco-val"):
        assert "no problems found" in sanpose("data", "check", f"{name}.h5", folder=folder)
    return folder


def test_the_samples_can_be_learned_by_heart(prepared: Path) -> None:
    files = [
        f"data.sources.{s}.file={f}"
        for s, f in (("h36m", "h36m.h5"), ("mpii", "mpii-train.h5"), ("coco", "coco-train.h5"))
    ]
    sanpose("train", *SETTINGS, *files, folder=prepared)
    [folder] = (prepared / "runs").iterdir()
    record = lookup.read(lookup.find(prepared / "runs", folder.name))
    assert record.extra["synthetic"] is False
    assert record.metrics["h36m"]["mpjpe"]["mean_over_frames"] < 30
    assert share_correct(folder, prepared) > 0.95
    document = json.loads(
        sanpose(
            "evaluate",
            f"run={folder.name}",
            "eval.sets=[h36m,mpii,coco]",
            "data.sources.mpii.file=mpii-val.h5",
            "data.sources.coco.file=coco-val.h5",
            "--json",
            folder=prepared,
        )
    )
    figures = document["metrics"]
    assert figures["h36m"]["mpjpe"]["mean_over_frames"] < 30
    assert figures["mpii"]["pckh@0.5"]["Mean"] > 95
    assert figures["coco"]["AP50"] > 0.9


def share_correct(folder: Path, data: Path) -> float:
    """PCK on all 13 images: joints within 0.1 of the person's box, of all that are labelled."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = trained.load(folder)
    right = labelled = 0
    for source, name in (("h36m", "h36m"), ("mpii", "mpii-train"), ("coco", "coco-train")):
        file = loader.packed.read(data / f"{name}.h5")
        part = samples.training(file, network.config.data, UNION22)
        predicted = predictions.predict(network.config, part, network.forward).pixels()
        side = part.column("box")[:, 2:].max(1)[:, None]
        distance = np.linalg.norm(predicted - part.points[..., :2], axis=-1) / side
        mask = part.weight[..., 0] > 0
        right, labelled = right + int((distance[mask] <= 0.1).sum()), labelled + int(mask.sum())
        assert source == part.file.source
    return right / labelled
