"""Moments of the synthetic people's motions, for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sanpose.data.actions import ACTIONS
from sanpose.data.synth import motions, skeleton
from sanpose.data.synth.person import SUBJECTS


def moments(count: int = 6) -> Iterator[tuple[int, int, motions.Moment]]:
    for subject in SUBJECTS:
        for action in ACTIONS:
            for n in range(count):
                yield subject, action, motions.moment(action, 100 * subject + action, 6.4 * n)


def pose_at(subject: int, moment: motions.Moment) -> skeleton.Posed:
    return skeleton.forward(moment.angles, SUBJECTS[subject].lengths, np.array([*moment.ground, 900.0]))
