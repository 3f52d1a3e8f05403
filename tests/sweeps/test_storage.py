"""Where a study is kept: the journal file and what a killed driver leaves of it, and databases."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sweeps import definition, journal_file, storage
from sweeps.study import Study
from tests.sweeps.studies import GRID, ask_all, study


def test_a_study_in_a_shared_database_belongs_to_one_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    study(tmp_path / "a", storage=url)
    with pytest.raises(definition.BadSweep, match="another name"):
        study(tmp_path / "b", storage=url)


@pytest.mark.parametrize("place", ["@h:54a2/db", "@[::1/db"])
def test_what_is_no_url_of_a_database_is_refused_without_its_password(tmp_path: Path, place: str) -> None:
    url = f"postgresql://u:secret{place}"
    for refused in (lambda: storage.require(url), lambda: storage.load(tmp_path, "s", url)):
        with pytest.raises(definition.BadSweep, match=r"://u:\*\*\*@.* cannot be read: a URL such as") as refusal:
            refused()
        assert "secret" not in str(refusal.value)


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    first = study(tmp_path)
    trial = first.next()
    with (tmp_path / "study.log").open("a") as file:
        file.write('{"op_code": 4, "worker')
    second = study(tmp_path)
    assert second.next().number == trial.number
    assert len(ask_all(study(tmp_path))) == 6


def test_the_lock_of_a_driver_killed_while_it_wrote_is_taken_away_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "GRACE_SECONDS", 3)
    trial = study(tmp_path).next()
    log, lock = tmp_path / "study.log", tmp_path / "study.log.lock"
    lock.symlink_to(log)
    begun = time.monotonic()
    second = study(tmp_path)
    assert second.next() == trial and 3 <= time.monotonic() - begun < 15 and not lock.is_symlink()


def test_the_lock_of_a_dashboard_that_writes_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "GRACE_SECONDS", 3)
    study(tmp_path)
    log, lock = tmp_path / "study.log", tmp_path / "study.log.lock"
    lock.symlink_to(log)
    size = log.stat().st_size

    def dashboard() -> None:
        """Writes in two pieces, and takes longer in all than an abandoned lock would stay."""
        for piece in ('{"op_code":2,"worker_id":"x",', '"study_id":0,"user_attr":{"note":1}}\n'):
            time.sleep(2)
            with log.open("a") as file:
                file.write(piece)
        lock.unlink()

    writer = threading.Thread(target=dashboard)
    writer.start()
    found = study(tmp_path)
    writer.join()
    assert log.read_bytes()[size:].startswith(b'{"op_code":2') and found.study.user_attrs["note"] == 1


def test_any_rdb_takes_the_journals_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = study(tmp_path, storage=url)
    first.tell(first.next().number, "r", {"mpjpe_mm": 1.0})
    assert len(ask_all(study(tmp_path, storage=url))) == 5 and not (tmp_path / "study.log").exists()


def test_a_copy_out_of_a_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    search = {"sampler": "tpe", "trials": 3, "storage": url}
    assert Study(tmp_path / "s", "s", definition.read(GRID, search), 1, copy=True).counts() == {}
    assert list(tmp_path.iterdir()) == [], "nothing is made by looking"
    (tmp_path / "s").mkdir()
    stored = Study(tmp_path / "s", "s", definition.read(GRID, search), 1)
    stored.tell(stored.next().number, "run", {"mpjpe_mm": 1.0})
    assert Study(tmp_path / "s", "s", definition.read(GRID, search), 1, copy=True).counts() == {"done": 1}
    (tmp_path / "studies.db").write_bytes(b"no database")
    with pytest.raises(definition.BadSweep, match="cannot be read"):
        Study(tmp_path / "s", "s", definition.read(GRID, search), 1, copy=True)
