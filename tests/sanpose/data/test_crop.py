"""The crop: geometry there and back, exact mirrors, augmentation within its bounds."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanpose.config.schema import AugmentConfig
from sanpose.data import crop
from sanpose.data.crop import CropView
from sanpose.errors import UserError

VIEWS = st.builds(
    CropView,
    center=st.tuples(st.floats(-50, 500), st.floats(-50, 500)),
    size=st.tuples(st.floats(20, 900), st.floats(20, 900)),
    rotation=st.floats(-180, 180),
    zoom=st.floats(0.5, 2),
    mirror=st.booleans(),
)


@given(VIEWS, st.floats(-100, 600), st.floats(-100, 600))
def test_there_and_back(view: CropView, x: float, y: float) -> None:
    matrix = crop.to_crop(view, 64, 96)
    flat = crop.normalised(crop.apply(matrix, np.array([[x, y]])), 64, 96)
    back = crop.from_normalised(flat, view, 64, 96)
    assert np.allclose(back, [[x, y]], atol=1e-4)


def test_the_centre_is_zero_and_the_edges_are_halves() -> None:
    view = crop.view_of(np.array([10.0, 20, 40, 80]), 1.0, 64, 64)
    assert view.size == (80, 80) and view.center == (30, 60)
    matrix = crop.to_crop(view, 64, 64)
    corners = crop.normalised(crop.apply(matrix, np.array([[30.0, 60], [-10, 20], [70, 100]])), 64, 64)
    assert np.allclose(corners, [[0, 0], [-0.5, -0.5], [0.5, 0.5]])


def test_a_wide_box_grows_to_a_tall_crop() -> None:
    view = crop.view_of(np.array([0.0, 0, 100, 100]), 1.25, 288, 384)
    assert view.size == pytest.approx((125, 125 / 0.75))


def test_rotation_turns_clockwise_in_the_image() -> None:
    matrix = crop.to_crop(CropView((0, 0), (100, 100), rotation=90), 100, 100)
    assert np.allclose(crop.apply(matrix, np.array([10.0, 0])), [50, 60])


def test_the_mirrored_crop_is_the_mirror_of_the_crop() -> None:
    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
    plain = crop.crop(jpeg, CropView((40, 40), (64, 64)), 64, 64)
    mirrored = crop.crop(jpeg, CropView((40, 40), (64, 64), mirror=True), 64, 64)
    assert np.array_equal(mirrored, plain[:, ::-1])


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_a_disc_lands_where_the_affine_says(shrink: int) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(image, (230, 170), 24, (255, 255, 255), -1)
    jpeg = cv2.imencode(".jpg", image)[1]
    side = 64 * shrink * 1.01 + (0 if shrink > 1 else 40)
    view = CropView((220, 180), (side, side), rotation=20)
    out = crop.crop(jpeg, view, 64, 64)[..., 0].astype(float)
    assert crop.shrink_for(view, 64) == shrink
    ys, xs = np.indices(out.shape)
    found = np.array([(xs * out).sum(), (ys * out).sum()]) / out.sum()
    assert np.allclose(found, crop.apply(crop.to_crop(view, 64, 64), np.array([230.0, 170])), atol=0.35)


def test_unflipped_undoes_a_mirrored_prediction() -> None:
    flip = np.array([0, 2, 1])
    truth = np.random.default_rng(1).uniform(-0.4, 0.4, (5, 3, 3))
    pixels = (truth[..., 0] + 0.5) * 64
    seen = truth[:, flip].copy()
    seen[..., 0] = ((63 - pixels) / 64 - 0.5)[:, flip]
    assert np.allclose(crop.unflipped(seen, flip, 64), truth)


def test_augmentation_keeps_to_the_papers_bounds() -> None:
    config, view = AugmentConfig(color=0.2), CropView((100, 100), (200, 200))
    views = [crop.augmented(view, config, np.random.default_rng(i)) for i in range(2000)]
    rotation = np.array([v.rotation for v in views])
    zoom = np.array([v.zoom for v in views])
    shift = np.array([v.center for v in views]) - 100
    assert 29 < np.abs(rotation).max() <= 30 and 0.28 < np.abs(zoom - 1).max() <= 0.3
    assert 3.9 < np.abs(shift).max() <= 4
    assert 0.45 < np.mean([v.mirror for v in views]) < 0.55
    assert np.abs(np.array([v.color for v in views]) - 1).max() <= 0.2


def test_no_augmentation_is_the_plain_view() -> None:
    view = CropView((100, 100), (200, 200))
    still = AugmentConfig(flip=0, rotation=0, scale=0, translation=0)
    assert crop.augmented(view, still, np.random.default_rng(0)) == view


def test_an_unreadable_image_is_named() -> None:
    with pytest.raises(UserError, match=r"someone\.jpg"):
        crop.decode(np.frombuffer(b"no jpeg", np.uint8), where="someone.jpg")
    with pytest.raises(UserError):
        crop.decode(np.empty(0, np.uint8))
