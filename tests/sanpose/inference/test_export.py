"""`sanpose export`: ONNX Runtime and safetensors give what torch gives; otherwise nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from sanpose.cli import cli
from sanpose.config.schema import ModelConfig
from sanpose.data.loader import normalise
from sanpose.errors import UserError
from sanpose.inference import export, trained
from sanpose.model.network import SAN
from tests.sanpose.tiny_run import tiny_run


@pytest.fixture(scope="module")
def network() -> trained.TrainedNetwork:
    return trained.load(tiny_run())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder that the command wrote, and its output. The run has attention with position term and scale."""
    folder, out = tiny_run(), tmp_path_factory.mktemp("export") / "new" / "model"
    arguments = ["export", "--run", folder.name, "--runs", str(folder.parent), "--out", str(out)]
    return out, CliRunner().invoke(cli, arguments)


def test_onnx_gives_what_torch_gives(exported: tuple[Path, Result], network: trained.TrainedNetwork) -> None:
    out, result = exported
    assert result.exit_code == 0, repr(result.exception)
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("images", ["batch", 3, 64, 64])]
    for batch in (1, 2, 5):
        images = torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8)
        coordinates, scores = session.run(["coordinates", "scores"], {"images": normalise(images).contiguous().numpy()})
        ours, our_scores = network.forward(images)
        assert batch == 1 or not torch.allclose(ours[0], ours[1], atol=1e-5)
        np.testing.assert_allclose(coordinates, ours, atol=1e-5)
        np.testing.assert_allclose(scores, our_scores, atol=1e-5)


def test_files_and_description(exported: tuple[Path, Result], network: trained.TrainedNetwork) -> None:
    out, result = exported
    assert sorted(p.name for p in out.iterdir()) == ["model.json", "model.onnx", "model.safetensors"]
    assert [p.name for p in out.parent.iterdir()] == ["model"]
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert "largest difference" in lines[3]
    assert result.stderr == ""
    about = json.loads((out / "model.json").read_text())
    assert about["joints"] == list(network.joints.joints)
    assert about["input"]["shape"] == ["N", 3, 64, 64]
    assert about["input"]["mean"] == [123.675, 116.28, 103.53]
    assert about["config"]["model"]["attention_position"] is True
    assert about["check"]["onnxruntime_against_torch"] <= 1e-4
    assert str(tiny_run().parents[1]) not in (out / "model.json").read_text()


def test_safetensors_hold_the_network(exported: tuple[Path, Result], network: trained.TrainedNetwork) -> None:
    weights = load_file(exported[0] / "model.safetensors")
    fresh = SAN(network.config.model, 64, 64)
    fresh.load_state_dict(weights)
    images = normalise(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    torch.testing.assert_close(fresh.eval()(images), network.network(images), atol=1e-6, rtol=0)


def test_a_difference_leaves_nothing_behind(
    network: trained.TrainedNetwork, tmp_path: Path, exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = exported[0] / "model.onnx"
    monkeypatch.setattr(export, "write_onnx", lambda module, height, width, path: path.write_bytes(ready.read_bytes()))
    other = trained.load(tiny_run())
    torch.nn.init.normal_(other.network.head.weight)  # no longer what the ONNX file holds
    with pytest.raises(UserError, match="ONNX Runtime and torch differ by up to"):
        export.export(other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert export.export(network, tmp_path / "out").difference <= 1e-4


def test_bad_input(tmp_path: Path) -> None:
    folder = tiny_run()
    (tmp_path / "file").write_text("")
    for arguments, message in (
        (["--out", str(tmp_path / "file")], "is a file"),
        (["--out", str(tmp_path / "file" / "below")], "cannot be created"),
        (["--checkpoint", "first", "--out", str(tmp_path / "out")], "there is no checkpoint 'first'"),
    ):
        result = CliRunner().invoke(cli, ["export", "--run", folder.name, "--runs", str(folder.parent), *arguments])
        assert isinstance(result.exception, UserError), result.output + repr(result.exception)
        assert message in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "height", "width"), [("position", 384, 288)])
def test_full_size(tmp_path: Path, attention: str, height: int, width: int) -> None:
    network = SAN(ModelConfig(attention=attention, delta_init=0.0), height, width).eval()
    torch.nn.init.normal_(network.head.weight, std=0.3)
    if network.attention is not None:
        torch.nn.init.constant_(network.attention.delta, 0.5)
    module = export.Exportable(network).eval()
    export.write_onnx(module, height, width, tmp_path / "m.onnx")
    assert export.compare(module, height, width, tmp_path / "m.onnx") <= 1e-4
