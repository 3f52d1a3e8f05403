"""A private Ray's token is the owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.raycluster.token import private_token


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("before", [None, "token of long ago"])
def test_the_token_in_the_home_folder_is_nobody_elses(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray" / "auth_token"
    if before:
        token.parent.mkdir()
        token.write_text(before)
        token.chmod(0o644)
    with private_token(tmp_path / "ray"):
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text() == before if before else len(token.read_text()) == 64


def test_no_token_is_made_where_another_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    with private_token(tmp_path / "ray"):
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    assert not (tmp_path / ".ray").exists()


def test_without_a_home_folder_that_can_be_written_the_token_lies_beside_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/1")
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    texts = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        with private_token(folder):
            token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
            assert token.parent == folder and token.stat().st_mode & 0o777 == 0o600
            texts.append(token.read_text())
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    assert texts[0] == texts[1] and len(texts[0]) == 64  # Ray reads a process's token once
