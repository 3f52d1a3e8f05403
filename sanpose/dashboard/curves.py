"""A run's curves from its journal, thinned to the points that a screen can show, and the end of its worker's log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sanpose.metrics.headline import headline
from sanpose.runs.facts import real
from sanpose.runs.paths import RunPaths
from sanpose.status.follow import FollowedFile
from sweeps.files import parsed

POINTS = 400
LOG_LINES, _LOG_BYTES = 40, 16_384
_CACHED_RUNS = 64
Point = tuple[float, float]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # a terminal's colours


class LiveCurves:
    """The curves of the runs requested last; of a journal that has grown, only the new lines are read."""

    def __init__(self) -> None:
        self._cache: dict[Path, _Curve] = {}

    def of(self, folder: Path) -> dict[str, list[Point]]:
        """`loss`, `delta`: points (epoch, value) within epochs; `mpjpe_mm`: of every evaluation of the trained
        network. Numbers that are not finite have no point. Raises OSError when the journal cannot be read."""
        curve = self._cache.pop(folder, None) or _Curve(RunPaths(folder).journal)
        self._cache[folder] = curve  # the last in order is the newest
        while len(self._cache) > _CACHED_RUNS:
            del self._cache[next(iter(self._cache))]
        curve.refresh()
        return {name: thinned(points) for name, points in curve.series.items()}


class _Curve(FollowedFile):
    def __init__(self, path: Path):
        super().__init__(path)
        self._clear()

    def _clear(self) -> None:
        self.series: dict[str, list[Point]] = {"loss": [], "delta": [], "mpjpe_mm": []}

    def refresh(self) -> None:
        if not self.changed():
            return
        if self.offset == 0:
            self._clear()
        for line in self.lines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        """Add a line's points. A line of another form than the journal's has none; the status names it."""
        try:
            content = parsed(line)
            epoch = content["epoch"]
            if content["kind"] == "train":
                epoch += content["step"] / content["steps"]
            epoch = real(epoch)
            if content["kind"] == "untrained":  # its error is so large that the later points would lie on one line
                return
            figures = headline(content["figures"]) if "figures" in content else {}
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            return
        if epoch is None:
            return
        values = {"mpjpe_mm": figures.get("mpjpe_mm")} if figures else {n: content.get(n) for n in ("loss", "delta")}
        for name, value in ((name, real(value)) for name, value in values.items()):
            points = self.series[name]
            # The final figures are of all samples; a point of the same epoch on a part of the samples stays.
            if value is not None and not (figures and points and points[-1][0] == epoch):
                points.append((round(epoch, 4), value))


def thinned(points: Sequence[Point], limit: int = POINTS) -> list[Point]:
    """At most `limit` of the points, the first and the last among them."""
    if len(points) <= limit:
        return list(points)
    step = (len(points) - 1) / (limit - 1)
    return [points[round(i * step)] for i in range(limit)]


def log_tail(folder: Path) -> list[str]:
    """The last LOG_LINES lines of worker 0's log, without a terminal's colours; empty without a log.

    Raises OSError when it cannot be read.
    """
    path = RunPaths(folder).worker_log(0)
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOG_BYTES))
        text = file.read().decode(errors="replace")
    lines = text.splitlines()[1 if size > _LOG_BYTES else 0 :]
    return [_ESCAPES.sub("", line) for line in lines[-LOG_LINES:]]


def detail(folder: Path) -> dict[str, object]:
    """The end of a run's log, its configuration as recorded (YAML), and its folder, for the page."""
    config = RunPaths(folder).config
    text = config.read_text(errors="replace") if config.is_file() else ""
    return {"log": log_tail(folder), "config": text, "folder": str(folder)}
