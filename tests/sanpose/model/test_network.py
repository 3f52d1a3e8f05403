"""The network: shapes, the attention block against its formula, initial values, weights and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from sanpose.config.schema import BACKBONES, ModelConfig
from sanpose.errors import UserError
from sanpose.model.attention import ChannelAttention, PositionAttention
from sanpose.model.backbone import Backbone, build_backbone
from sanpose.model.cost import network_cost
from sanpose.model.network import SAN
from sanpose.model.softargmax import soft_argmax_plain

SMALL = ModelConfig(backbone="resnet18", width=0.25, depth_bins=8, deconv_channels=16)


def images(width: int = 64, height: int = 96, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("joints,count", [("h36m18", 18), ("union22", 22)])
def test_shapes_types_and_score_range(joints: str, count: int) -> None:
    network = SAN(ModelConfig(backbone="resnet18", width=0.25, joints=joints, depth_bins=8), 96, 64).eval()
    assert network.volumes(images()).shape == (2, count * 8, 24, 16)
    coordinates, scores = network.coordinates_and_scores(images())
    assert coordinates.shape == (2, count, 3)
    assert (coordinates.dtype, scores.dtype) == (torch.float32, torch.float32)
    assert scores.shape == (2, count)
    assert ((scores >= 0) & (scores <= 1)).all()
    torch.testing.assert_close(network(images()), coordinates)
    assert not coordinates.requires_grad


def test_channel_order_is_joint_then_depth() -> None:
    network = SAN(SMALL, 96, 64).eval()
    with torch.no_grad():
        network.head.bias.view(18, 8)[5, 6] = 100.0  # joint 5 stands in depth bin 6
    z = network(images())[..., 2]
    torch.testing.assert_close(z[:, 5], torch.full((2,), 6 / 8 - 0.5), atol=1e-3, rtol=0)
    assert (z[:, [4, 6]] < 0).all()


def test_a_new_network_answers_the_middle() -> None:
    coordinates = SAN(SMALL, 96, 64)(images())
    middle = torch.tensor([-1 / 32, -1 / 48, -1 / 16])  # of bins 0..n-1 over n, minus 1/2
    torch.testing.assert_close(coordinates, middle.expand(2, 18, 3), atol=0.02, rtol=0)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_is_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    reference = getattr(torchvision.models, name)(weights=None).eval()
    backbone = Backbone(name).eval()
    backbone.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")})
    reference.avgpool = reference.fc = torch.nn.Identity()
    with torch.no_grad():
        got = backbone(images(32, 64, 1))
        assert torch.equal(got.flatten(1), reference(images(32, 64, 1)))
    assert got.shape == (1, backbone.channels, 2, 1)
    assert backbone.channels == (512 if name in ("resnet18", "resnet34") else 2048)


@pytest.mark.parametrize("name,channels", [("resnet18", 128), ("resnet50", 512)])
def test_width_scales_every_channel(name: str, channels: int) -> None:
    narrow, full = Backbone(name, 0.25), Backbone(name)
    assert narrow.channels == channels
    assert narrow(images()).shape == (2, channels, 3, 2)
    assert narrow.state_dict().keys() == full.state_dict().keys()
    ratio = sum(p.numel() for p in full.parameters()) / sum(p.numel() for p in narrow.parameters())
    assert 14 < ratio < 16.5


@pytest.mark.parametrize(("stride", "positions", "upsamplings"), [(32, (3, 2), 3), (16, (6, 4), 2), (8, (12, 8), 1)])
def test_a_smaller_stride_gives_the_attention_more_positions(
    stride: int, positions: tuple[int, int], upsamplings: int
) -> None:
    network = SAN(ModelConfig(backbone="resnet18", width=0.25, depth_bins=8, stride=stride), 96, 64).eval()
    assert network.backbone(images()).shape[2:] == positions
    assert network.volumes(images()).shape[2:] == (24, 16)
    assert sum(isinstance(layer, torch.nn.ConvTranspose2d) for layer in network.upsample) == upsamplings


@pytest.mark.parametrize("scale,position", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_attention_is_the_formula(scale: bool, position: bool, layout: torch.memory_format) -> None:
    torch.manual_seed(1)
    block = PositionAttention(16, 3, 2, delta_init=0.7, scale=scale, position=position)
    if block.position is not None:
        torch.nn.init.normal_(block.position)
    x = torch.randn(2, 16, 3, 2).contiguous(memory_format=layout)
    got = block(x)
    assert got.is_contiguous(memory_format=layout)
    q, k, v = (conv(x) for conv in (block.query, block.key, block.value))
    if block.position is not None:
        q = q * block.position
    assert (q.shape[1], v.shape[1]) == (2, 16)
    for b in range(2):
        for i in range(6):
            products = torch.stack([(q[b, :, i // 2, i % 2] * k[b, :, j // 2, j % 2]).sum() for j in range(6)])
            weights = (products / (2**0.5 if scale else 1)).softmax(0)
            w = sum(weights[j] * v[b, :, j // 2, j % 2] for j in range(6))
            expected = 0.7 * w + x[b, :, i // 2, i % 2]
            torch.testing.assert_close(got[b, :, i // 2, i % 2], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(block.attention(x).sum(-1), torch.ones(2, 6))


def test_delta_zero_is_the_identity_and_learns() -> None:
    block = PositionAttention(16, 3, 2)
    x = torch.randn(2, 16, 3, 2)
    out = block(x)
    assert torch.equal(out, x)
    (out * torch.randn_like(out)).sum().backward()
    assert block.delta.grad is not None
    assert float(block.delta.grad.abs()) > 0


def test_learned_position_starts_neutral() -> None:
    torch.manual_seed(2)
    with_p = PositionAttention(16, 3, 2, delta_init=1.0, position=True)
    without = PositionAttention(16, 3, 2, delta_init=1.0)
    without.load_state_dict({k: v for k, v in with_p.state_dict().items() if k != "position"})
    x = torch.randn(2, 16, 3, 2)
    torch.testing.assert_close(with_p(x), without(x))
    with_p(x).square().sum().backward()
    assert with_p.position is not None
    assert with_p.position.grad is not None


def test_attention_softmax_is_float32_under_autocast() -> None:
    block = PositionAttention(64, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert block.value(torch.randn(1, 64, 4, 4)).dtype == torch.bfloat16
        attention = block.attention(torch.randn(1, 64, 4, 4) * 30)
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, 16), atol=1e-6, rtol=0)


def test_delta_is_there_only_with_attention() -> None:
    delta = SAN(ModelConfig(backbone="resnet18", width=0.25, delta_init=0.3), 64, 64).delta
    assert delta is not None
    assert delta.item() == pytest.approx(0.3)
    assert SAN(ModelConfig(backbone="resnet18", width=0.25, attention="none"), 64, 64).delta is None


@pytest.mark.parametrize("autocast", [False, True])
def test_channels_last_images_stay_so_and_give_the_same(autocast: bool) -> None:
    torch.manual_seed(0)
    network = SAN(SMALL, 96, 64)
    plain = images()
    last = plain.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert network.volumes(last).is_contiguous(memory_format=torch.channels_last)
        assert network.volumes(plain).is_contiguous()
        a, b = network(last), network(plain)
    torch.testing.assert_close(a, b, atol=2e-3 if autocast else 1e-5, rtol=0)
    a.abs().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_network_can_be_exported() -> None:
    network = SAN(SMALL, 96, 64).eval()
    exported = torch.export.export(network, (images(batch=1),)).module()
    x = images(batch=1) * 2
    torch.testing.assert_close(exported(x), soft_argmax_plain(network.volumes(x), 18, 8))


@pytest.mark.parametrize("height,width", [(100, 64), (64, 0), (64, 33)])
def test_input_must_be_a_multiple_of_32(height: int, width: int) -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        SAN(SMALL, height, width)


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        Backbone("resnet5o")


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path: Path, prefix: str, suffix: str) -> None:
    reference = torchvision.models.resnet18(weights=None).state_dict()
    tensors = {prefix + k: v for k, v in reference.items() if not k.endswith("num_batches_tracked")}
    if "backbone" in prefix:
        tensors[prefix.replace("backbone.", "head.") + "weight"] = torch.zeros(3)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": tensors} if prefix == "module." else tensors, path)
    else:
        save_file(tensors, path)
    loaded = build_backbone("resnet18", weights=str(path)).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in reference.items() if k in loaded)
    assert torch.equal(loaded["layer4.1.conv2.weight"], reference["layer4.1.conv2.weight"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(Backbone("resnet18").state_dict(), path)
    with pytest.raises(UserError, match=r"do not fit the backbone.*and \d+ more"):
        build_backbone("resnet34", weights=str(path))
    with pytest.raises(UserError, match=r"conv1.weight is \(64, 3, 7, 7\), not \(32, 3, 7, 7\)"):
        build_backbone("resnet18", 0.5, str(path))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", "cut"])
def test_damaged_weights_are_refused(tmp_path: Path, suffix: str, content: bytes | str) -> None:
    path = tmp_path / f"weights{suffix}"
    if content == "cut":
        tensors = {"conv1.weight": torch.randn(64, 3, 7, 7)}
        torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
        content = path.read_bytes()[:-2000]
    path.write_bytes(content)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"cannot read the weights file.*(?s:.*){path.name}"):
        build_backbone("resnet18", weights=str(path))


def test_weights_file_must_hold_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(UserError, match="not a state dict"):
        build_backbone("resnet18", weights=str(path))
    with pytest.raises(UserError, match="no such weights file"):
        build_backbone("resnet18", weights=str(tmp_path / "absent.pth"))


class _Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("harm-was-done"),)


def test_weights_file_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": _Harmful()}, "weights.pth")
    with pytest.raises(UserError, match="cannot read"):
        build_backbone("resnet18", weights="weights.pth")
    assert not Path("harm-was-done").exists()


def test_missing_imagenet_weights_say_where_to_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with pytest.raises(UserError) as error:
        build_backbone("resnet50", weights="imagenet")
    cache = tmp_path / "hub" / "checkpoints"
    assert f"{cache / 'resnet50-0676ba61.pth'}" in str(error.value)
    assert "model.weights=/path/to/resnet50-0676ba61.pth" in str(error.value)
    cache.mkdir(parents=True)
    (cache / "resnet50-0676ba61.pth").write_bytes(b"half a download")
    with pytest.raises(UserError, match="damaged"):
        build_backbone("resnet50", weights="imagenet")
    with pytest.raises(UserError, match=r"width 0\.5"):
        build_backbone("resnet50", 0.5, "imagenet")


@pytest.mark.parametrize("scale", [False, True])
def test_channel_attention_is_its_formula_and_nothing_at_delta_0(scale: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 3, 4)
    block = ChannelAttention(12, delta_init=0.5, scale=scale)
    flat = x.flatten(2)
    weights = (torch.einsum("bcn,bdn->bcd", flat, flat) * (12**-0.5 if scale else 1)).softmax(-1)
    expected = x + 0.5 * torch.einsum("bcd,bdn->bcn", weights, flat).view(x.shape)
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(ChannelAttention(12)(x), x)


def test_a_network_with_channel_attention_has_only_delta_more() -> None:
    none, channel = (ModelConfig(backbone="resnet18", attention=a) for a in ("none", "channel"))
    plain, attending = (network_cost(c, 64, 64).total for c in (none, channel))
    assert attending.parameters == plain.parameters + 1
    assert attending.macs - plain.macs == 2 * 512**2 * 4
    network = SAN(channel, 64, 64)
    assert network.delta is not None and network(torch.zeros(1, 3, 64, 64)).shape == (1, 18, 3)


@pytest.mark.parametrize("autocast", [False, True])
def test_recomputing_changes_neither_gradients_nor_running_statistics(autocast: bool) -> None:
    recorded = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = SAN(ModelConfig(backbone="resnet18", width=0.125), 64, 64).train()
        network.backbone.recompute = recompute
        images = torch.randn(2, 3, 64, 64)
        kept: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t, k=kept: (k.append(t.numel()), t)[1], lambda t: t)
        with hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            coordinates = network(images)
        coordinates.square().sum().backward()
        grads = {name: p.grad for name, p in network.named_parameters()}
        recorded.append((coordinates.detach(), grads, dict(network.named_buffers()), sum(kept)))
    (one, grads_one, buffers_one, kept_one), (two, grads_two, buffers_two, kept_two) = recorded
    assert torch.equal(one, two) and kept_two < kept_one - 2 * 8 * 32 * 32  # at least the largest map
    for name in grads_one:
        assert torch.equal(grads_one[name], grads_two[name]), name
    for name in buffers_one:
        assert torch.equal(buffers_one[name], buffers_two[name]), name
