"""A training step of ResNet-50 with SAN at 256x256 px: images per second, and what each measure brings.

    python -m bench.model.train_step [--batch 8] [--steps 5] [--bf16] [--memory]

The baseline is eager float32, contiguous, with the plain soft-argmax and the unfused Adam; each further row adds one
measure to those above it. Every variant runs in a fresh process: one step to warm up, then timed steps of forward,
backward and Adam on random images. Prints a Markdown table with the peak resident memory, and the share of this
machine's measured matrix-multiplication peak. `--memory`: instead, the peak memory of two steps at batch 32.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from bench import fresh, table
from sanpose.config.schema import ModelConfig
from sanpose.model.cost import network_cost
from sanpose.model.loss import coordinate_l1
from sanpose.model.network import SAN
from sanpose.model.softargmax import soft_argmax, soft_argmax_plain
from sanpose.training.resources import ALLOCATOR

SIZE = 256
MODEL = ModelConfig(backbone="resnet50")


@dataclass(frozen=True)
class Variant:
    """Which measures are taken."""

    channels_last: bool = False
    lean_softargmax: bool = False
    fused_adam: bool = False
    bf16: bool = False
    allocator: bool = False
    recompute: bool = False


@dataclass(frozen=True)
class Measured:
    """Median seconds per step, images per second, peak resident memory in GB."""

    seconds: float
    rate: float
    peak_gb: float


def has_bf16_units() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


def ladder(bf16: bool) -> list[tuple[str, Variant]]:
    """The baseline, then each measure added to the ones before."""
    measures = {
        "channels_last": "channels-last",
        "lean_softargmax": "our soft-argmax",
        "fused_adam": "fused Adam",
        **({"bf16": "bf16 autocast"} if bf16 else {}),
        "allocator": "allocator",
    }
    rows, variant = [("baseline", Variant())], Variant()
    for field, name in measures.items():
        variant = dataclasses.replace(variant, **{field: True})
        rows.append((f"+ {name}", variant))
    return rows


def run_steps(variant: Variant, batch: int, steps: int, warmup: int) -> Measured:
    """Train on random images in this process."""
    torch.manual_seed(0)
    network = SAN(MODEL, SIZE, SIZE).train()
    network.backbone.recompute = variant.recompute
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=variant.fused_adam, foreach=False)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    images = torch.randn(batch, 3, SIZE, SIZE).contiguous(memory_format=layout)
    target = torch.rand(batch, network.joints, 3) - 0.5
    head = soft_argmax if variant.lean_softargmax else soft_argmax_plain
    times = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            coordinates = head(network.volumes(images), network.joints, network.depth_bins)
        torch.autograd.backward(coordinate_l1(coordinates, target, torch.ones_like(target)).total)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[warmup:])
    return Measured(seconds, batch / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def in_fresh_process(variant: Variant, batch: int, steps: int, warmup: int, threads: int) -> Measured:
    job = {"variant": dataclasses.asdict(variant), "batch": batch, "steps": steps, "warmup": warmup, "threads": threads}
    return Measured(**fresh.measure(__spec__.name, job, {"GLIBC_TUNABLES": ALLOCATOR} if variant.allocator else None))


def multiplication_peak(dtype: torch.dtype, size: int = 2048) -> float:
    """The best GFLOP/s of a few square matrix products (a multiply-add is two operations)."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def print_speed(batch: int, steps: int, rounds: int, threads: int, bf16: bool) -> None:
    """The table of images per second. A step costs three forward passes: one, and two products per product behind."""
    peaks = {
        False: multiplication_peak(torch.float32),
        True: multiplication_peak(torch.bfloat16, 2048 if bf16 else 512),
    }
    gflop = network_cost(MODEL, SIZE, SIZE).total.macs / 1e9 * 2 * 3
    rows = ladder(bf16)
    measured: dict[str, list[Measured]] = {name: [] for name, _ in rows}
    for _ in range(rounds):
        for name, variant in rows:
            measured[name].append(in_fresh_process(variant, batch, steps, 1, threads))
    click.echo(f"Matrix-multiplication peak: {peaks[False]:.3g} GFLOP/s in fp32, {peaks[True]:.3g} in bf16")
    click.echo(f"A step costs {gflop:.1f} GFLOP per image\n")
    table.head("variant", "img/s", "of baseline", "step s", "peak GB", "share of peak")
    base = statistics.median(m.rate for m in measured["baseline"])
    for name, variant in rows:
        rate = statistics.median(m.rate for m in measured[name])
        memory = max(m.peak_gb for m in measured[name])
        share = f"{rate * gflop / peaks[variant.bf16]:.0%} of {'bf16' if variant.bf16 else 'fp32'}"
        table.row(name, f"{rate:.2f}", f"{rate / base:.2f}x", f"{batch / rate:.2f}", f"{memory:.2f}", share)


def print_memory(batch: int, threads: int, bf16: bool) -> None:
    """Peak memory and seconds of the second of two steps, with and without the allocator's settings and recomputing."""
    *_, (_, without), (_, everything) = ladder(bf16)
    variants = {"baseline": Variant(), "all but the allocator": without, "all": everything}
    variants["all but the allocator, recomputed"] = dataclasses.replace(without, recompute=True)
    variants["all, recomputed"] = dataclasses.replace(everything, recompute=True)
    table.head("variant", "batch", "peak GB", "step s")
    for name, variant in variants.items():
        measured = in_fresh_process(variant, batch, 1, 1, threads)
        table.row(name, batch, f"{measured.peak_gb:.2f}", f"{measured.seconds:.1f}")


@click.command()
@click.option("--batch", type=click.IntRange(min=2), help="Images per step  [default: 8; 32 with --memory]")
@click.option("--steps", default=5, show_default=True, type=click.IntRange(min=1), help="Timed steps per variant.")
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(min=1), help="Times the ladder is walked.")
@click.option("--threads", default=torch.get_num_threads(), show_default="all cores", type=click.IntRange(min=1))
@click.option("--bf16", is_flag=True, help="Measure bf16 autocast even where the processor has no bf16 units.")
@click.option("--memory", is_flag=True, help="Measure the peak memory at batch 32 instead.")
@click.option("--one", hidden=True, help="One variant, as JSON: what the subprocesses run.")
def main(batch: int | None, steps: int, rounds: int, threads: int, bf16: bool, memory: bool, one: str | None) -> None:
    """Measure the training step."""
    if one is not None:
        job = json.loads(one)
        torch.set_num_threads(job.pop("threads"))
        result = run_steps(Variant(**job.pop("variant")), **job)
        click.echo(json.dumps(dataclasses.asdict(result)))
        return
    units = has_bf16_units()
    torch.set_num_threads(threads)
    click.echo(
        f"ResNet-50 + SAN, {SIZE}x{SIZE} px, {threads} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"torch {torch.__version__}, {'bf16 units' if units else 'no bf16 units'}\n"
    )
    if memory:
        print_memory(batch or 32, threads, units or bf16)
    else:
        print_speed(batch or 8, steps, rounds, threads, units or bf16)


if __name__ == "__main__":
    main()
