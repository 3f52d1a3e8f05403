"""Pictures show every joint and bone that they should, where it is, in its side's colour, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sanpose.pose.draw import COLOURS, DARK_MIDDLE, overlay, side, skeleton_3d, write_png
from sanpose.pose.joints import COCO17, H36M17, H36M18, JointSet

ARM = JointSet("arm", ("pelvis", "right_hip", "left_hip"), (("pelvis", "right_hip"), ("pelvis", "left_hip")))
STANDING = np.array(
    [[0, 0, 0], [-130, 0, 0], [-140, 450, 30], [-140, 880, 0], [130, 0, 0], [140, 450, 30], [140, 880, 0],
     [0, -240, 10], [0, -480, 20], [0, -540, -60], [0, -670, 0], [170, -450, 20], [250, -180, 60], [260, 60, 0],
     [-170, -450, 20], [-250, -180, 60], [-260, 60, 0]], float,
)  # fmt: skip


def grey(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def near(picture: npt.NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 40) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(picture.astype(int) - colour) <= tolerance).all(axis=-1))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (256, 256), (1000, 1002), (2160, 3840)])
def test_joints_and_bones_are_where_they_belong(height: int, width: int) -> None:
    image = grey(height, width)
    points = np.array([[0.5, 0.2], [0.2, 0.8], [0.8, 0.8]]) * (width, height)
    drawn = overlay(image, points, ARM)
    assert drawn.shape == image.shape and (image == 128).all(), "the input was drawn on"
    for joint, point in zip(ARM.joints, points, strict=True):
        x, y = point.astype(int)
        assert near(drawn, COLOURS[side(joint)], 60)[y - 1 : y + 2, x - 1 : x + 2].any(), joint
    for name, sign in (("right", -1), ("left", 1)):
        x, y = int(width * (0.5 + sign * 0.15)), height // 2
        assert near(drawn, COLOURS[name], 60)[y - 2 : y + 3, x - 2 : x + 3].any(), name
    share = (drawn != 128).any(axis=-1).mean()
    assert 0.005 < share < 0.2, "too thin to be seen, or too thick to see the person"


def test_what_is_not_labelled_is_not_drawn() -> None:
    points = np.array([[50.0, 20], [20, 80], [80, 80]])
    without_left = overlay(grey(100, 100), points, ARM, np.array([2, 1, 0]))
    assert near(without_left, COLOURS["right"]).any() and not near(without_left, COLOURS["left"]).any()
    points[2] = np.nan
    assert (overlay(grey(100, 100), points, ARM) == without_left).all()
    assert (overlay(grey(100, 100), points, ARM, np.array([0.3, 0.1, 0.9]), threshold=0.95) == 128).all()
    assert (overlay(grey(100, 100), np.full((0, 3, 2), 1.0), ARM) == 128).all()


def test_far_outside_points_neither_fail_nor_fold_back() -> None:
    points = np.array([[50.0, 20], [1e12, 80], [-1e5, 80]])
    drawn = overlay(grey(100, 100), points, ARM)
    assert (drawn[40:] == 128).all() and (drawn[15:25, 45:55] != 128).any()
    assert (overlay(grey(100, 100), points + 500, ARM) == 128).all()


def test_several_people() -> None:
    person = np.array([[25.0, 20], [15, 80], [35, 80]])
    both = overlay(grey(100, 100), np.stack([person, person + np.array([50, 0])]), ARM, np.ones((2, 3)))
    assert near(both[:, :50], COLOURS["left"]).any() and near(both[:, 50:], COLOURS["right"]).any()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(people, 17, 2\)"):
        overlay(grey(9, 9), np.zeros((18, 2)), H36M17)
    with pytest.raises(ValueError, match="uint8"):
        overlay(grey(9, 9).astype(float), np.zeros((17, 2)), H36M17)
    with pytest.raises(ValueError, match=r"\(people, 18, 3\)"):
        skeleton_3d(STANDING, H36M18)


def test_sides_of_bones_between_both() -> None:
    points = np.full((17, 2), np.nan)
    points[[COCO17.index("left_hip"), COCO17.index("right_hip")]] = [[20, 50], [80, 50]]
    drawn = overlay(grey(100, 100), points, COCO17)
    assert near(drawn[:, 45:55], COLOURS["middle"]).any()


def test_in_space_the_front_shows_x_and_y_as_the_camera_does() -> None:
    drawn = skeleton_3d(STANDING, H36M17, size=(800, 400))
    assert drawn.shape == (400, 800, 3) and drawn.dtype == np.uint8
    front, turned = drawn[40:320, 70:365], drawn[40:340, 400:]
    for panel in (front, turned):
        assert all(near(panel, COLOURS[s], 12).sum() > 40 for s in ("right", "left"))
    right, left = (np.argwhere(near(front, COLOURS[s], 12)) for s in ("right", "left"))
    assert right[:, 1].mean() < left[:, 1].mean(), "the person's right (x < 0) belongs on the picture's left"
    middle = np.argwhere(near(front[30:], DARK_MIDDLE, 4))
    assert middle[:, 0].mean() + 30 < right[:, 0].mean(), "y points down: the spine and head are above the legs"
    legs = np.abs(np.ptp(right, axis=0) / (880 + 450, 260 - 0) - np.ptp(left, axis=0) / (880 + 450, 260 - 0))
    assert (legs < 0.02).all(), "both sides have one size"
    scale_y, scale_x = np.ptp(right[:, 0]) / 1330, np.ptp(np.concatenate([right, left])[:, 1]) / 520
    assert scale_x == pytest.approx(scale_y, rel=0.08), "one scale on both axes"


def test_in_space_missing_joints_people_and_sizes() -> None:
    gone = STANDING.copy()
    gone[11:14] = np.nan
    assert (
        near(skeleton_3d(gone, H36M17), COLOURS["left"], 12).sum()
        < near(skeleton_3d(STANDING, H36M17), COLOURS["left"], 12).sum()
    )
    assert skeleton_3d(np.full((17, 3), np.nan), H36M17, size=(300, 200)).shape == (200, 300, 3)
    assert skeleton_3d(np.stack([STANDING, STANDING + 900]), H36M17, title="two").shape == (500, 1000, 3)


def test_png_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", image)
    read = cv2.imread(str(tmp_path / "a.png"))
    assert read is not None and (read[..., ::-1] == image).all()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_png(tmp_path / "b.png", image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.real
def test_real_people_in_image_and_space(real_data: Path) -> None:
    with np.load(real_data / "h36m" / "test_h36m_body3d.npz") as data:
        names, part, space = data["imgname"], data["part"], data["S"]
    for name, flat, pose in zip(names, part, space, strict=True):
        image = cv2.imread(str(next((real_data / "h36m").rglob(Path(str(name)).name))))
        assert image is not None
        rgb = np.ascontiguousarray(image[..., ::-1])
        changed = (overlay(rgb, flat[:, :2], H36M17, flat[:, 2]) != rgb).any(axis=-1)
        (x0, y0), (x1, y1) = flat[:, :2].min(0) - 12, flat[:, :2].max(0) + 12
        rows, columns = np.nonzero(changed)
        assert changed.any() and x0 <= columns.min() and columns.max() <= x1 and y0 <= rows.min() and rows.max() <= y1
        drawn = skeleton_3d(pose[:, :3] * 1000, H36M17)
        assert all(near(drawn[60:400], COLOURS[s], 12).sum() > 100 for s in ("right", "left"))
