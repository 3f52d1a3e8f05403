"""A bundle gives the tables that the runs give, on any machine, and no change of it goes unnoticed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from sanpose.cli import cli
from sanpose.errors import UserError
from sanpose.report.bundle import manifest
from tests.compatibility.test_version_before import FINISHED, INTERRUPTED, RUNS, TRIAL


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recorded runs of real trainings, one of them in a sweep, in a folder whose name must not leave it."""
    place = tmp_path_factory.mktemp("secret-place")
    with tarfile.open(RUNS) as archive:
        archive.extractall(place, filter="data")
    for path in place.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".yaml"):
            path.write_text(path.read_text().replace("@HERE@", str(place)))
    return place / "runs"


@pytest.fixture(scope="module")
def made(runs: Path) -> Path:
    folder = runs.parent / "bundle"
    assert run("bundle", "--runs", runs, "--out", folder).exit_code == 0
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, UserError), result.output + repr(result.exception)
    return str(result.exception)


def sign(folder: Path) -> None:
    """Write the list again, as somebody does who wants a change to go unnoticed."""
    content = json.loads((folder / manifest.NAME).read_text())
    (folder / manifest.NAME).write_text(json.dumps({**content, "files": manifest.hashes(folder)}))


def edit(path: Path, pattern: str, text: str) -> None:
    content = path.read_text()
    changed = re.sub(pattern, text, content, count=1)
    assert changed != content
    path.write_text(changed)


def test_it_holds_the_records_and_nothing_of_this_machine(made: Path, runs: Path) -> None:
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    for name in (FINISHED, INTERRUPTED, TRIAL):
        assert {f"runs/{name}/{file}" for file in ("config.yaml", "provenance.json", "metrics.jsonl")} <= names
    assert {"runs/sweeps/rates-smoke/sweep.json", "tables/claims.md", "configs/preset/smoke.yaml"} <= names
    assert not [name for name in names if "checkpoints" in name or "tensorboard" in name or name.endswith(".h5")]
    assert not any("secret-place" in path.read_text() for path in made.rglob("*") if path.is_file())
    hosts = [json.loads(path.read_text())["machine"]["hostname"] for path in made.glob("runs/*/provenance.json")]
    assert set(hosts) == {"host"}
    config = yaml.safe_load((made / "runs" / FINISHED / "config.yaml").read_text())
    assert config["runs"] == "runs" and config["data"]["sources"]["h36m"]["file"] == "h36m.h5"
    assert not [path for path in runs.parent.iterdir() if path.name.startswith(".")]


def test_the_tables_are_those_of_the_report(made: Path, runs: Path, tmp_path: Path) -> None:
    assert run("report", "--runs", runs, "--no-page", "--out", tmp_path / "report").exit_code == 0
    for path in (tmp_path / "report").iterdir():
        assert (made / "tables" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", ["b.tar.xz", "b.tar.gz", "folder"])
@pytest.mark.parametrize("sweep", [None, "rates-smoke"])
def test_it_is_verified_elsewhere(runs: Path, tmp_path: Path, name: str, sweep: str | None) -> None:
    options = ["--sweep", sweep] if sweep else []
    assert run("bundle", "--runs", runs, "--out", tmp_path / name, *options).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    for path in (tmp_path / name).rglob("*") if name == "folder" else ():
        os.utime(path, (0, 0))  # git keeps no times
    result = run("verify", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert f"{1 if sweep else 3} runs" in result.output and "to the last digit" in result.output
    assert int(re.search(r"([\d,]+) values", result.output)[1].replace(",", "")) > 500


def test_weights_on_request(runs: Path, tmp_path: Path) -> None:
    assert run("bundle", "--runs", runs, "--out", tmp_path / "b", "--weights").exit_code == 0
    assert list((tmp_path / "b" / "runs" / FINISHED / "checkpoints").glob("epoch-*/*"))
    assert run("verify", tmp_path / "b").exit_code == 0


CHANGES: list[tuple[str, str, str, str]] = [
    (f"runs/{FINISHED}/result.json", r'"mean_over_frames": [\d.]+', '"mean_over_frames": 12.5', "end of the journal"),
    (f"runs/{FINISHED}/result.json", r'"seed": 0', '"seed": 1', "the id is not that of"),
    ("tables/claims.json", r'"value": -4\.\d+', '"value": -4.4', "tables/claims.json, rows."),
    ("tables/table1.md", r"\d\d\.\d", "99.9", "tables/table1.md: the text is not that"),
    ("tables/table1.csv", r"\d\d\.\d", "99.9", "tables/table1.csv: the text is not that"),
    ("configs/paper/table1_ablation_mpjpe_mm.csv", r"57\.9", "75.9", "from its records"),
]


@pytest.mark.parametrize(("name", "pattern", "text", "message"), CHANGES)
def test_a_change_is_noticed_though_the_list_is_written_again(
    copy: Path, name: str, pattern: str, text: str, message: str
) -> None:
    edit(copy / name, pattern, text)
    assert f"{name}: the content is not that of the list" in run("verify", copy).output
    sign(copy)
    result = run("verify", copy)
    assert result.exit_code == 1 and message in result.output, result.output


def add_file(folder: Path) -> None:
    (folder / "runs" / "more.txt").write_text("")


def remove_run(folder: Path) -> None:
    shutil.rmtree(folder / "runs" / FINISHED)


def tear_record(folder: Path) -> None:
    (folder / "runs" / FINISHED / "result.json").write_text("{")


def remove_records(folder: Path) -> None:
    shutil.rmtree(folder / "runs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_file, "more.txt: the file is not in the bundle's list"),
        (remove_run, "result.json: the file is missing"),
        (tear_record, "differs: runs/"),
        (remove_records, "the bundle has no records"),
    ],
)
def test_files_that_are_more_or_fewer(copy: Path, change: Callable[[Path], None], message: str) -> None:
    change(copy)
    result = run("verify", copy)
    assert result.exit_code == 1 and message in result.output, result.output


def test_last_digits_of_another_processor_are_said(copy: Path) -> None:
    path = copy / "tables" / "bill.json"
    edit(path, r'"value": (0\.0*[1-9]\d{10})\d+', r'"value": \g<1>')
    sign(copy)
    result = run("verify", copy)
    assert result.exit_code == 0 and "1 values differ after the ninth digit" in result.output, result.output


def test_what_cannot_be_bundled_or_verified(runs: Path, made: Path, tmp_path: Path) -> None:
    assert "the bundle's place is taken" in refused("bundle", "--runs", runs, "--out", made)
    assert "this kind of archive" in refused("bundle", "--runs", runs, "--out", tmp_path / "b.zip")
    assert "no folder of runs" in refused("bundle", "--runs", tmp_path / "none", "--out", tmp_path / "b")
    (tmp_path / "empty").mkdir()
    assert "no run to bundle" in refused("bundle", "--runs", tmp_path / "empty", "--out", tmp_path / "b")
    going = Path(shutil.copytree(runs, tmp_path / "going"))
    (going / INTERRUPTED / "result.json").write_text("{")
    assert "records cannot be read" in refused("bundle", "--runs", going, "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".b*"))
    assert "no such bundle" in refused("verify", tmp_path / "none")
    assert "not a bundle" in refused("verify", tmp_path / "empty")
    (tmp_path / "a.tar.xz").write_text("no archive")
    assert "the archive cannot be read" in refused("verify", tmp_path / "a.tar.xz")
    other = Path(shutil.copytree(made, tmp_path / "other"))
    edit(other / manifest.NAME, r'"schema": 1', '"schema": 9')
    assert "another schema" in refused("verify", other)


def test_restored_runs_are_those_of_the_bundle_and_give_its_tables(made: Path, tmp_path: Path) -> None:
    runs = tmp_path / "new" / "runs"
    first, again = run("restore", "--runs", runs, made), run("restore", "--runs", runs, made)
    assert first.exit_code == again.exit_code == 0
    assert first.output == f"3 runs restored in {runs}, 0 were there already\n"
    assert again.output == f"0 runs restored in {runs}, 3 were there already\n"
    assert sorted(path.name for path in runs.iterdir()) == sorted([FINISHED, INTERRUPTED, TRIAL])
    assert run("bundle", "--runs", runs, "--out", tmp_path / "second").exit_code == 0
    before, after = (manifest.read(folder).files for folder in (made, tmp_path / "second"))
    assert {k: v for k, v in before.items() if k.startswith(f"runs/{FINISHED}")} == {
        k: v for k, v in after.items() if k.startswith(f"runs/{FINISHED}")
    }
    assert before["tables/table1.csv"] == after["tables/table1.csv"]


def test_a_run_that_is_there_already_stays(made: Path, tmp_path: Path) -> None:
    own = tmp_path / "runs" / FINISHED
    own.mkdir(parents=True)
    (own / "mine").write_text("x")
    result = run("restore", "--runs", tmp_path / "runs", made)
    assert result.output.startswith("2 runs restored")
    assert [path.name for path in own.iterdir()] == ["mine"]


def test_a_changed_bundle_is_not_restored(copy: Path, tmp_path: Path) -> None:
    (copy / "runs" / FINISHED / "result.json").write_text("{}")
    assert "contradicts itself" in refused("restore", "--runs", tmp_path / "runs", copy)
    assert not (tmp_path / "runs").exists()
