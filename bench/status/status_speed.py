"""How long `sanpose status` takes for many runs, the start of the process included, and each refresh of --watch.

    python -m bench.status.status_speed [--runs 100,1000,10000] [--repeats 5]

The runs are copies of one record as the trainer writes it: half of them in one sweep, one in a hundred stopped.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from bench import table
from sanpose.config.compose import compose
from sanpose.runs import ledger
from sanpose.status.watch import Watcher
from sweeps import record

EPOCHS, LINES = 20, 10


@click.command()
@click.option("--runs", "counts", default="100,1000,10000", show_default=True, help="Numbers of runs.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(counts: str, repeats: int) -> None:
    """Print a Markdown table: medians in seconds."""
    table.head(
        "runs", "sanpose status --json [s]", "sanpose status [s]", "first look [s]", "a refresh, nothing new [s]"
    )
    for count in (int(c) for c in counts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_runs(root, count)
            table.row(count, *(f"{seconds:.3f}" for seconds in measure(root, repeats)))


def measure(root: Path, repeats: int) -> tuple[float, float, float, float]:
    """Seconds of both commands, of a watcher's first look, and of a refresh without anything new."""
    as_json = _median(repeats, lambda: _command(root, "--json"))
    as_table = _median(repeats, lambda: _command(root))
    watcher = Watcher(root)
    first = _seconds(watcher.refresh)
    return as_json, as_table, first, _median(repeats, watcher.refresh)


def write_runs(root: Path, count: int) -> None:
    """`count` copies of one run, every hundredth of them stopped halfway, every second one a trial of one sweep."""
    whole = {
        "mean_over_frames": 60.0,
        "mean_over_actions": 60.0,
        "per_action": {f"Action{i}": 60.0 + i for i in range(15)},
    }
    figures = {"h36m": dict.fromkeys(("mpjpe", "pa_mpjpe", "pa_mpjpe_scaled"), whole)}
    config = compose(["preset=quick", "ablation=c", f"train.epochs={EPOCHS}"]).plain()
    model = ledger.create(root, "0" * 10, config, {"machine": {"hostname": "bench"}})
    (model / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _lines(figures)))
    times = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:10:00+00:00"}
    ledger.write_result(model, {"status": "done", "metrics": figures, "config": config, **times})
    done = (model / "result.json").read_text()
    trials = []
    for number in range(count):
        folder = model if number == 0 else Path(shutil.copytree(model, root / f"{number:010x}"))
        text = done.replace('"done"', '"running"') if number % 100 == 99 else done
        (folder / "result.json").write_text(text.replace("0" * 10, folder.name))
        if number % 2:
            trials.append(
                record.TrialRecord(number, f"delta_init {number}", {"model.delta_init": number}, 0, folder.name)
            )
    sweep = record.write_head(root, "many", {"title": "Many runs", "ended": None, "driver": None})
    (sweep / "trials.jsonl").write_text("".join(json.dumps(asdict(trial)) + "\n" for trial in trials))


def _lines(figures: dict[str, object]) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for epoch in range(EPOCHS):
        common = {"loss": 0.1, "loss_plane": 0.08, "loss_depth": 0.02, "delta": 0.01}
        within = {"steps": 100, "images_per_s": 120.0, "eta_s": 10.0}
        lines += [{"kind": "train", "epoch": epoch, "step": 10 * i, **common, **within} for i in range(1, LINES + 1)]
        lines.append({"kind": "epoch", "epoch": epoch + 1, "step": 0, **common, "learning_rate": 0.001})
    return [*lines, *({"kind": k, "epoch": EPOCHS, "step": 0, "figures": figures} for k in ("evaluation", "final"))]


def _command(root: Path, *options: str) -> None:
    command = [str(Path(sys.executable).with_name("sanpose")), "status", "--runs", str(root), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _seconds(job: Callable[[], object]) -> float:
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def _median(repeats: int, job: Callable[[], object]) -> float:
    return statistics.median(_seconds(job) for _ in range(repeats))


if __name__ == "__main__":
    main()
