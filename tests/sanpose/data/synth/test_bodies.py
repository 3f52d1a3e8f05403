"""The synthetic people: joints within their limits, bones, actions, sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from sanpose.data.actions import ACTIONS
from sanpose.data.synth import motions, skeleton, wild
from sanpose.data.synth.landmarks import joints
from sanpose.data.synth.person import SUBJECTS
from sanpose.pose.joints import H36M17
from tests.sanpose.data.synth.posed import moments, pose_at


def test_every_angle_is_within_the_anatomical_limits() -> None:
    low, high = skeleton.LIMITS[..., 0], skeleton.LIMITS[..., 1]
    for subject, action, moment in moments():
        assert (moment.angles >= low).all() and (moment.angles <= high).all(), (subject, action)
    rng = np.random.default_rng(3)
    for _ in range(200):
        angles = wild._free(rng)
        assert (angles >= low).all() and (angles <= high).all()


def test_elbows_and_knees_bend_one_way_only() -> None:
    for _, _, moment in moments(3):
        for side in ("right", "left"):
            for hinge in ("shin", "forearm"):
                flexion, out, twist = moment.angles[skeleton.INDEX[f"{side}_{hinge}"]]
                assert 0 <= flexion <= 150 and out == twist == 0


def test_bones_keep_their_length_and_subjects_differ() -> None:
    lengths: dict[int, Any] = {}
    for subject, _, moment in moments(3):
        points = joints(pose_at(subject, moment), SUBJECTS[subject].lengths, H36M17.joints)
        bones = [np.linalg.norm(points[a] - points[b]) for a, b in H36M17.bone_indices]
        assert np.allclose(bones, lengths.setdefault(subject, bones), atol=1e-6)
    assert len({np.round(bones, 1).tobytes() for bones in lengths.values()}) == len(SUBJECTS)
    thigh = H36M17.bone_indices.index((1, 2))
    assert all(380 < bones[thigh] < 520 for bones in lengths.values())


def test_actions_move_and_differ() -> None:
    def course(action: int) -> np.ndarray[Any, Any]:
        return np.array([motions.moment(action, 7, 6.4 * n).angles[1:] for n in range(8)])

    courses = {action: course(action) for action in ACTIONS}
    for action, angles in courses.items():
        assert np.abs(angles - angles[:1]).max() > 15, ACTIONS[action]
    means = [angles.mean(0).round(3).tobytes() for angles in courses.values()]
    assert len(set(means)) == len(ACTIONS) == 15


def test_motion_is_smooth_in_time() -> None:
    for action in ACTIONS:
        course = np.array([motions.moment(action, 5, 3 + n / 50).angles for n in range(100)])
        assert np.abs(np.diff(course, axis=0)).max() < 15, ACTIONS[action]  # degrees in 20 ms


def test_a_mirrored_pose_is_the_mirror_image() -> None:
    lengths = SUBJECTS[6].lengths
    angles = motions.moment(4, 11, 2.0).angles
    angles[0] = 12, -7, 0
    here, there = (
        joints(skeleton.forward(a, lengths, np.zeros(3)), lengths, H36M17.joints)
        for a in (angles, skeleton.mirrored(angles))
    )
    assert np.allclose(there[H36M17.flip], here * (1, -1, 1), atol=1e-6)


def test_left_is_left_and_faces_look_ahead() -> None:
    for subject, _, moment in moments(2):
        posed = pose_at(subject, moment)
        names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_eye", "right_eye")
        points = joints(posed, SUBJECTS[subject].lengths, names)
        for k, frame in ((0, "pelvis"), (2, "chest"), (4, "head")):
            across = posed.rotation[skeleton.INDEX[frame]][:, 1]  # a frame's y points to the person's left
            assert (points[k] - points[k + 1]) @ across > 30
        nose, neck = joints(posed, SUBJECTS[subject].lengths, ("nose", "neck"))
        assert (nose - neck) @ posed.rotation[skeleton.INDEX["head"]][:, 0] > 50


def test_knees_bend_back_and_elbows_forward() -> None:
    angles = np.zeros((len(skeleton.FRAMES), 3))
    for name in ("right_shin", "left_forearm", "left_thigh"):
        angles[skeleton.INDEX[name], 0] = 90
    points = joints(skeleton.forward(angles, SUBJECTS[1].lengths, np.zeros(3)), SUBJECTS[1].lengths, H36M17.joints)
    at = {name: points[i] for i, name in enumerate(H36M17.joints)}
    assert at["right_ankle"][0] < at["right_knee"][0] - 300
    assert at["left_wrist"][0] > at["left_elbow"][0] + 200
    assert at["left_knee"][0] > at["left_hip"][0] + 300
    assert at["left_shoulder"][1] > at["right_shoulder"][1]
