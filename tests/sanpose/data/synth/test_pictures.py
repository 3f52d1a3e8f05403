"""The synthetic pictures: what is drawn where, and what is labelled."""

from __future__ import annotations

import numpy as np
import pytest

from sanpose.data.actions import ACTIONS
from sanpose.data.synth import motions, skeleton, studio, wild
from sanpose.data.synth.landmarks import joints
from sanpose.data.synth.person import SUBJECTS, Figure, solid
from sanpose.data.synth.render import draw
from sanpose.pose.joints import COCO17, H36M17
from tests.sanpose.data.synth.posed import pose_at


def test_a_ball_is_drawn_where_it_projects_to_and_the_nearer_hides_the_farther() -> None:
    view = studio.view(1, 1, 0.5)
    centre = np.array([100.0, 200.0, 900.0])
    eye = -view.extrinsics.rotation.T @ view.extrinsics.translation
    towards = (eye - centre) / np.linalg.norm(eye - centre)
    ball = solid([[centre, centre]], 150.0, (250, 10, 10))
    nearer = solid([[centre + 800 * towards, centre + 800 * towards]], 60.0, (10, 10, 250))
    picture = np.zeros((*view.camera.size[::-1], 3), np.uint8)
    layer = draw(picture, view, [ball, nearer], oversampling=1)
    pixel, point = view.project(centre)
    radius = 150 * view.camera.f.mean() / point[2]
    rows, columns = np.nonzero(picture.sum(-1) > 60)
    assert np.allclose([columns.mean(), rows.mean()], pixel, atol=1.0)
    assert abs(np.sqrt(len(rows) / np.pi) - radius) < 1.5
    middle = pixel.round().astype(int)
    assert picture[middle[1], middle[0]].argmax() == 2
    depth, owner = layer.nearest(pixel[None])
    assert owner[0] == 1 and abs(depth[0] - (point[2] - 860)) < 30


@pytest.mark.parametrize("subject", [1, 11])
def test_joints_lie_on_the_drawn_body(subject: int) -> None:
    for action in ACTIONS:
        moment = motions.moment(action, 31, 4.0)
        body = Figure(SUBJECTS[subject])(pose_at(subject, moment))
        view = studio.view(subject, 1 + action % 4, 0.25)
        picture = np.zeros((*view.camera.size[::-1], 3), np.uint8)
        layer = draw(picture, view, [body], oversampling=2)
        pixels, points = view.project(joints(pose_at(subject, moment), SUBJECTS[subject].lengths, H36M17.joints))
        depth, owner = layer.nearest(pixels)
        assert (owner == 0).all(), ACTIONS[action]
        assert (depth < points[:, 2] + 15).all()


def test_the_studio_camera_is_human36ms() -> None:
    view = studio.view(1, 1, 1.0)
    assert view.camera.size == (1000, 1002)
    assert np.allclose(view.camera.f, [1145.04940459, 1143.78109572], atol=1e-5)
    assert np.allclose(view.camera.c, [512.54150496, 515.45148698], atol=1e-5)
    assert np.allclose(view.extrinsics.rotation @ view.extrinsics.rotation.T, np.eye(3), atol=1e-6)
    centre = -view.extrinsics.rotation.T @ view.extrinsics.translation
    assert np.allclose(centre, [1841.10703, 4955.28462, 1563.4454], atol=1e-2)


def test_a_scaled_studio_picture_shows_the_same_place() -> None:
    point = np.array([[300.0, -200.0, 1200.0]])
    full, small = (studio.view(5, 2, scale).project(point)[0] for scale in (1.0, 0.25))
    assert np.allclose((full + 0.5) * 0.25, small + 0.5, atol=1e-6)


def test_faces_turned_away_are_not_labelled() -> None:
    rng = np.random.default_rng(8)
    seen: set[bool] = set()
    for _ in range(30):
        shot = wild.scene(rng, (320, 180), 1, oversampling=1)
        person = shot.people[0]
        pixels, visible = shot.pixels(person, COCO17.joints)
        ahead = shot.view.extrinsics.rotation[2] @ person.posed.rotation[skeleton.INDEX["head"]][:, 0]
        inside = (pixels.min(-1) > 0) & (pixels[:, 0] < 319) & (pixels[:, 1] < 179)
        if not inside[0] or abs(ahead) < 0.8:
            continue
        seen.add(bool(ahead > 0))
        assert visible[0] == 0 if ahead > 0 else visible[0] > 0
        assert (visible[~inside & (pixels < -1).any(-1)] == 0).all()
    assert seen == {True, False}
