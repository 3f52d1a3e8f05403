"""Pictures of training: loss, validation MPJPE and delta by epoch, a line per group and a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sanpose.report.figures import style
from sanpose.report.figures.series import Line, TrainingCurves, band

Lines = tuple[str, Sequence[Line]]


def learning(groups: Sequence[tuple[str, Sequence[TrainingCurves]]]) -> Any:
    """Loss and validation MPJPE (mm) by epoch, side by side; hollow circles: MPJPE over all test frames at the end."""
    figure = style.figure(9.4, 3.7)
    loss, mpjpe = figure.subplots(1, 2)
    _draw(loss, [(label, [c.loss for c in found]) for label, found in groups])
    _draw(mpjpe, [(label, [c.mpjpe for c in found]) for label, found in groups])
    for (_, found), look in zip(groups, style.looks(len(groups)), strict=True):
        final = band([c.final for c in found])
        mpjpe.plot(final.epochs, final.mean, "o", mfc=style.PAPER, mec=look["color"], mew=1.4, ms=5.5, zorder=5)
    loss.set(title="Training loss", xlabel="epoch", ylabel="mean L1 loss, no unit")
    mpjpe.set(title="Validation MPJPE", xlabel="epoch", ylabel="mm")
    _legend(figure, loss)
    return figure


def delta(groups: Sequence[tuple[str, Sequence[TrainingCurves]]]) -> Any:
    """The attention's trained scalar by epoch; runs without attention have none and are left out."""
    figure = style.figure(9.4, 3.1)
    axes = figure.subplots()
    # Colours are those of the learning curves, whose groups without attention are not drawn here.
    _draw(axes, [(label, [c.delta for c in found]) for label, found in groups])
    axes.axhline(0, color=style.INK, linewidth=0.7, alpha=0.5)
    axes.set(xlabel="epoch", ylabel="δ, no unit")
    _legend(figure, axes)
    return figure


def _draw(axes: Any, groups: Sequence[Lines]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (label, lines), look in zip(groups, style.looks(len(groups)), strict=True):
        found = band(lines)
        if not found.epochs:
            continue
        name = f"{style.clipped(label, 52)} ({found.seeds} seeds)" if found.seeds > 1 else style.clipped(label, 52)
        alone = {"marker": "o", "markersize": 4} if len(found.epochs) == 1 else {}
        axes.plot(found.epochs, found.mean, label=name, **look, **alone)
        if any(found.spread):
            low = [m - s for m, s in zip(found.mean, found.spread, strict=True)]
            high = [m + s for m, s in zip(found.mean, found.spread, strict=True)]
            axes.fill_between(found.epochs, low, high, color=look["color"], alpha=0.18, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # Long names stand below, where there is room for them.
    if max(map(len, labels), default=0) > 22:
        figure.set_figheight(figure.get_figheight() + 0.09 * len(labels))
        figure.legend(handles, labels, loc="outside lower left", ncol=2)
    elif labels:
        figure.legend(handles, labels, loc="outside right upper")
