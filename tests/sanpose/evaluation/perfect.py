"""The predictions of a network without error."""

from __future__ import annotations

import numpy as np

from sanpose.config.schema import Config
from sanpose.data import samples
from sanpose.evaluation.predictions import Predictions


def labels(chosen: samples.Samples, config: Config) -> Predictions:
    """The samples' own labels as predictions; every joint's score is 1."""
    width, height = config.data.input_width, config.data.input_height
    views = tuple(chosen.view(i, width, height) for i in range(len(chosen)))
    coordinates = np.stack([chosen.target(i, v, width, height)[0] for i, v in enumerate(views)])
    return Predictions(chosen, views, coordinates, np.ones(coordinates.shape[:2], np.float32), width, height)
