"""Soft-argmax: the plain formula against ours, forward and backward, time interleaved in one run, memory each alone.

    python -m bench.model.softargmax [--batch 8]

Logits as the network makes them for 256x256 px: (batch, 18*64, 64, 64). Memory is what a fresh process's high-water
mark rises by, above its logits. Prints a Markdown table. Linux only: the mark is read from /proc.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor

from bench import fresh, table
from sanpose.model.softargmax import soft_argmax, soft_argmax_plain

JOINTS, DEPTH, HEIGHT, WIDTH = 18, 64, 64, 64
FUNCTIONS: dict[str, Callable[[Tensor, int, int], Tensor]] = {"plain": soft_argmax_plain, "ours": soft_argmax}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def make_logits(batch: int, dtype: str, layout: str) -> Tensor:
    """Random logits of spread 3, made in place: no larger tensor comes before them."""
    logits = torch.empty(batch, JOINTS * DEPTH, HEIGHT, WIDTH, dtype=TYPES[dtype], memory_format=LAYOUTS[layout])
    return logits.normal_(0, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()


def forward_backward(function: str, logits: Tensor) -> None:
    logits.grad = None
    torch.autograd.backward(FUNCTIONS[function](logits, JOINTS, DEPTH).abs().mean())


def median_times(batch: int, dtype: str, layout: str, rounds: int) -> dict[str, float]:
    """Median milliseconds of each function, taking turns."""
    logits = make_logits(batch, dtype, layout)
    times: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
    for turn in range(rounds + 1):
        for name, taken in times.items():
            start = time.perf_counter()
            forward_backward(name, logits)
            if turn > 0:  # the first turn warms up
                taken.append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(taken) for name, taken in times.items()}


def peak_memory(function: str, batch: int, dtype: str, layout: str, threads: int) -> float:
    """Megabytes that one forward and backward pass adds to the peak of a fresh process."""
    job = {"function": function, "batch": batch, "dtype": dtype, "layout": layout, "threads": threads}
    return float(fresh.measure(__spec__.name, job))


def added_megabytes(function: str, batch: int, dtype: str, layout: str, threads: int) -> float:
    torch.set_num_threads(threads)
    forward_backward(function, torch.zeros(1, JOINTS * DEPTH, 8, 8, requires_grad=True))  # libraries load on first use
    logits = make_logits(batch, dtype, layout)
    before = peak_kilobytes()
    forward_backward(function, logits)
    return (peak_kilobytes() - before) / 1024


def peak_kilobytes() -> int:
    """This program's peak resident memory. getrusage would start from that of the process which launched it."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1])


@click.command()
@click.option("--batch", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--threads", default=torch.get_num_threads(), show_default="all cores", type=click.IntRange(min=1))
@click.option("--one", hidden=True, help="One memory measurement, as JSON: what the subprocesses run.")
def main(batch: int, rounds: int, threads: int, one: str | None) -> None:
    """Compare the plain soft-argmax with ours."""
    if one is not None:
        click.echo(added_megabytes(**json.loads(one)))
        return
    torch.set_num_threads(threads)
    click.echo(
        f"Soft-argmax forward + backward, ({batch}, {JOINTS}*{DEPTH}, {HEIGHT}, {WIDTH}), {threads} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, median of {rounds}\n"
    )
    table.head("logits", "plain ms", "ours ms", "faster", "plain MB", "ours MB", "leaner")
    for dtype in TYPES:
        for layout in LAYOUTS:
            ms = median_times(batch, dtype, layout, rounds)
            mb = {name: peak_memory(name, batch, dtype, layout, threads) for name in FUNCTIONS}
            speed = (f"{ms['plain']:.0f}", f"{ms['ours']:.0f}", f"{ms['plain'] / ms['ours']:.1f}x")
            memory = (f"{mb['plain']:.0f}", f"{mb['ours']:.0f}", f"{mb['plain'] / mb['ours']:.1f}x")
            table.row(f"{dtype} {layout}", *speed, *memory)


if __name__ == "__main__":
    main()
