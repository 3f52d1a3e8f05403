"""The soft-argmax against its plain formula: values, gradients, both layouts, every type, hard inputs, memory."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sanpose.model import softargmax
from sanpose.model.softargmax import soft_argmax, soft_argmax_plain, soft_argmax_scores

LAYOUTS = [torch.contiguous_format, torch.channels_last]
SHAPES = [(2, 3, 8, 16, 16), (1, 18, 16, 24, 32), (3, 1, 5, 7, 3), (2, 4, 64, 1, 2)]  # B, J, D, H, W


def logits_of(shape: tuple[int, ...], layout: torch.memory_format, scale: float, dtype: torch.dtype) -> torch.Tensor:
    b, j, d, h, w = shape
    values = torch.randn(b, j * d, h, w, generator=torch.Generator().manual_seed(7)) * scale
    return values.to(dtype).contiguous(memory_format=layout).requires_grad_()


def value_and_gradient(
    function: Callable[[torch.Tensor, int, int], torch.Tensor], logits: torch.Tensor, joints: int, depth: int
) -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.linspace(-0.5, 0.5, logits.shape[0] * joints * 3).view(-1, joints, 3)
    out = function(logits, joints, depth)
    weight = torch.tensor([1.0, -2.0, 3.0])
    (gradient,) = torch.autograd.grad(((out - target).abs() * weight).sum(), logits)
    return out.detach(), gradient


@pytest.fixture(params=[softargmax.TILE_ON_CPU, 100])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The tile used, and one so small that every volume is cut into uneven pieces."""
    monkeypatch.setattr(softargmax, "TILE_ON_CPU", request.param)
    return request.param  # type: ignore[no-any-return]


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 300.0])
def test_equals_the_plain_formula(shape: tuple[int, ...], layout: torch.memory_format, scale: float) -> None:
    _, j, d, _, _ = shape
    logits = logits_of(shape, layout, scale, torch.float32)
    expected, expected_gradient = value_and_gradient(soft_argmax_plain, logits, j, d)
    got, gradient = value_and_gradient(soft_argmax, logits, j, d)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-4)
    assert gradient.stride() == logits.stride()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_are_summed_in_float32(layout: torch.memory_format, dtype: torch.dtype) -> None:
    logits = logits_of((2, 3, 16, 32, 24), layout, 4.0, dtype)
    expected, expected_gradient = value_and_gradient(soft_argmax_plain, logits, 3, 16)
    got, gradient = value_and_gradient(soft_argmax, logits, 3, 16)
    assert (got.dtype, gradient.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-2)  # one rounding to the logits' type


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_by_finite_differences(layout: torch.memory_format) -> None:
    logits = torch.randn(2, 6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits = logits.contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_argmax(x, 2, 3), (logits,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_hot_volumes_give_the_bin(layout: torch.memory_format) -> None:
    d, h, w = 4, 8, 16
    for x, y, z in itertools.product((0, 5, w - 1), (0, 3, h - 1), (0, d - 1)):
        logits = torch.zeros(1, d, h, w)
        logits[0, z, y, x] = 200.0
        got, scores = soft_argmax_scores(logits.contiguous(memory_format=layout), 1, d)
        expected = torch.tensor([x / w - 0.5, y / h - 0.5, z / d - 0.5])
        torch.testing.assert_close(got[0, 0], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(scores, torch.ones(1, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_are_the_peak_over_the_plane(layout: torch.memory_format) -> None:
    logits = logits_of((2, 3, 8, 12, 10), layout, 3.0, torch.float32)
    plane = logits.reshape(2, 3, -1).softmax(-1).view(2, 3, 8, 120).sum(2)
    coordinates, scores = soft_argmax_scores(logits, 3, 8)
    torch.testing.assert_close(scores, plane.amax(-1).detach())
    assert torch.equal(coordinates, soft_argmax(logits, 3, 8))
    assert not coordinates.requires_grad


@pytest.mark.parametrize("layout", LAYOUTS)
def test_repeats_every_bit(layout: torch.memory_format) -> None:
    logits = logits_of((2, 18, 32, 32, 32), layout, 5.0, torch.bfloat16)
    first, second = (value_and_gradient(soft_argmax, logits, 18, 32) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_reads_any_other_layout_too() -> None:
    logits = torch.randn(2, 6, 8, 5).transpose(2, 3)
    torch.testing.assert_close(soft_argmax(logits, 2, 3), soft_argmax_plain(logits, 2, 3))


def test_float32_within_bfloat16_autocast() -> None:
    logits = logits_of((2, 3, 16, 16, 16), torch.channels_last, 5.0, torch.float32)
    expected = value_and_gradient(soft_argmax, logits, 3, 16)
    with torch.autocast("cpu", torch.bfloat16):
        got = value_and_gradient(soft_argmax, logits, 3, 16)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


def test_not_a_number_is_not_hidden() -> None:
    logits = torch.zeros(2, 4, 3, 3)
    logits[0, 1, 1, 1] = float("nan")
    got = soft_argmax(logits, 2, 2)
    assert torch.isnan(got[0, 0]).all()
    assert torch.isfinite(got[0, 1]).all()
    assert torch.isfinite(got[1]).all()


def test_channels_must_be_joints_times_depth() -> None:
    with pytest.raises(ValueError, match="7 channels are not 2 joints x 3 depth bins"):
        soft_argmax(torch.zeros(1, 7, 4, 4), 2, 3)


REPOSITORY = Path(__file__).resolve().parents[3]


def peak_megabytes(function: str, dtype: str, layout: str) -> float:
    """What one forward and backward pass at batch 4 adds to the peak of a fresh process, as bench/ measures it."""
    job = json.dumps({"function": function, "batch": 4, "dtype": dtype, "layout": layout, "threads": 1})
    command = [sys.executable, "-m", "bench.model.softargmax", "--one", job]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    return float(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(
    "dtype,layout,volume", [("bf16", "channels-last", 4 * 9), ("fp32", "contiguous", 4 * 18)], ids=["bf16", "fp32"]
)
def test_allocates_little_beside_the_gradient(dtype: str, layout: str, volume: int) -> None:
    ours, plain = (peak_megabytes(function, dtype, layout) for function in ("ours", "plain"))
    assert volume <= ours < volume + 20  # the gradient itself, marginals, a few tiles
    assert ours < 0.5 * plain


def test_exporters_see_plain_operators() -> None:
    class Head(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return soft_argmax(x, 2, 3)

    x = torch.randn(1, 6, 4, 4)
    exported = torch.export.export(Head(), (x,))
    assert len(list(exported.graph.nodes)) < 40
    torch.testing.assert_close(exported.module()(x), soft_argmax(x, 2, 3))
