"""How the report's time and memory grow with the number of runs: every table written, then the page with its pictures.

    python -m bench.report.report_scale [--runs 2500 --runs 5000 --runs 10000] [--no-page]

Makes the records in a temporary folder, as training writes them (result.json, config.yaml, provenance.json,
metrics.jsonl), in sweeps of 500, a part of them failed, pruned, interrupted, running or broken. Each size is measured
in fresh processes, imports included, files in the page cache. The page's time is that of the whole command. Prints a
Markdown table. Linux only: the peak is that of getrusage, of the largest of the processes that draw the pictures too.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench import fresh, table
from sanpose.config.compose import compose, configs_dir
from sanpose.data.actions import ACTIONS
from sweeps.files import to_json
from sweeps.record import TrialRecord, write_head

SWEEP = 500
SEEDS = 5
STATUSES = {"done": 70, "pruned": 20, "failed": 5, "interrupted": 4, "running": 1}  # of a hundred
GOAL_SECONDS, GOAL_MIB, GOAL_PAGE = 5.0, 1024, 30.0


def make_runs(root: Path, count: int, seeds: int = SEEDS) -> None:
    """`count` runs in sweeps of SWEEP: cells of Table 1 and variants of them, so many seeds each."""
    draw = random.Random(0)
    cells = [compose(["preset=quick", f"ablation={letter}"]).plain() for letter in "abcdefg"]
    for start in range(0, count, SWEEP):
        name = f"sweep{start // SWEEP:03d}"
        folder = write_head(root, name, {"title": name, "objectives": [{"name": "mpjpe_mm", "direction": "minimize"}]})
        trials = []
        for number in range(min(SWEEP, count - start)):
            point, seed = divmod(start + number if seeds > SWEEP else number, seeds)
            config = copy.deepcopy(cells[point % len(cells)])
            config["train"]["seed"] = seed
            config["train"]["learning_rate"] = values = 1e-3 * (
                1 + point // len(cells) + (0 if seeds > SWEEP else start)
            )
            run = f"{start + number:010x}"
            make_run(root / run, config, draw)
            shown = {"cell": config["cell"], "train.learning_rate": values}
            trials.append(asdict(TrialRecord(number, f"point {point}", shown, seed, run)))
        (folder / "trials.jsonl").write_text("".join(f"{json.dumps(trial)}\n" for trial in trials))


def make_run(folder: Path, config: dict[str, Any], draw: random.Random) -> None:
    """One run's folder; one in a hundred has a torn record."""
    folder.mkdir(parents=True)
    (status,) = draw.choices(list(STATUSES), list(STATUSES.values()))
    metrics = {"h36m": make_figures(draw), "mpii": {"pckh@0.5": {"Mean": draw.uniform(20, 90)}}}
    lines: list[dict[str, Any]] = [{"kind": "untrained", "epoch": 0, "step": 0, "figures": metrics}]
    for epoch in range(config["train"]["epochs"]):
        lines += [
            {"kind": "train", "epoch": epoch, "step": step, "loss": draw.random(), "delta": 0.1, "images_per_s": 99.0}
            for step in range(0, 125, 10)
        ]
        lines.append({"kind": "epoch", "epoch": epoch + 1, "step": 0, "loss": draw.random(), "delta": 0.01 * epoch})
        lines.append({"kind": "evaluation", "epoch": epoch + 1, "step": 0, "figures": metrics})
    lines.append({"kind": "final", "epoch": config["train"]["epochs"], "step": 0, "figures": metrics})
    result = {
        "schema": 1, "id": folder.name, "status": status, "reason": "out of memory" if status == "failed" else None,
        "config": config, "cell": config["cell"], "preset": "quick", "seed": config["train"]["seed"],
        "synthetic": True, "metrics": metrics if status == "done" else {}, "protocol": {"h36m": "MPJPE [mm]; " * 40},
        "started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T04:04:05+00:00",
        "bill": {"wall_s": 90.0, "workers": 1, "device": "cpu", "accelerators": 2},
    }  # fmt: skip
    text = to_json(result)
    (folder / "result.json").write_text(text[:99] if draw.random() < 0.01 else text)
    (folder / "config.yaml").write_text(to_json(config))
    (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


PROVENANCE = {
    "at": "2026-01-02T03:04:05+00:00", "command": ["sanpose", "tune", "sweep=full", "preset=quick", "seeds=5"],
    "git": {"commit": "0123456789abcdef" * 2, "dirty": True, "diff": "diff.patch", "untracked": []},
    "packages": dict.fromkeys(("sanpose", "torch", "torchvision", "ray", "deepspeed", "numpy"), "1.2.3"),
    "python": "3.11.7", "platform": "Linux-6.1-x86_64", "machine": {"hostname": "node", "cpu": "a CPU", "cpus": 2},
    "starts": [],
}  # fmt: skip


def make_figures(draw: random.Random) -> dict[str, Any]:
    """Human3.6M's figures, of the size that the evaluation gives them."""
    averages = {
        name: {
            "mean_over_frames": draw.uniform(50, 200),
            "mean_over_actions": draw.uniform(50, 200),
            "per_action": {action: draw.uniform(50, 200) for action in ACTIONS.values()},
        }
        for name in ("mpjpe", "pa_mpjpe", "pa_mpjpe_scaled")
    }
    samples = dict.fromkeys(ACTIONS.values(), 40)
    return {**averages, "per_action_samples": samples, "protocol": {"text": "MPJPE [mm]; " * 40}}


def measure(folder: str, out: str, page: bool) -> dict[str, float]:
    """Seconds and peak MiB of this process, from its imports to the last table written, and to the page."""
    start = time.perf_counter()
    from sanpose.report.build import write
    from sanpose.report.gather import gather

    found = gather(Path(folder), configs_dir())
    write(found.all_tables, Path(out))
    told = {"seconds": time.perf_counter() - start, "mib": peak(resource.RUSAGE_SELF)}
    told |= {"records": len(found.records), "broken": len(found.broken)}
    if page:
        from sanpose.report.page.write import write as write_page

        size = write_page(found, Path(out), len(os.sched_getaffinity(0))).stat().st_size
        told |= {"page_seconds": time.perf_counter() - start, "page_mb": size / 1e6}
        told |= {"page_mib": max(peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN))}
        told["pictures"] = len(list((Path(out) / "figures").glob("*.svg")))
    return told


def peak(who: int) -> float:
    """MiB of the largest process there was."""
    return resource.getrusage(who).ru_maxrss / 1024


@click.command()
@click.option("--runs", "sizes", type=int, multiple=True, default=(2500, 5000, 10000), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Fresh processes per size; the median is shown.")
@click.option("--seeds", default=SEEDS, show_default=True, help="Of every point; more than 500 cross the sweeps.")
@click.option("--page/--no-page", default=True, show_default=True, help="Make the page too.")
@click.option("--one", hidden=True)
def main(sizes: tuple[int, ...], rounds: int, seeds: int, page: bool, one: str | None) -> None:
    if one:
        click.echo(json.dumps(measure(**json.loads(one))))
        return
    goal = f"goal: {GOAL_SECONDS:g} s, {GOAL_MIB} MiB"
    more = ("with page (s)", "peak (MiB)", "page (MB)", "pictures", f"goal: {GOAL_PAGE:g} s") if page else ()
    table.head("runs", "read", "broken", "tables (s)", "ms per run", "peak (MiB)", goal, *more)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_runs(Path(folder) / "runs", size, seeds)
            job = {"folder": str(Path(folder) / "runs"), "out": str(Path(folder) / "out"), "page": page}
            found = [fresh.measure(__spec__.name, job) for _ in range(rounds)]
        seconds, most = statistics.median(one["seconds"] for one in found), max(one["mib"] for one in found)
        met = "met" if seconds <= GOAL_SECONDS and most <= GOAL_MIB else "missed"
        counts = found[0]["records"], found[0]["broken"]
        row = [f"{size:,}", *counts, f"{seconds:.2f}", f"{seconds / size * 1e3:.3f}", f"{most:.0f}", met]
        if page:
            whole, most = statistics.median(one["page_seconds"] for one in found), max(one["page_mib"] for one in found)
            row += [f"{whole:.1f}", f"{most:.0f}", f"{found[0]['page_mb']:.1f}", found[0]["pictures"]]
            row.append("met" if whole <= GOAL_PAGE else "missed")
        table.row(*row)


if __name__ == "__main__":
    main()
