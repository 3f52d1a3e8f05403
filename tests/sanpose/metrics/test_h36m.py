"""MPJPE and PA-MPJPE: against a plain loop, their invariances, the reflection, the two averages, the refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sanpose.errors import UserError
from sanpose.metrics import h36m

seeds = st.integers(0, 2**32 - 1)


def poses(seed: int, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Truth and a wrong prediction, (N, 17, 3) mm, metres away from the camera."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 400, (count, 17, 3)) + np.array([100, -200, 5000])
    return truth + rng.normal(0, 80, truth.shape), truth


def plain_mpjpe(predicted: np.ndarray, truth: np.ndarray) -> float:
    total = 0.0
    for p, t in zip(predicted, truth, strict=True):
        for j in range(17):
            d = (p[j] - p[0]) - (t[j] - t[0])
            total += float(np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2))
    return total / (len(truth) * 17)


def plain_pa(predicted: np.ndarray, truth: np.ndarray, scale: bool) -> float:
    """Frame by frame with scipy's own solution of Wahba's problem, a different algorithm's author."""
    errors = []
    for p, t in zip(predicted, truth, strict=True):
        p0, t0 = p - p.mean(0), t - t.mean(0)
        rotated = Rotation.align_vectors(t0, p0)[0].apply(p0)
        factor = (rotated * t0).sum() / (p0**2).sum() if scale else 1.0
        errors.append(np.linalg.norm(factor * rotated - t0, axis=1).mean())
    return float(np.mean(errors))


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_it_agrees_with_a_plain_loop(seed: int) -> None:
    predicted, truth = poses(seed)
    result = h36m.evaluate(predicted, truth)
    assert result.mpjpe.frames == pytest.approx(plain_mpjpe(predicted, truth), rel=1e-9)
    assert result.pa_mpjpe.frames == pytest.approx(plain_pa(predicted, truth, False), rel=1e-6)
    assert result.pa_mpjpe_scaled.frames == pytest.approx(plain_pa(predicted, truth, True), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(0.2, 5.0))
def test_each_measure_ignores_what_it_should_and_nothing_more(seed: int, factor: float) -> None:
    predicted, truth = poses(seed)
    axis = np.random.default_rng(seed).normal(size=3)
    turn = Rotation.from_rotvec(2.0 * axis / np.linalg.norm(axis)).as_matrix()
    shift = np.array([300.0, -20.0, 4000.0])
    before = h36m.evaluate(predicted, truth)

    moved = h36m.evaluate(predicted + shift, truth)
    assert moved.mpjpe.frames == pytest.approx(before.mpjpe.frames)
    turned = h36m.evaluate(predicted @ turn + shift, truth)
    assert turned.pa_mpjpe.frames == pytest.approx(before.pa_mpjpe.frames, rel=1e-6)
    assert turned.mpjpe.frames > before.mpjpe.frames
    both = h36m.evaluate(predicted @ turn, truth @ turn)
    assert both.mpjpe.frames == pytest.approx(before.mpjpe.frames)
    scaled = h36m.evaluate(factor * predicted @ turn + shift, truth)
    assert scaled.pa_mpjpe_scaled.frames == pytest.approx(before.pa_mpjpe_scaled.frames, rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_more_freedom_never_leaves_a_larger_square_error(seed: int) -> None:
    predicted, truth = poses(seed)
    root, rigid, similar = (
        (h36m.joint_errors(predicted, truth, a) ** 2).sum(1) for a in ("root", "rigid", "similarity")
    )
    assert (rigid <= root + 1e-6).all()
    assert (similar <= rigid + 1e-6).all()


def test_scale_is_what_tells_the_two_alignments_apart() -> None:
    _, truth = poses(1)
    result = h36m.evaluate(1.5 * truth, truth)
    assert result.pa_mpjpe_scaled.frames == pytest.approx(0, abs=1e-6)
    assert result.pa_mpjpe.frames > 100


def test_a_mirror_image_is_not_aligned_away() -> None:
    _, truth = poses(2)
    mirrored = truth * [-1, 1, 1]
    aligned = h36m.procrustes(mirrored, truth, scale=False)
    assert np.linalg.norm(aligned - truth, axis=-1).mean() > 50
    # The alignment is a rotation: a right-handed triple of bones stays right-handed.
    before, after = (np.linalg.det(p[:, 1:4] - p[:, :1]) for p in (mirrored, aligned))
    np.testing.assert_allclose(after, before, rtol=1e-6)
    result = h36m.evaluate(mirrored, truth)
    assert result.pa_mpjpe.frames == pytest.approx(plain_pa(mirrored, truth, False), rel=1e-6)
    assert result.pa_mpjpe_scaled.frames == pytest.approx(plain_pa(mirrored, truth, True), rel=1e-6)


def test_a_pose_shrunk_to_a_point_has_a_finite_error() -> None:
    _, truth = poses(3)
    result = h36m.evaluate(np.zeros_like(truth), truth)
    centred = truth - truth.mean(1, keepdims=True)
    assert result.pa_mpjpe_scaled.frames == pytest.approx(np.linalg.norm(centred, axis=-1).mean())


def test_by_hand_and_the_two_joint_counts() -> None:
    truth = np.zeros((2, 17, 3))
    predicted = truth.copy()
    predicted[:, 1:] = [30.0, 0.0, 40.0]  # 50 mm at 16 joints, 0 at the pelvis
    assert h36m.evaluate(predicted, truth).mpjpe.frames == pytest.approx(50 * 16 / 17)
    sixteen = h36m.evaluate(predicted, truth, joints=16)
    assert sixteen.mpjpe.frames == pytest.approx(50)
    assert "16 (without the pelvis)" in sixteen.protocol.text()
    with pytest.raises(UserError, match="over 14 joints"):
        h36m.evaluate(predicted, truth, joints=14)


def test_both_averages_over_frames_and_over_actions() -> None:
    truth = np.zeros((4, 17, 3))
    predicted = truth.copy()
    predicted[3, 1:] = [17.0, 0, 0]  # 16 mm in the one frame of Walking
    action = np.array([2, 2, 2, 14])
    result = h36m.evaluate(predicted, truth, action, np.array([9, 9, 11, 11]))
    assert result.mpjpe.per_action == pytest.approx({"Directions": 0.0, "Walking": 16.0})
    assert result.mpjpe.frames == pytest.approx(4.0)
    assert result.mpjpe.actions == pytest.approx(8.0)
    assert [row[0] for row in result.table().rows] == [
        "Directions",
        "Walking",
        "mean over 2 actions",
        "mean over frames",
    ]
    assert json.loads(json.dumps(result.as_dict()))["mpjpe"]["mean_over_actions"] == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("subjects", "trained_on", "text"),
    [
        ([9, 11], (1, 5, 6, 7, 8), "the paper's protocol #1 (MPJPE)"),
        ([11], (1, 5, 6, 7, 8, 9), "the paper's protocol #2 (PA-MPJPE)"),
        ([11], None, "tested as in the paper's protocol #2 (PA-MPJPE), if trained on S1, S5, S6, S7, S8, S9"),
        ([11], (1, 5, 6, 7, 8), "tested as in the paper's protocol #2 (PA-MPJPE), but trained on S1, S5, S6, S7, S8"),
        ([5, 9], None, "neither the paper's protocol #1 nor #2"),
        (None, None, "neither the paper's protocol #1 nor #2"),
    ],
)
def test_the_paper_s_names(subjects: list[int] | None, trained_on: tuple[int, ...] | None, text: str) -> None:
    assert h36m.paper_protocol(None if subjects is None else np.array(subjects), trained_on) == text


def test_every_figure_carries_its_protocol() -> None:
    predicted, truth = poses(4)
    text = h36m.evaluate(
        predicted, truth, subject=np.array([9, 11, 9, 11]), stride="every 64th frame", boxes="ground truth"
    ).protocol.text()
    for part in ("S9, S11", "17 (with the pelvis", "every 64th frame", "boxes: ground truth", "samples: 4", "mm"):
        assert part in text
    assert "PA-MPJPE rigid: rotation and translation, PA-MPJPE + scale: rotation, translation and scale" in text


def test_bad_arrays_are_refused() -> None:
    predicted, truth = poses(5)
    with pytest.raises(UserError, match="no samples"):
        h36m.evaluate(predicted[:0], truth[:0])
    with pytest.raises(UserError, match=r"the prediction has the shape \(3, 17, 3\)"):
        h36m.evaluate(predicted[:3], truth)
    with pytest.raises(UserError, match=r"\(4, 16, 3\)"):
        h36m.evaluate(predicted[:, :16], truth)
    with pytest.raises(UserError, match="no action 1 "):
        h36m.evaluate(predicted, truth, np.array([1, 2, 2, 2]))
    predicted[2, 9, 1] = np.nan
    with pytest.raises(UserError, match=r"sample 2, joint 9 \(nose\) is nan"):
        h36m.evaluate(predicted, truth)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([64, 128, 320], "multiples of 64"),
        ([0, 320, 640], "multiples of 320"),
        ([1, 6], "the packed file"),
        ([], "the pa"),
    ],
)
def test_the_stride_is_what_the_frames_say(frames: list[int], said: str) -> None:
    assert said in h36m.stride_of(np.array(frames, np.int64))
