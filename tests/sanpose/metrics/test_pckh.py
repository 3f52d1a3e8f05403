"""PCKh by hand: the head's size, the limit itself, the mask, groups and the weighted mean."""

from __future__ import annotations

import numpy as np
import pytest

from sanpose.errors import UserError
from sanpose.metrics import pckh
from sanpose.pose.joints import MPII16

# Head box 30 x 40: diagonal 50, head size 30, PCKh@0.5 allows 15 px, PCKh@0.1 allows 3 px.
HEAD = np.array([100.0, 100.0, 130.0, 140.0])


def people(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    truth = np.random.default_rng(0).uniform(0, 500, (count, 16, 2)).round()
    return truth.copy(), truth, np.ones((count, 16), bool), np.tile(HEAD, (count, 1))


def test_the_head_size_is_0_6_of_the_diagonal() -> None:
    assert pckh.head_sizes(HEAD[None]) == pytest.approx([30.0])


def test_the_limit_itself_counts_as_right() -> None:
    predicted, truth, labelled, head = people(4)
    nose = MPII16.index("head")
    predicted[:, nose, 0] += [0.0, 3.0, 15.0, 15.01]
    scores = pckh.evaluate(predicted, truth, labelled, head).scores
    assert scores[0.5]["Head"] == pytest.approx(75.0)
    assert scores[0.1]["Head"] == pytest.approx(50.0)


def test_groups_and_the_weighted_mean_by_hand() -> None:
    predicted, truth, labelled, head = people(2)
    left, right = MPII16.index("left_wrist"), MPII16.index("right_wrist")
    predicted[0, left] += 100  # wrong, of two labelled: 50 %
    labelled[0, right] = False  # one labelled, right: 100 %
    scores = pckh.evaluate(predicted, truth, labelled, head).scores[0.5]
    assert scores["Wrist"] == pytest.approx(75.0)
    assert scores["Mean"] == pytest.approx(100 * 26 / 27)  # 14 joints x 2 people - 1 unlabelled, 1 wrong
    assert {scores[g] for g in ("Head", "Shoulder", "Elbow", "Hip", "Knee", "Ankle")} == {100.0}


def test_pelvis_and_thorax_do_not_count_but_the_upper_neck_does() -> None:
    predicted, truth, labelled, head = people(1)
    predicted[0, [6, 7]] += 500
    assert pckh.evaluate(predicted, truth, labelled, head).scores[0.5]["Mean"] == 100.0
    predicted[0, 8] += 500
    assert pckh.evaluate(predicted, truth, labelled, head).scores[0.5]["Mean"] == pytest.approx(100 * 13 / 14)


def test_swapped_sides_are_wrong() -> None:
    _, truth, labelled, head = people(3)
    assert pckh.evaluate(truth[:, MPII16.flip], truth, labelled, head).scores[0.5]["Ankle"] == 0.0


def test_an_unlabelled_joint_changes_nothing_even_as_nan() -> None:
    predicted, truth, labelled, head = people(2)
    labelled[:, 0], truth[:, 0] = False, np.nan
    assert pckh.evaluate(predicted, truth, labelled, head).scores[0.5]["Mean"] == 100.0
    labelled[:] = False
    scores = pckh.evaluate(predicted, truth, labelled, head)
    assert scores.scores[0.5]["Mean"] is None
    assert scores.table().rows[0][-1] == "-"


def test_people_without_head_box_are_left_out_and_counted() -> None:
    predicted, truth, labelled, head = people(3)
    head[1], predicted[1] = np.nan, 0.0
    result = pckh.evaluate(predicted, truth, labelled, head)
    assert result.scores[0.5]["Mean"] == 100.0
    assert "samples: 2; 1 people left out, whose head box is missing or has no size" in result.protocol.text()
    head[2, 2:] = head[2, :2]
    assert pckh.evaluate(predicted, truth, labelled, head).protocol.samples == 1
    head[:, 2:] = head[:, :2]
    with pytest.raises(UserError, match="no person in the ground truth has a head box"):
        pckh.evaluate(predicted, truth, labelled, np.full((3, 4), np.nan))


def test_bad_arrays_are_refused() -> None:
    predicted, truth, labelled, head = people(3)
    with pytest.raises(UserError, match=r"\(3, 17, 2\)"):
        pckh.evaluate(np.zeros((3, 17, 2)), truth, labelled, head)
    predicted[1, 9] = np.inf
    with pytest.raises(UserError, match=r"sample 1, joint 9 \(head\) is inf"):
        pckh.evaluate(predicted, truth, labelled, head)
