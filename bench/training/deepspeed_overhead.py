"""A training step in DeepSpeed under Ray Train, as sanpose trains, against the same step in a bare torch loop.

    python -m bench.training.deepspeed_overhead [--steps 24] [--parts] [--small]

The same network, weights, batches, loss and fused Adam, with as many threads and the same allocator settings. The bare
loop is a plain process; the other is `sanpose.training.engine.Engine` in the one worker of a Ray TorchTrainer, in a
private Ray. They take turns of some seconds (`turns`). Prints a Markdown table; the last step's loss shows that both
compute the same. `--parts` adds the Engine in a plain process, which tells DeepSpeed's share from Ray's.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click
import torch

from bench import table, turns
from cluster.raycluster.connect import ray_cluster
from sanpose.config.compose import compose, from_plain
from sanpose.config.schema import Config
from sanpose.data.loader import Batch, normalise
from sanpose.model.loss import coordinate_l1
from sanpose.model.network import SAN
from sanpose.pose.joints import TRAINING
from sanpose.training.engine import Engine, WorkerPlace, single_process
from sanpose.training.resources import environment

BATCHES, WARMUP = 4, 2

Step = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True)
class Answer:
    """The last step's loss, and the settings that must be equal."""

    loss: float
    threads: int
    allocator: str


def make_batches(config: Config) -> list[Batch]:
    """Random images and targets, the same in every process."""
    random = torch.Generator().manual_seed(0)
    size, joints = config.train.batch_size, len(TRAINING[config.model.joints])
    shape = (size, config.data.input_height, config.data.input_width, 3)
    return [
        (
            torch.randint(0, 256, shape, dtype=torch.uint8, generator=random),
            torch.rand(size, joints, 3, generator=random) - 0.5,
            torch.ones(size, joints, 3),
        )
        for _ in range(BATCHES)
    ]


def timed(step: Step, config: Config, steps: int, job: int) -> Answer:
    """Some steps after the first ones, in turns; the threads are those of the calling thread. job: a process id."""
    batches, loss = make_batches(config), torch.zeros(())
    for n in range(WARMUP):
        step(batches[n % BATCHES])
    turns.ready(job)
    for n in range(steps):
        loss = step(batches[n % BATCHES])
    turns.done(job)
    return Answer(float(loss), torch.get_num_threads(), os.environ.get("GLIBC_TUNABLES", ""))


def bare(config: Config, steps: int, job: int) -> Answer:
    """A plain torch loop in this process."""
    torch.set_num_threads(config.train.threads)
    torch.manual_seed(config.train.seed)
    network = SAN(config.model, config.data.input_height, config.data.input_width).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.train.learning_rate, fused=True)

    def step(batch: Batch) -> torch.Tensor:
        images, target, weight = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=config.train.precision == "bf16"):
            coordinates = network(normalise(images))
        loss = coordinate_l1(coordinates, target, weight).total
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return timed(step, config, steps, job)


def deepspeed(config: Config, steps: int, job: int) -> Answer:
    """The Engine, in a process group that exists."""
    torch.set_num_threads(config.train.threads)
    engine = Engine(config, WorkerPlace(0, 1, torch.device("cpu")))
    try:
        return timed(lambda batch: engine.micro_step(batch).total, config, steps, job)
    finally:
        engine.close()


def deepspeed_alone(config: Config, steps: int, job: int) -> Answer:
    """The Engine in this process."""
    single_process()
    return deepspeed(config, steps, job)


def deepspeed_under_ray(config: Config, steps: int, job: int) -> Answer:
    """The Engine in Ray Train's worker, set up as `sanpose.training.ray_train` does it."""
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    def in_worker(given: dict[str, Any]) -> dict[str, Any]:
        return asdict(deepspeed(from_plain(given["config"]), given["steps"], given["job"]))

    with tempfile.TemporaryDirectory() as folder, ray_cluster(1):
        trainer = TorchTrainer(
            in_worker,
            train_loop_config={"config": config.plain(), "steps": steps, "job": job},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1.0}),
            run_config=ray.train.RunConfig(
                name="overhead", storage_path=folder, worker_runtime_env={"env_vars": environment("cpu")}
            ),
        )
        return Answer(**trainer.fit().return_value)


_UNDER_RAY = "DeepSpeed under Ray Train"
VARIANTS = {
    "bare torch loop": bare,
    _UNDER_RAY: deepspeed_under_ray,
    "DeepSpeed in a plain process": deepspeed_alone,
}


def settings(small: bool, batch: int, threads: int, precision: str) -> Config:
    """ResNet-50 with SAN at 256x256 px, or ResNet-18 at 64x64 px; ZeRO-0, one worker on the CPU."""
    backbone, side = ("resnet18", 64) if small else ("resnet50", 256)
    model = [f"model.backbone={backbone}", "model.weights=none"]
    shape = [f"data.input_width={side}", f"data.input_height={side}"]
    train = [f"train.batch_size={batch}", f"train.threads={threads}", f"train.precision={precision}"]
    return compose(["train.workers=1", "train.accelerator=cpu", "deepspeed=zero0", *model, *shape, *train])


def compare(config: Config, names: list[str], steps: int) -> None:
    """The table."""
    # Under Ray only the worker gets these variables, from the trainer, and Ray's own processes none.
    env: dict[str, dict[str, str]] = {name: environment("cpu") for name in names} | {_UNDER_RAY: {}}
    jobs = [({"variant": name, "config": config.plain(), "steps": steps}, env[name]) for name in names]
    seconds, printed = turns.take(__spec__.name, jobs)
    answers = [Answer(**json.loads(text.splitlines()[-1])) for text in printed]
    same = {(answer.threads, answer.allocator) for answer in answers}
    if len(same) > 1:
        raise click.ClickException(f"the settings differ: {sorted(same)}")
    table.head("variant", "img/s", "of the bare loop", "last loss")
    for name, spent, answer in zip(names, seconds, answers, strict=True):
        rate = steps * config.train.batch_size / spent
        table.row(name, f"{rate:.2f}", f"{seconds[0] / spent:.3f}", f"{answer.loss:.6f}")


@click.command()
@click.option("--batch", type=click.IntRange(min=2), default=8, show_default=True, help="Images per step.")
@click.option("--steps", type=click.IntRange(min=1), default=24, show_default=True, help="Timed steps.")
@click.option("--threads", type=click.IntRange(min=1), default=torch.get_num_threads(), show_default="all cores")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--parts", is_flag=True, help="Measure DeepSpeed without Ray, too.")
@click.option("--small", is_flag=True, help="ResNet-18 at 64x64 px, for a quick look.")
@click.option("--one", hidden=True, help="One variant, as JSON.")
def main(batch: int, steps: int, threads: int, precision: str, parts: bool, small: bool, one: str | None) -> None:
    """Compare DeepSpeed under Ray Train with a bare torch loop."""
    if one is not None:
        job = json.loads(one)
        found = VARIANTS[job["variant"]](from_plain(job["config"]), job["steps"], os.getpid())
        click.echo(json.dumps(asdict(found)))
        return
    config = settings(small, batch, threads, precision)
    click.echo(
        f"{config.model.backbone} + SAN, {config.data.input_width}x{config.data.input_height} px, batch {batch}, "
        f"{precision}, {threads} threads, torch {torch.__version__}, {steps} steps\n"
    )
    compare(config, list(VARIANTS)[: 3 if parts else 2], steps)


if __name__ == "__main__":
    main()
