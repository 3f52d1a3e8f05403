"""Trainings in environments as they are: another launcher's variables, no home, no user, an old locale, somebody's own
modules of our names. No process is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sanpose.training import engine
from tests.sanpose import left_processes, tiny

LEFT_BY_OTHERS = {
    "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "PMI_RANK": "2",
    "PMI_SIZE": "4", "PMIX_RANK": "1", "SLURM_PROCID": "3", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "2", "SLURM_MEM_PER_NODE": "1000", "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "1", "RANK": "3",
    "WORLD_SIZE": "8", "LOCAL_RANK": "2",
}  # fmt: skip
NOBODY = ["unshare", "--user", "--map-user=4242", "--map-group=4242"]


def sanpose(folder: Path, environment: dict[str, str], arguments: list[str], *prefix: str) -> bytes:
    command = [*prefix, str(Path(sys.executable).with_name("sanpose")), *arguments]
    with left_processes.none_left():
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    return done.stdout


def trains(folder: Path, environment: dict[str, str], *prefix: str, runs: str = "runs", workers: int = 1) -> None:
    overrides = [o for o in tiny.overrides(folder, "train.epochs=1", "eval.sets=[h36m]") if not o.startswith("runs=")]
    arguments = ["train", *overrides, f"runs={runs}", f"train.workers={workers}"]
    assert b" is done" in sanpose(folder, environment, arguments, *prefix)


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}


def modules_of_our_names(folder: Path) -> dict[str, str]:
    """The environment with a search path to them. A researcher's `sweeps` is often a folder of YAML files."""
    (folder / "cluster.py").write_text("raise SystemExit('a module of the user was imported')")
    for name in ("sweeps", "sanpose"):
        (folder / name).mkdir()
    path = folder / "path"
    path.mkdir()
    (path / "cluster").mkdir()
    (path / "cluster" / "__init__.py").write_text("")
    (path / "sweeps.py").write_text("")
    return {**os.environ, "PYTHONPATH": str(path)}


def test_other_launchers_variables_modules_of_our_names_and_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    trains(tmp_path, {**modules_of_our_names(tmp_path), **LEFT_BY_OTHERS, "HOME": "/proc/1"}, workers=2)


def test_a_sweep_among_modules_of_our_names(tmp_path: Path) -> None:
    environment = modules_of_our_names(tmp_path)
    (tmp_path / "two.yaml").write_text("title: Two\naxes:\n  model.delta_init: [0.0, 0.1]\n")
    fixed = tiny.overrides(tmp_path, "train.epochs=1", "eval.sets=[h36m]")
    assert b"2 done" in sanpose(tmp_path, environment, ["tune", "sweep=two.yaml", *fixed])


def test_python_api_among_modules_of_our_names(tmp_path: Path) -> None:
    environment = modules_of_our_names(tmp_path)
    (tmp_path / "runs").mkdir()
    script = "import cluster; import sanpose; print(len(sanpose.runs('runs')), cluster.__file__)"
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, env=environment, capture_output=True)
    assert done.stdout.decode().split() == ["0", str(tmp_path / "path" / "cluster" / "__init__.py")], done.stderr
    script = "import sweeps; import sanpose; sanpose.runs('runs')"
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, env=environment, capture_output=True)
    assert "another module named 'sweeps'" in done.stderr.decode()
    assert str(tmp_path / "path" / "sweeps.py") in done.stderr.decode()


def test_a_process_of_its_own_forgets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEFT_BY_OTHERS.items():
        monkeypatch.setenv(name, value)
    engine.forget_other_launchers()
    engine.single_process()
    assert not [name for name in os.environ if name.startswith(("OMPI_", "PMI_", "PMIX_", "SLURM_"))]
    assert (os.environ["RANK"], os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"]) == ("0", "0", "1")


@pytest.mark.slow
def test_neither_user_nor_home_nor_utf8(tmp_path: Path) -> None:
    if subprocess.run([*NOBODY, "true"], capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here")
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    trains(tmp_path, {**without("HOME", "USER", "LOGNAME", "LANG"), **old}, *NOBODY, runs="rüns 漢")
    assert (tmp_path / "rüns 漢").is_dir()
