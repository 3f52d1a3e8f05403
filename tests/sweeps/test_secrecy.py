"""No password of a database stands in what is recorded for reading."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from sanpose.runs import provenance
from sweeps import record
from sweeps.secrecy import masked

URL = "postgresql://reader:secret@db.example/studies"
SHOWN = "postgresql://reader:***@db.example/studies"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, SHOWN),
        (f"search.storage={URL}", f"search.storage={SHOWN}"),
        (f"search.storage='{URL}'", f"search.storage='{SHOWN}'"),
        ("mysql+pymysql://u:p@ss/w:rd@h:3306/db", "mysql+pymysql://u:***@h:3306/db"),
        ("redis://:secret@h", "redis://:***@h"),
        ("postgresql://h/db?user=u&password=secret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgresql://h:5432/db", "postgresql://h:5432/db"),
        ("sqlite:////runs/study.db", "sqlite:////runs/study.db"),
        ("runs=/data/a@b:c", "runs=/data/a@b:c"),
        ("", ""),
    ],
)
def test_passwords_are_masked_and_nothing_else_is(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


def test_a_sweep_s_record_has_no_password_and_a_private_file_has(tmp_path: Path) -> None:
    head = {"search": {"sampler": "tpe", "storage": URL}, "storage": URL, "title": "What it buys"}
    folder = record.write_head(tmp_path, "delta", head)
    record.keep_storage(folder, URL)
    public = [path for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert [path.name for path in public] == ["sweep.json"]
    assert "secret" not in (folder / "sweep.json").read_text()
    found = record.read(tmp_path, "delta")
    assert found.head["search"] == {"sampler": "tpe", "storage": SHOWN}
    assert record.storage(found) == URL
    record.keep_storage(folder, "sqlite:///study.db")
    assert [path.name for path in folder.iterdir()] == ["sweep.json"], "without a password the record is enough"


def test_a_record_from_before_is_shown_without_its_password(tmp_path: Path) -> None:
    folder = record.write_head(tmp_path, "delta", {})
    old = {"schema": 1, "name": "delta", "search": {"storage": URL}, "storage": URL}
    (folder / "sweep.json").write_text(json.dumps(old))
    assert "secret" not in str(record.read(tmp_path, "delta"))


def test_provenance_names_the_command_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sanpose", "tune", "sweep=full", f"search.storage={URL}"])
    command = provenance.collect(tmp_path, [])["command"]
    assert command == ["sanpose", "tune", "sweep=full", f"search.storage={SHOWN}"]
