"""Pictures of poses: skeletons over an image, and skeletons in space from two sides.

Colours are the person's own sides: orange right, blue left, grey in the middle. Knows joint sets and pixels. Does not
know networks or data files.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sanpose.pose.joints import JointSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D

COLOURS = {"right": (255, 119, 20), "left": (40, 140, 255), "middle": (225, 225, 225)}
DARK_MIDDLE = (95, 95, 95)  # the middle on a white page
OUTLINE = (20, 20, 20)
_SHIFT = 4  # OpenCV's fixed-point bits: joints are drawn to 1/16 px


def overlay(
    image: npt.NDArray[np.uint8],
    keypoints: npt.ArrayLike,
    joints: JointSet,
    scores: npt.ArrayLike | None = None,
    threshold: float = 0.0,
) -> npt.NDArray[np.uint8]:
    """A copy of an image with people's skeletons on it.

    image: (H, W, 3) uint8 RGB. keypoints: (J, 2) or (people, J, 2), px from the image's top left corner, x then y, 0 at
    a pixel's centre. scores: (J,) or (people, J), scores or visibility values; a joint is drawn when its score is above
    `threshold` and its coordinates are finite, a bone when both its ends are. Lines grow with the person's size.
    Raises ValueError for other shapes.
    """
    points = np.asarray(keypoints, np.float64)
    points = points[None] if points.ndim == 2 else points
    if points.ndim != 3 or points.shape[1:] != (len(joints), 2):
        raise ValueError(f"keypoints are {points.shape}, expected (people, {len(joints)}, 2)")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image is {image.shape} {image.dtype}, expected (H, W, 3) uint8")
    shown: npt.NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=-1))
    if scores is not None:
        shown = shown & (np.broadcast_to(np.asarray(scores, np.float64), shown.shape) > threshold)
    canvas = np.ascontiguousarray(image).copy()
    for person, visible in zip(points, shown, strict=True):
        _draw_person(canvas, person, visible, joints)
    return canvas


def skeleton_3d(
    poses: npt.ArrayLike, joints: JointSet, *, size: tuple[int, int] = (1000, 500), title: str | None = None
) -> npt.NDArray[np.uint8]:
    """Skeletons in space: left, from the camera (orthographic); right, turned by 60 degrees about the vertical.

    poses: (J, 3) or (people, J, 3), mm, camera frame (x to the right of the image, y down, z away from the camera),
    absolute or relative to a root; a joint that is not finite is left out. size: width and height in px. title: drawn
    as it stands, without TeX. Returns (height, width, 3) uint8 RGB; the three axes have one scale. Raises ValueError
    for other shapes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and not every picture needs it
    from matplotlib.figure import Figure

    people = np.asarray(poses, np.float64)
    people = people[None] if people.ndim == 2 else people
    if people.ndim != 3 or people.shape[1:] != (len(joints), 3):
        raise ValueError(f"poses are {people.shape}, expected (people, {len(joints)}, 3) mm")
    dpi = max(40.0, min(size[0] / 10, size[1] / 5))
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    front = figure.add_axes((0.09, 0.2, 0.36, 0.66), title="from the camera, without perspective")
    turned: Axes3D = figure.add_axes((0.5, 0.1, 0.47, 0.76), projection="3d", proj_type="ortho", title="turned by 60°")
    turned.view_init(elev=12, azim=-30)
    for person in people:
        _draw_flat(front, person, joints)
        _draw_in_space(turned, person, joints)
    _scale_axes(front, turned, people)
    _legend(figure, title)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an RGB image (H, W, 3) uint8 as PNG: whole or not at all. Raises ValueError where it cannot be encoded."""
    _write(path, image, ".png", [])


def write_jpeg(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an image like `write_png`, as JPEG: a tenth of the size for photographs."""
    _write(path, image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 88])


def _write(path: Path, image: npt.NDArray[np.uint8], kind: str, options: list[int]) -> None:
    ok, data = cv2.imencode(kind, image[..., ::-1], options)
    if not ok:
        raise ValueError(f"an array of {image.shape} {image.dtype} cannot be written as {kind}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def side(joint: str) -> str:
    """ "right", "left" or "middle": the side of the body a joint is on."""
    return next((s for s in ("right", "left") if joint.startswith(f"{s}_")), "middle")


def _bone_side(parent: str, child: str) -> str:
    # A bone between the two sides, such as COCO's hip to hip, belongs to no side.
    sides = {side(parent), side(child)} - {"middle"}
    return sides.pop() if len(sides) == 1 else "middle"


def _draw_person(
    canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.float64], visible: npt.NDArray[np.bool_], joints: JointSet
) -> None:
    height, width = canvas.shape[:2]
    # Far outside the picture, OpenCV's fixed point overflows, and the bone would be hardly visible.
    visible = visible & (np.abs(points) < 8 * max(height, width)).all(axis=-1)
    if not visible.any():
        return
    # A person who is hardly visible still has lines that suit the picture.
    extent = float(np.hypot(*np.ptp(np.clip(points[visible], 0, (width, height)), axis=0)))
    thickness = max(1, round(0.014 * max(extent, 0.1 * math.hypot(width, height)) + 0.3))
    rim = thickness + 2 * max(1, round(thickness / 4)) if thickness > 1 else 0
    bones = [(a, b) for a, b in joints.bone_indices if visible[a] and visible[b]]
    fixed = np.round(points * 2**_SHIFT)
    for a, b in bones if rim else ():
        _line(canvas, fixed[a], fixed[b], OUTLINE, rim)
    for a, b in bones:
        _line(canvas, fixed[a], fixed[b], COLOURS[_bone_side(joints.joints[a], joints.joints[b])], thickness)
    for j in np.flatnonzero(visible):
        if rim:
            _dot(canvas, fixed[j], OUTLINE, 1.15 * thickness)
        _dot(canvas, fixed[j], COLOURS[side(joints.joints[j])], 0.8 * thickness if rim else 0.5)


def _line(
    canvas: npt.NDArray[np.uint8],
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    colour: tuple[int, int, int],
    thickness: int,
) -> None:
    first, last = (tuple(int(v) for v in point) for point in (start, end))
    cv2.line(canvas, first, last, colour, thickness, cv2.LINE_AA, _SHIFT)


def _dot(
    canvas: npt.NDArray[np.uint8], centre: npt.NDArray[np.float64], colour: tuple[int, int, int], radius: float
) -> None:
    place = (int(centre[0]), int(centre[1]))
    cv2.circle(canvas, place, max(1, round(radius * 2**_SHIFT)), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _paint(name: str) -> tuple[float, ...]:
    colour = DARK_MIDDLE if name == "middle" else COLOURS[name]
    return tuple(v / 255 for v in colour)


def _bones_far_to_near(pose: npt.NDArray[np.float64], joints: JointSet) -> list[tuple[npt.NDArray[np.float64], str]]:
    bones = [(pose[[a, b]], _bone_side(joints.joints[a], joints.joints[b])) for a, b in joints.bone_indices]
    return sorted((bone for bone in bones if np.isfinite(bone[0]).all()), key=lambda bone: -float(bone[0][:, 2].mean()))


def _dots(pose: npt.NDArray[np.float64], joints: JointSet) -> tuple[npt.NDArray[np.float64], list[tuple[float, ...]]]:
    finite: npt.NDArray[np.bool_] = np.asarray(np.isfinite(pose).all(axis=-1))
    return pose[finite].T, [_paint(side(name)) for name, ok in zip(joints.joints, finite, strict=True) if ok]


def _draw_flat(axes: Axes, pose: npt.NDArray[np.float64], joints: JointSet) -> None:
    for order, (ends, name) in enumerate(_bones_far_to_near(pose, joints), start=2):
        # A white rim shows which of two crossing bones is nearer.
        for colour, width in (((1, 1, 1), 5), (_paint(name), 3)):
            axes.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=width, solid_capstyle="round", zorder=order)
    (x, y, _), colours = _dots(pose, joints)
    axes.scatter(x, y, c=colours, s=18, zorder=100)


def _draw_in_space(axes: Axes3D, pose: npt.NDArray[np.float64], joints: JointSet) -> None:
    # Matplotlib's vertical axis is the third: camera (x, y, z) is drawn at (x, z, y), and the y axis is inverted.
    for ends, name in _bones_far_to_near(pose, joints):
        axes.plot(ends[:, 0], ends[:, 2], ends[:, 1], color=_paint(name), linewidth=3, solid_capstyle="round")
    (x, y, z), colours = _dots(pose, joints)
    axes.scatter(x, z, y, c=colours, s=18, depthshade=False)


def _scale_axes(front: Axes, turned: Axes3D, people: npt.NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    finite = people[np.isfinite(people).all(axis=-1)]
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(3), np.zeros(3))
    half = max(float(np.max(high - low)) * 0.55, 100.0)
    (x0, y0, z0), (x1, y1, z1) = (low + high) / 2 - half, (low + high) / 2 + half
    front.set(xlim=(x0, x1), ylim=(y1, y0), aspect="equal", xlabel="x, right (mm)", ylabel="y, down (mm)")
    front.grid(color="0.88")
    front.set_axisbelow(True)
    turned.set(xlim=(x0, x1), ylim=(z0, z1), zlim=(y1, y0))
    turned.set(xlabel="x, right (mm)", ylabel="z, away (mm)", zlabel="y, down (mm)")
    turned.set_box_aspect((1, 1, 1), zoom=1.05)
    for axes in (front, turned):
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=7, pad=1)
        for axis in (axes.xaxis, axes.yaxis, *((axes.zaxis,) if axes is turned else ())):
            axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
            axis.label.set_size(8)


def _legend(figure: Figure, title: str | None) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=_paint(s), linewidth=3, label=s) for s in ("right", "left", "middle")]
    figure.legend(handles=handles, loc="lower center", ncol=3, fontsize=9, frameon=False, borderaxespad=0.2)
    if title:
        figure.suptitle(_drawable(title), fontsize=11, parse_math=False)


def _drawable(text: str) -> str:
    """A text, such as a file's name, with a replacement character wherever matplotlib's font has no glyph."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(letter if font.get_char_index(ord(letter)) else "\N{REPLACEMENT CHARACTER}" for letter in text)
