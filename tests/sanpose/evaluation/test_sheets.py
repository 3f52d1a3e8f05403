"""A run's sample predictions: every worker's part in them, what the sheet shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sanpose.config.compose import compose
from sanpose.config.schema import Config
from sanpose.data import sources
from sanpose.evaluation import sheets
from sanpose.evaluation.predictions import Predictions
from sanpose.training import loop
from sanpose.training.engine import WorkerPlace, single_process
from tests.sanpose import tiny
from tests.sanpose.evaluation.perfect import labels


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return compose(tiny.overrides(tmp_path_factory.mktemp("data"), "train.epochs=1"))


def test_a_perfect_prediction_looks_like_the_labels(cfg: Config) -> None:
    model = replace(cfg.model, joints="h36m18")  # all of which Human3.6M labels
    cfg = replace(cfg, model=model, eval=replace(cfg.eval, sets=("h36m",)))
    sheet = sheets.sheet(labels(sources.predicted(cfg, "h36m", sources.opened(cfg)["h36m"]).at(np.arange(3)), cfg))
    height, width = sheet.shape[0] // 3, sheet.shape[1] // 3
    assert (height, width) == (256, round(256 * cfg.data.input_width / cfg.data.input_height))
    labelled, predicted = sheet[24:height], sheet[height + 24 : 2 * height]  # below the captions, which differ
    difference = np.abs(labelled.astype(int) - predicted).max(-1)
    assert (difference > 40).mean() < 0.002, "the same but for rounding"


def test_a_wrong_prediction_looks_otherwise(cfg: Config) -> None:
    chosen = sources.predicted(cfg, "h36m", sources.opened(cfg)["h36m"]).at(np.arange(2))
    right = labels(chosen, cfg)
    wrong = Predictions(chosen, right.views, -right.coordinates, right.scores, right.width, right.height)
    a, b = sheets.sheet(right), sheets.sheet(wrong)
    assert (a[:256] == b[:256]).all(), "the labels are the labels"
    assert (a[256:512] != b[256:512]).any() and (a[512:] != b[512:]).any()


def test_a_training_ends_with_a_sheet_of_every_set(cfg: Config, tmp_path: Path) -> None:
    single_process()
    loop.train(cfg, tmp_path, WorkerPlace(0, 1, torch.device("cpu")))
    written = {path.name: cv2.imread(str(path)) for path in (tmp_path / "predictions").iterdir()}
    assert sorted(written) == [f"samples-{name}.jpg" for name in sorted(cfg.eval.sets)]
    assert all(image is not None and image.shape[0] in (512, 768) for image in written.values())
