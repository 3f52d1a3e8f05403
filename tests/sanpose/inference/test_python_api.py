"""The Python API: the numbers of `sanpose predict`, typed records, a fast import, and the documented example."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import sanpose
from sanpose.cli import cli
from sanpose.config.compose import REPOSITORY
from sanpose.data import packed
from sanpose.runs import ledger
from tests.sanpose import recorded
from tests.sanpose.tiny_run import tiny_run

BOXES = [[[8.0, 8, 80, 80], [0, 0, 50, 90.5]], [], [[10, 20, 40, 20]]]


@pytest.fixture(scope="module")
def network() -> sanpose.TrainedNetwork:
    return sanpose.load(tiny_run())


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three JPEG files of 96 x 96 px."""
    file = packed.read(tiny_run().parents[1] / "h36m.h5")
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, path in enumerate(paths):
        path.write_bytes(file.jpeg(i).tobytes())
    return paths


def command(out: Path, images: list[Path], boxes: object, *options: str) -> list[dict[str, object]]:
    """The people in the JSON files of `sanpose predict`, in the order of the images."""
    arguments = [*map(str, images), "--run", tiny_run().name, "--runs", str(tiny_run().parent), "--out", str(out)]
    if boxes is not None:
        file = out.with_suffix(".json")
        file.write_text(json.dumps({path.name: own for path, own in zip(images, boxes, strict=True)}))  # type: ignore[call-overload]
        arguments += ["--boxes", str(file)]
    result = CliRunner().invoke(cli, ["predict", *arguments, *options])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return [person for p in images for person in json.loads((out / f"{p.stem}.json").read_text())["people"]]


def same(people: sanpose.PredictedPoses, expected: list[dict[str, object]]) -> None:
    """The same numbers, to the last digit that the command writes."""
    assert people.keypoints.round(3).tolist() == [p["keypoints"] for p in expected]
    assert people.keypoints3d.round(3).tolist() == [p["keypoints3d"] for p in expected]
    assert people.scores.round(5).tolist() == [p["scores"] for p in expected]
    assert people.boxes.tolist() == [p["box"] for p in expected]
    if people.pelvis is not None:
        assert people.pelvis.round(3).tolist() == [p["pelvis"] for p in expected]


def test_files_give_the_numbers_of_the_command(
    network: sanpose.TrainedNetwork, images: list[Path], tmp_path: Path
) -> None:
    people = network.predict(images, BOXES)
    assert people.image.tolist() == [0, 0, 2] and len(people) == 3
    same(people, command(tmp_path / "a", images, BOXES))
    same(network.predict(images), command(tmp_path / "b", images, None))
    same(network.predict(str(images[1])), command(tmp_path / "c", images[1:2], None))
    camera = sanpose.Pinhole((200, 210), (48, 47), 4000)
    people = network.predict(images, BOXES, padding=1, camera=camera, flip_test=True)
    options = ("--padding", "1", "--camera", "200,210,48,47", "--root-depth", "4000", "--flip-test")
    same(people, command(tmp_path / "d", images, BOXES, *options))


def test_pixels_are_a_png_file_to_the_bit(network: sanpose.TrainedNetwork, images: list[Path], tmp_path: Path) -> None:
    large = cv2.resize(cv2.imread(str(images[0])), (400, 300))  # its crops are reduced in the decoder
    pictures = [large, *(cv2.imread(str(path)) for path in images[1:])]
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for path, picture in zip(files, pictures, strict=True):
        cv2.imwrite(str(path), picture)
    boxes = [[[0, 0, 400, 300]], [[8, 8, 80, 80]], None]
    one, two = (network.predict(i, boxes) for i in ([p[..., ::-1] for p in pictures], files))
    for name in ("image", "boxes", "keypoints", "scores", "keypoints3d"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    again = network.predict(np.stack([p[..., ::-1] for p in pictures[1:]]), [[8, 8, 80, 80], None])
    np.testing.assert_allclose(again.keypoints, one.keypoints[1:], atol=1e-3)


def test_shapes_units_and_frames(network: sanpose.TrainedNetwork, images: list[Path]) -> None:
    people = network.predict(images[0], np.array([[8, 8, 80, 80]]))
    assert people.joints == network.joints.joints
    assert people.keypoints.shape == (1, 22, 2) and people.keypoints3d.shape == (1, 22, 3)
    assert people.scores.shape == people.depth.shape == (1, 22)
    assert np.array_equal(people.depth, people.keypoints3d[..., 2]) and (people.keypoints3d[:, 0] == 0).all()
    with pytest.raises(sanpose.UserError, match="without a camera"):
        people.in_camera_frame()
    placed = network.predict(images[0], [8, 8, 80, 80], camera=sanpose.Pinhole((200, 200), (48, 48), 4000))
    space = placed.in_camera_frame()
    assert space[0, 0, 2] == 4000
    np.testing.assert_allclose(space[..., :2] / space[..., 2:] * 200 + 48, placed.keypoints, atol=1e-9)
    nobody = network.predict(images[0], [], camera=sanpose.Pinhole((200, 200), (48, 48), 4000))
    assert len(nobody) == 0 and nobody.keypoints.shape == (0, 22, 2) and nobody.in_camera_frame().shape == (0, 22, 3)


PIXELS = np.zeros((40, 50, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "boxes", "options", "message"),
    [
        (PIXELS.astype(float), None, {}, r"the image is float64 of the shape \(40, 50, 3\)"),
        (PIXELS[..., 0], None, {}, r"the image is uint8 of the shape \(40, 50\)"),
        ([PIXELS, None], None, {}, r"the image is a NoneType\n.*images\[1\]"),
        (3, None, {}, "the images are a int"),
        ("none.jpg", None, {}, "the image cannot be read"),
        (".", None, {}, "this is a folder"),
        (PIXELS, [[1, 2, 3]], {}, r"the boxes have the shape \(1, 3\)"),
        (PIXELS, [[1, 2, 3, float("nan")]], {}, "the box is"),
        (PIXELS, [[1, 2, 0, 4]], {}, "has no size"),
        (PIXELS, [["a", 2, 0, 4]], {}, "the boxes are not numbers"),
        (PIXELS, [[60, 2, 3, 4]], {}, r"lies outside the image of 50 x 40 px\n.*images\[0\], box 0"),
        ([PIXELS, PIXELS], [[1, 2, 3, 4]], {}, "there are 2 images, and the boxes are 1 entries"),
        (PIXELS, None, {"padding": 1.5}, "padding has no effect without boxes"),
        (PIXELS, [1, 2, 3, 4], {"padding": 0}, "padding=0 is out of range"),
    ],
)
def test_bad_input_is_one_message(
    network: sanpose.TrainedNetwork, images: Any, boxes: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(sanpose.UserError, match=message):
        network.predict(images, boxes, **options)


def test_bad_cameras_runs_and_devices(tmp_path: Path) -> None:
    for f, depth, message in (((0, 1), 5000, "is not a camera"), ((1, 1), 0, "cannot see a pelvis")):
        with pytest.raises(sanpose.UserError, match=message):
            sanpose.Pinhole(f, (1, 1), depth)
    with pytest.raises(sanpose.UserError, match="configuration is missing"):
        sanpose.load(tmp_path / "none")
    with pytest.raises(sanpose.UserError, match="there is no checkpoint 'newest'"):
        sanpose.load(tiny_run(), "newest")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(sanpose.UserError, match=f"device.*{device}|{device}.*device"):
            sanpose.load(tiny_run(), device=device)
    assert sanpose.load(tiny_run(), "best", "cpu").device.type == "cpu"


def test_runs_are_typed_records_and_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.add(tmp_path, "c", seed=1, status="done", metrics=recorded.figures(50.0))
    recorded.add(tmp_path, "d")
    broken = recorded.add(tmp_path, "g", status="done")
    (broken / "result.json").write_text("{")
    runs = sanpose.runs(tmp_path)
    assert [run.status for run in runs] == ["done", "running"] and len(runs) == 2
    assert isinstance(runs[0], sanpose.RunRecord) and runs[:1] == (runs[0],)
    assert [(b.path, "cannot be read" in b.reason) for b in runs.broken] == [(broken / "result.json", True)]
    table = runs.to_pandas()
    assert list(table.index) == [run.id for run in runs] and table.index.name == "id"
    assert list(table["status"]) == ["done", "running"] and list(table["config.train.seed"]) == [1, 0]
    assert table["metrics.h36m.mpjpe.mean_over_frames"].iloc[0] == 50 and table["extra.synthetic"].iloc[0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(sanpose.UserError, match="pip install pandas"):
        runs.to_pandas()
    with pytest.raises(sanpose.UserError, match="the runs cannot be read"):
        sanpose.runs(tmp_path / "none")


def test_importing_is_fast_and_the_name_runs_stays_callable() -> None:
    code = """
import sys, sanpose
heavy = {"torch", "numpy", "ray", "cv2", "yaml"} & set(sys.modules)
assert not heavy, heavy
first = sanpose.runs(sys.argv[1])     # the function; then the package sanpose.runs is imported
assert sanpose.runs(sys.argv[1]) == first and "torch" not in sys.modules
from sanpose.runs import ledger
assert isinstance(first[0], sanpose.RunRecord) and ledger.RunRecord is sanpose.RunRecord
assert all(hasattr(sanpose, name) for name in sanpose.__all__) and not hasattr(sanpose, "nothing")
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_run().parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_that_uses_it_passes_strict_mypy(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nmypy_path = {REPOSITORY}\nfollow_imports = silent\ncache_dir = {tmp_path / 'cache'}\n"
        "[mypy-torch.*,torchvision.*,cv2.*,h5py.*,scipy.*,safetensors.*,pandas.*]\n"  # only to be fast
        "ignore_missing_imports = true\nfollow_imports = skip\n"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import sanpose\nnetwork = sanpose.load('runs/7a1b')\npeople = network.predict(['a.jpg'], [[0, 0, 9, 9]])\n"
        "reveal_type(network)\nreveal_type(people.keypoints)\nreveal_type(people.depth)\n"
        "reveal_type(sanpose.runs('runs')[0].status)\nsanpose.lode\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", program], capture_output=True, text=True
    )
    types = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert types[0] == "sanpose.inference.trained.TrainedNetwork", done.stdout + done.stderr
    assert all("numpy.ndarray" in t and "float64" in t for t in types[1:3]) and types[3] in ("builtins.str", "str")
    assert re.findall(r"program.py:(\d+): error", done.stdout) == ["8"], done.stdout


def test_the_documented_example_runs(tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "python.md").read_text()
    shutil.copytree(tiny_run(), tmp_path / "runs" / tiny_run().name)
    ledger.write_result(tmp_path / "runs" / tiny_run().name, {"status": "done"})
    shutil.copy(images[0], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    output, names = io.StringIO(), {"__name__": "example"}
    with contextlib.redirect_stdout(output):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(block, names)
    for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
        assert block in output.getvalue(), output.getvalue()
    assert "3 [0 0 1]\n" in output.getvalue() and "5000.0\n" in output.getvalue()
    assert f"{tiny_run().name} done" in output.getvalue() and "resnet18" in output.getvalue()
