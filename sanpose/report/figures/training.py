"""Pictures of training: loss, validation MPJPE and delta by epoch, a line per group with a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sanpose.report.figures import style
from sanpose.report.figures.series import Line, TrainingCurves, band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = tuple[str, Sequence[Line]]


def learning(groups: Sequence[tuple[str, Sequence[TrainingCurves]]]) -> Figure:
    """Loss and validation MPJPE (mm) by epoch, side by side; hollow circles: final MPJPE over all test frames."""
    figure = style.figure(9.4, 3.7)
    loss, mpjpe = figure.subplots(1, 2)
    _draw(loss, [(label, [c.loss for c in runs]) for label, runs in groups])
    _draw(mpjpe, [(label, [c.mpjpe for c in runs]) for label, runs in groups])
    for (_, runs), look in zip(groups, style.looks(len(groups)), strict=True):
        final = band([c.final for c in runs])
        mpjpe.plot(final.epochs, final.mean, "o", mfc=style.PAPER, mec=look.colour, mew=1.4, ms=5.5, zorder=5)
    loss.set(title="Training loss", xlabel="epoch", ylabel="mean L1 loss, no unit")
    mpjpe.set(title="Validation MPJPE", xlabel="epoch", ylabel="mm")
    _legend(figure, loss)
    return figure


def delta(groups: Sequence[tuple[str, Sequence[TrainingCurves]]]) -> Figure:
    """The attention's trained scalar by epoch; runs without attention have no scalar and are not drawn."""
    figure = style.figure(9.4, 3.1)
    axes = figure.subplots()
    # The colours match the learning curves; groups without attention have an unused colour here.
    _draw(axes, [(label, [c.delta for c in runs]) for label, runs in groups])
    axes.axhline(0, color=style.INK, linewidth=0.7, alpha=0.5)
    axes.set(xlabel="epoch", ylabel="δ, no unit")
    _legend(figure, axes)
    return figure


def _draw(axes: Axes, groups: Sequence[Lines]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (label, lines), look in zip(groups, style.looks(len(groups)), strict=True):
        seeds = band(lines)
        if not seeds.epochs:
            continue
        name = f"{style.clipped(label, 52)} ({seeds.count} seeds)" if seeds.count > 1 else style.clipped(label, 52)
        marker = "o" if len(seeds.epochs) == 1 else None
        axes.plot(seeds.epochs, seeds.mean, label=name, color=look.colour, linestyle=look.dashes, marker=marker, ms=4)
        if any(seeds.spread):
            low = [m - s for m, s in zip(seeds.mean, seeds.spread, strict=True)]
            high = [m + s for m, s in zip(seeds.mean, seeds.spread, strict=True)]
            axes.fill_between(seeds.epochs, low, high, color=look.colour, alpha=0.18, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # Long names go below the picture, where they have room.
    if max(map(len, labels), default=0) > 22:
        figure.set_figheight(figure.get_figheight() + 0.09 * len(labels))
        figure.legend(handles, labels, loc="outside lower left", ncol=2)
    elif labels:
        figure.legend(handles, labels, loc="outside right upper")
