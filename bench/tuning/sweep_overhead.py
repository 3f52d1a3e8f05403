"""What a sweep costs beside its trainings: sanpose tune, a plain loop in one process, stock Ray Tune + TorchTrainer.

    python -m bench.tuning.sweep_overhead [--trials 20] [--seconds 10] [--stock 2] [--noop 1000]

The same small trainings (one worker, seeds 0, 1, ...) in each way, `sanpose tune` and the plain loop in turns of some
seconds (`turns`); some before them tell how many images make a trial of the wanted length. Counted to the end of the
last trial from where neither way has imported torch, and Ray stands. `--stock`: how many trials the slow way gets, by
itself afterwards. `--noop`: trials that train nothing, through the whole machinery (ledger, Optuna's TPE, scheduler):
seconds a trial at the start and at the end.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console

from bench import table, turns
from cluster.raycluster.connect import ray_cluster
from sanpose.config.compose import compose
from sanpose.runs import checkpoints
from sanpose.runs.result import TrainingResult
from sanpose.training.resources import ALLOCATOR, environment
from sanpose.tuning import sweep
from sanpose.tuning.driver import Driver
from sanpose.tuning.run import tune
from sweeps import record
from sweeps.outcomes import Done, Figures, Outcome, to_json
from sweeps.study import Study

QUIET = Console(quiet=True)


def overrides(folder: Path, epoch_samples: int) -> list[str]:
    """Three epochs of a small network on made-up photographs, evaluated after each."""
    return [
        "preset=smoke", "model.joints=h36m18", f"data.sources.h36m.file={folder / 'h36m.h5'}", "eval.sets=[h36m]",
        "train.epochs=3", "train.milestones=[]", f"data.epoch_samples={epoch_samples}", "data.test_subjects=[1]",
        "data.train_stride=1", "data.test_stride=64",
    ]  # fmt: skip


def plain_loop(folder: Path, trials: int, epoch_samples: int, runs: Path) -> None:
    """The trainings in this process, torch not yet imported."""
    import torch

    from sanpose.training import engine, loop

    engine.single_process()
    for seed in range(trials):
        config = compose([*overrides(folder, epoch_samples), f"train.seed={seed}"])
        own = runs / str(seed)
        own.mkdir(parents=True)
        loop.train(config, own, engine.WorkerPlace(0, 1, torch.device("cpu")))


def in_sanpose(folder: Path, trials: int, epoch_samples: int, runs: Path) -> None:
    """`sanpose tune` with a Ray that stands."""
    given = runs / "seeds.yaml"
    given.write_text(yaml.safe_dump({"title": "seeds", "axes": {"train.gamma": [0.1]}}))
    asked = sweep.read([f"sweep={given}", f"seeds={trials}", f"runs={runs}", *overrides(folder, epoch_samples)])
    counts = tune(asked, QUIET)
    if counts != {"done": trials}:
        raise RuntimeError(f"the sweep ended with {counts}")


WAYS = {"plain loop in one process": plain_loop, "sanpose tune": in_sanpose}


def take_turns(job: dict[str, Any]) -> None:
    """One way, in this process."""
    ray = ray_cluster(1, {"GLIBC_TUNABLES": ALLOCATOR}) if job["ray"] else nullcontext()
    with tempfile.TemporaryDirectory() as runs, ray:
        turns.ready()
        WAYS[job["way"]](Path(job["folder"]), job["trials"], job["epoch_samples"], Path(runs))
        turns.done()


def in_turns(folder: Path, asked: Sequence[tuple[str, int, int]]) -> list[float]:
    """Seconds of each (way, trials, epoch_samples)."""
    jobs = []
    for way, trials, epoch_samples in asked:
        ray = way == "sanpose tune"  # which gives its trials the variables, and Ray's own processes none of them
        job = {"folder": str(folder), "way": way, "trials": trials, "epoch_samples": epoch_samples, "ray": ray}
        jobs.append((job, {} if ray else environment("cpu")))
    return turns.take(__spec__.name, jobs)[0]


def in_stock_tune(folder: Path, trials: int, epoch_samples: int) -> float:
    """Seconds of Ray Tune over TorchTrainers, with Ray's defaults and the same loop in the worker."""
    import ray
    import ray.tune

    with tempfile.TemporaryDirectory() as runs:
        ray.init(address="local", logging_level="error", log_to_driver=False)

        def trial(given: dict[str, Any]) -> None:
            import ray.train
            from ray.train.torch import TorchConfig, TorchTrainer
            from ray.tune.integration.ray_train import TuneReportCallback

            name = f"trial-{given['seed']}"
            TorchTrainer(
                stock_worker,
                train_loop_config=given,
                torch_config=TorchConfig(backend="gloo"),
                scaling_config=ray.train.ScalingConfig(num_workers=1),
                run_config=ray.train.RunConfig(name=name, storage_path=runs, callbacks=[TuneReportCallback()]),
            ).fit()

        begun = time.perf_counter()
        space = {"seed": ray.tune.grid_search(list(range(trials))), "runs": runs}
        space["overrides"] = overrides(folder, epoch_samples)
        ray.tune.Tuner(
            ray.tune.with_resources(trial, {"CPU": 0, "node:__internal_head__": 0.001}),
            param_space=space,
            tune_config=ray.tune.TuneConfig(max_concurrent_trials=1),
            run_config=ray.tune.RunConfig(storage_path=runs, name="stock", verbose=0),
        ).fit()
        seconds = time.perf_counter() - begun
        ray.shutdown()
    return seconds


def stock_worker(given: dict[str, Any]) -> None:
    import ray.train
    import torch

    from sanpose.training import engine, loop

    config = compose([*given["overrides"], f"train.seed={given['seed']}"])
    folder = Path(given["runs"]) / str(given["seed"])
    folder.mkdir(parents=True)
    loop.train(
        config, folder, engine.WorkerPlace(0, 1, torch.device("cpu")), lambda report: ray.train.report(asdict(report))
    )


def noop(payload: dict[str, Any]) -> None:
    """A trial that trains nothing and reaches some figure."""
    import ray.tune

    rate = payload["config"]["train"]["learning_rate"]
    figures = {"h36m": {"mpjpe": {"mean_over_frames": rate * 1e3}, "protocol": {"text": "none"}}}
    result = TrainingResult(figures, "cpu", 1, macs=1, parameters=1)
    ray.tune.report({"outcome": to_json(Done(result.plain())), "epoch": 3})


class Clock(Driver):
    """A driver that notes when trials end."""

    def end(self, run: str, outcome: Outcome[object]) -> Outcome[Figures]:
        recorded = super().end(run, outcome)
        self.ends.append(time.perf_counter())
        return recorded


def noops(folder: Path, count: int) -> list[float]:
    """Seconds between the ends of trials that train nothing."""
    from sweeps import runner

    with tempfile.TemporaryDirectory() as root, ray_cluster(1):
        given = Path(root) / "rates.yaml"
        axes = {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}
        search = {"sampler": "tpe", "trials": count}
        given.write_text(yaml.safe_dump({"title": "rates", "axes": axes, "search": search}))
        asked = sweep.read([f"sweep={given}", f"runs={root}/runs", *overrides(folder, 32)])
        at = record.write_head(Path(root) / "runs", asked.name, asked.head())
        study = Study(at, asked.name, asked.definition, 1)
        clock = Clock(asked, at, QUIET, False, False, checkpoints.KINDS)
        clock.ends = []
        runner.run(study, clock, noop, {"CPU": 1.0}, concurrent=1, reuse=True, max_failures=0)
        ends = clock.ends
    return [b - a for a, b in itertools.pairwise(ends)]


@click.command()
@click.option("--trials", default=20, show_default=True, type=click.IntRange(min=2))
@click.option("--seconds", default=10.0, show_default=True, help="Length of a trial.")
@click.option("--stock", default=2, show_default=True, help="Trials in stock Ray Tune + TorchTrainer; 0: none.")
@click.option("--noop", "count", default=1000, show_default=True, help="Trials that train nothing; 0: none.")
@click.option("--one", hidden=True)
def main(trials: int, seconds: float, stock: int, count: int, one: str | None) -> None:
    """Compare what a sweep costs beside its trainings."""
    if one:
        take_turns(json.loads(one))
        return
    from bench.data import input_pipeline  # and with it torch, which the ways import in their own time

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        input_pipeline.write(folder / "h36m.h5", "h36m")
        if trials and seconds:
            lengths(folder, trials, seconds, stock)
        if count:
            gaps = noops(folder, count)
            part = max(1, len(gaps) // 10)
            first, last = statistics.median(gaps[:part]), statistics.median(gaps[-part:])
            table.head("trials that train nothing", "first tenth ms/trial", "last tenth ms/trial", "ratio")
            table.row(count, f"{1e3 * first:.0f}", f"{1e3 * last:.0f}", f"{last / first:.2f}")


def lengths(folder: Path, trials: int, seconds: float, stock: int) -> None:
    plain, ours = WAYS
    # Two trainings of a length and one: their difference is one of a process that has imported torch.
    two, one, two_long, one_long = in_turns(folder, [(plain, n, images) for images in (160, 640) for n in (2, 1)])
    short, long = two - one, two_long - one_long
    samples = max(32, round((160 + (seconds - short) * 480 / (long - short)) / 8) * 8)
    base, swept = in_turns(folder, [(plain, trials, samples), (ours, trials, samples)])
    table.head("way", "trials", "seconds", "seconds a trial", "ratio to the plain loop")
    table.row(plain, trials, f"{base:.1f}", f"{base / trials:.2f}", "1.00")
    table.row(ours, trials, f"{swept:.1f}", f"{swept / trials:.2f}", f"{swept / base:.3f}")
    if stock:
        theirs, each = in_stock_tune(folder, stock, samples) / stock, base / trials
        table.row("Ray Tune + TorchTrainer", stock, f"{theirs * stock:.1f}", f"{theirs:.2f}", f"{theirs / each:.3f}")


if __name__ == "__main__":
    main()
