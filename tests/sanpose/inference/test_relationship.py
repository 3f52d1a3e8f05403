"""Joint-relationship maps: what similarity means, what delta does, what the command writes and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sanpose.cli.relationship import relationship as command
from sanpose.errors import UserError
from sanpose.inference import trained
from sanpose.inference.relationship import attention_block, relationship, similarity
from sanpose.runs import joint_maps, ledger
from sanpose.runs.paths import RunPaths
from tests.sanpose import recorded
from tests.sanpose.tiny_run import tiny_run


def test_similarity_is_the_mean_cosine_of_what_differs_from_the_mean() -> None:
    a = np.array([[[1.0, 0], [-1, 0], [0, 1], [0, -1]]])  # their mean is 0
    maps = similarity(np.concatenate([a, 3 * a]), np.ones((2, 4), bool))
    assert np.allclose(maps, [[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    assert np.allclose(similarity(a + 7, np.ones((1, 4), bool)), maps)


def test_joints_that_are_not_labelled_count_for_nothing() -> None:
    random = np.random.default_rng(0)
    features, labelled = random.normal(size=(5, 3, 4)), np.ones((5, 3), bool)
    labelled[2, 0] = labelled[:, 2] = False
    changed = np.where(labelled[..., None], features, 1e6)
    maps = similarity(changed, labelled)
    assert np.array_equal(maps, similarity(features, labelled), equal_nan=True)
    assert np.isnan(maps[2]).all() and np.isfinite(maps[:2, :2]).all() and maps[0, 0] == pytest.approx(1)


@pytest.fixture(scope="module")
def maps() -> joint_maps.JointMaps:
    return relationship(tiny_run(), (0.0, 0.5, 3.0), samples=4)


def test_maps_are_symmetric_and_delta_changes_them(maps: joint_maps.JointMaps) -> None:
    assert maps.maps.shape == (3, 22, 22) and maps.joints[0] == "pelvis"
    finite = np.isfinite(maps.maps[0])
    assert finite[:17, :17].all()
    for values in maps.maps:
        assert np.allclose(values[:17, :17], values[:17, :17].T) and np.abs(values[finite]).max() <= 1 + 1e-9
    assert not np.allclose(maps.maps[0][finite], maps.maps[2][finite])


def test_a_checkpoints_map_is_the_one_with_its_own_delta(maps: joint_maps.JointMaps) -> None:
    assert len(maps.along) == len(maps.along_deltas) > 0 and list(maps.along_epochs) == sorted(maps.along_epochs)
    again = relationship(tiny_run(), (maps.trained_delta,), samples=4)
    assert maps.along_deltas[-1] == maps.trained_delta
    assert np.allclose(again.maps[0], maps.along[-1], equal_nan=True)
    assert maps.checkpoint in maps.protocol and "4 evaluation samples" in maps.protocol


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / tiny_run().name
    shutil.copytree(tiny_run(), folder)
    return folder


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--run", folder.name[:4], "--runs", str(folder.parent), *arguments])


def test_the_command_writes_what_the_report_reads(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    damaged = sorted((folder / "checkpoints").glob("epoch-*"))[0]
    (damaged / "weights.safetensors").write_bytes(b"cut")
    result = run(folder, "--deltas", "0,0.8", "--samples", "2")
    assert result.exit_code == 0, result.output
    read = joint_maps.read(RunPaths(folder).joint_maps)
    assert list(read.deltas) == [0.0, 0.8] and read.samples == 2
    assert damaged.name in read.protocol
    assert not list(folder.glob(".*.part"))


def of_sweep(runs: Path, name: str, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--sweep", name, "--runs", str(runs), *arguments])


def test_a_sweep_has_its_finished_runs_with_attention_measured_once(tmp_path: Path) -> None:
    done = copied(tmp_path)
    runs = done.parent
    ledger.write_result(done, {"status": "done"})
    without = recorded.add(runs, "a", status="done")
    unfinished = recorded.add(runs, "c")
    points = [({"seed": i}, i, run) for i, run in enumerate([done, without, unfinished, "unknown", done])]
    recorded.add_sweep(runs, "mine", points)
    result = of_sweep(runs, "mine")
    assert result.exit_code == 0 and "1 of 1" in result.output, result.output
    assert "skipped: 1 without attention, 1 not finished, 1 without a readable record" in result.output
    assert [path.parent for path in runs.glob("*/relationship.npz")] == [done]
    again = of_sweep(runs, "mine")
    assert (
        again.exit_code == 0 and "0 runs of 'mine' to measure" in again.output and "1 already measured" in again.output
    )
    other = of_sweep(runs, "mine", "--deltas", "0,1")
    assert "1 of 1" in other.output and list(joint_maps.read(RunPaths(done).joint_maps).deltas) == [0, 1]
    (RunPaths(done).joint_maps).write_bytes(b"torn")
    assert "1 of 1" in of_sweep(runs, "mine").output


def test_a_run_of_a_sweep_that_cannot_be_measured_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    done = copied(tmp_path)
    ledger.write_result(done, {"status": "done"})
    bare = recorded.add(done.parent, "c", status="done")
    recorded.add_sweep(done.parent, "mine", [({"seed": 0}, 0, bare), ({"seed": 1}, 1, done)])
    result = of_sweep(done.parent, "mine", "--samples", "2")
    assert isinstance(result.exception, UserError) and "1 of 2 runs could not be measured" in str(result.exception)
    assert f"cannot measure {bare}" in result.stderr
    assert (RunPaths(done).joint_maps).is_file()


def test_a_sweep_or_a_run_is_named_and_not_both(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    recorded.add_sweep(folder.parent, "mine", [({"seed": 0}, 0, folder)])
    for arguments in ([], ["--run", folder.name, "--sweep", "mine"]):
        error = CliRunner().invoke(command, ["--runs", str(folder.parent), *arguments]).exception
        assert isinstance(error, UserError) and "either --run ID or --sweep NAME" in str(error)
    error = of_sweep(folder.parent, "mein").exception
    assert isinstance(error, UserError) and "there is no sweep 'mein'" in str(error) and "mine" in str(error)


def test_a_run_without_attention_and_values_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for text in ("", "a,b", "nan"):
        error = run(folder, "--deltas", text).exception
        assert isinstance(error, UserError) and "is not a list of numbers" in str(error)
    network = trained.load(tiny_run())
    network.network.attention = None
    with pytest.raises(UserError, match="no attention"):
        attention_block(network)
