"""The paper's Figure 3: joint-relationship maps for values of delta, and the strongest relationships on a skeleton."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sanpose.report.figures import style
from sanpose.runs.joint_maps import JointMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_PAIRS = 3  # lines drawn for each joint
_SIDES = {"right": style.SERIES[1], "left": style.SERIES[0]}
# A person who faces the viewer, x to the right, y down; only the proportions matter.
_PLACES = {
    "pelvis": (0, 0), "right_hip": (-0.13, 0.02), "right_knee": (-0.17, 0.42), "right_ankle": (-0.19, 0.82),
    "left_hip": (0.13, 0.02), "left_knee": (0.17, 0.42), "left_ankle": (0.19, 0.82), "torso": (0, -0.26),
    "thorax": (0, -0.45), "neck": (0, -0.62), "nose": (0, -0.79), "head": (0, -0.96),
    "left_shoulder": (0.22, -0.5), "left_elbow": (0.37, -0.2), "left_wrist": (0.44, 0.1),
    "right_shoulder": (-0.22, -0.5), "right_elbow": (-0.37, -0.2), "right_wrist": (-0.44, 0.1),
    "left_eye": (0.1, -0.86), "right_eye": (-0.1, -0.86), "left_ear": (0.22, -0.8), "right_ear": (-0.22, -0.8),
}  # fmt: skip
Floats = npt.NDArray[np.float64]


def by_delta(joint_maps: JointMaps) -> Figure:
    """A column for each value of delta that was set in the trained network."""
    return _columns(joint_maps, joint_maps.maps, [f"δ = {value:g}" for value in joint_maps.deltas])


def along_training(joint_maps: JointMaps) -> Figure:
    """A column for each of the run's checkpoints, with the checkpoint's delta."""
    checkpoints = zip(joint_maps.along_epochs, joint_maps.along_deltas, strict=True)
    titles = [f"epoch {epoch:g}\nδ = {value:.3g}" for epoch, value in checkpoints]
    return _columns(joint_maps, joint_maps.along, titles)


def _columns(joint_maps: JointMaps, maps: Floats, titles: list[str]) -> Figure:
    count = len(maps)
    figure = style.figure(1.0 + 1.68 * count, 4.6)
    grid = figure.subplots(2, count, squeeze=False, gridspec_kw={"height_ratios": (1, 1.55)})
    images = []
    for column, (title, values) in enumerate(zip(titles, maps, strict=True)):
        images.append(_map(grid[0, column], values, title, names=column == 0, count=len(joint_maps.joints)))
        _skeleton(grid[1, column], joint_maps, values)
    bar = figure.colorbar(images[-1], ax=list(grid[0]), shrink=0.9, aspect=22, pad=0.015)
    bar.set_label("similarity, no unit")
    bar.outline.set_linewidth(0)
    return figure


def _map(axes: Axes, values: Floats, title: str, *, names: bool, count: int) -> AxesImage:
    shown = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    axes.set_title(title, loc="center", fontsize=8.5)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    ticks = range(0, count, 3)
    axes.set_xticks(ticks, [str(t) for t in ticks], fontsize=7)
    axes.set_yticks(ticks, [str(t) for t in ticks] if names else [], fontsize=7)
    axes.tick_params(length=0)
    if names:
        axes.set_ylabel("joint", fontsize=8)
    return shown


def _skeleton(axes: Axes, joint_maps: JointMaps, values: Floats) -> None:
    """The bones in grey, numbered joints, and lines from each joint to the most similar joints, stronger for more
    similarity."""
    from matplotlib.collections import LineCollection

    places = np.array([_PLACES[name] for name in joint_maps.joints])
    bones = [places[[a, b]] for a, b in joint_maps.bones]
    axes.add_collection(LineCollection(bones, colors=style.INK, linewidths=4.5, alpha=0.16, capstyle="round"))
    for (a, b), value in _strongest(values).items():
        # An arc does not hide behind a bone, nor behind another line over three joints in a row.
        axes.plot(*_bent(places[a], places[b]), color=style.SERIES[4], lw=0.4 + 1.6 * value, alpha=0.25 + 0.65 * value)
    colours = [_SIDES.get(name.partition("_")[0], style.SERIES[7]) for name in joint_maps.joints]
    axes.scatter(places[:, 0], places[:, 1], s=52, color=colours, edgecolors=style.PAPER, linewidths=0.8, zorder=3)
    for index, (x, y) in enumerate(places):
        axes.text(x, y, str(index), ha="center", va="center_baseline", fontsize=5, color=style.PAPER)
    axes.set(xlim=(-0.6, 0.6), ylim=(0.92, -1.06), aspect="equal")
    axes.axis("off")


def _bent(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """x and y of a flat arc from a to b."""
    along = np.linspace(0, 1, 9)[:, None]
    across = np.array([b[1] - a[1], a[0] - b[0]])
    points = a + along * (b - a) + 0.4 * along * (1 - along) * across
    return points[:, 0], points[:, 1]


def _strongest(values: Floats) -> dict[tuple[int, int], float]:
    """(i, j), i < j -> the value, for every joint's `_PAIRS` most similar other joints, where it is above 0."""
    alone = np.where(np.eye(len(values), dtype=bool) | ~np.isfinite(values), -np.inf, values)
    pairs = {}
    for i, row in enumerate(alone):
        for j in np.argsort(-row, kind="stable")[:_PAIRS]:
            if row[j] > 0:
                pairs[min(i, int(j)), max(i, int(j))] = min(1.0, float(row[j]))
    return pairs
