"""The storage of a sweep's study: a journal file in the sweep's folder, or a database. Opens, copies and reads studies.

Does not know what the trials of a study mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import journal_file
from sweeps.definition import BadSweep, Search, directions
from sweeps.journal_file import Patiently, at_once
from sweeps.secrecy import masked

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage, JournalStorage
    from sqlalchemy import Engine

JOURNAL = "study.log"


def opened(folder: Path, name: str, search: Search, patiently: Patiently = at_once) -> optuna.Study:
    """The study of a sweep's folder, created if there is none. `patiently` writes the lines of the journal. Raises
    BadSweep when the database does not answer, or holds the study of another folder."""
    import optuna

    with _refusals():
        study = optuna.create_study(
            study_name=name,
            storage=_storage(folder, search.storage, patiently),
            directions=directions(search.objectives),
            load_if_exists=True,
        )
    owner = study.user_attrs.get("folder")
    if owner is None:
        study.set_user_attr("folder", str(folder.resolve()))
    elif search.storage and owner != str(folder.resolve()):
        raise BadSweep(f"the study {name} in {masked(search.storage)} belongs to {owner}: another name was expected")
    return study


def copied(folder: Path, name: str, search: Search) -> optuna.Study:
    """A copy of the study in memory, without trials if there is no study yet. Changes of the copy do not reach the
    storage, and nothing is written. Raises BadSweep when the database cannot be read."""
    import optuna

    study = optuna.create_study(directions=directions(search.objectives))
    stored = load(folder, name, search.storage)
    study.add_trials(stored.get_trials(deepcopy=False) if stored else [])
    return study


def load(folder: Path, name: str, url: str) -> optuna.Study | None:
    """The stored study, for reading only; None if there is none. url: of the database, "" for the journal file. Raises
    BadSweep when the database cannot be read."""
    import optuna

    with _refusals():
        if not (folder.is_dir() and _has_studies(url) if url else (folder / JOURNAL).is_file()):
            return None
        try:
            database = optuna.storages.RDBStorage(url, skip_table_creation=True) if url else None
            return optuna.load_study(study_name=name, storage=database or _journal(folder))
        except KeyError:
            return None


def require(url: str) -> None:
    """Raise BadSweep when the database of a URL does not answer. "" is no database."""
    if url:
        with _refusals():
            engine = _engine(url)
            engine.connect().close()
            engine.dispose()


@contextmanager
def _refusals() -> Iterator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:  # ImportError: no driver
        reason = masked(str(error.__cause__ or error).splitlines()[0])
        raise BadSweep(f"the study in search.storage cannot be read: {reason}") from error


def _has_studies(url: str) -> bool:
    """Whether a database has studies. A missing file of SQLite is not opened: that would create the file."""
    from sqlalchemy import inspect

    engine = _engine(url)
    if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
        return False
    try:
        return bool(inspect(engine).has_table("studies"))
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    """SQLAlchemy's connections to a database. Raises BadSweep when the text is not a URL."""
    from sqlalchemy import create_engine

    try:
        return create_engine(url)
    except ValueError as error:  # its message may hold a part of the password
        raise BadSweep(
            f"search.storage={masked(url)} cannot be read: a URL such as postgresql://user@host:5432/name was expected"
        ) from error


def _storage(folder: Path, url: str, patiently: Patiently) -> BaseStorage:
    import optuna

    if url:
        return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    journal_file.mend(folder / JOURNAL)
    return _journal(folder, patiently)


def _journal(folder: Path, patiently: Patiently = at_once) -> JournalStorage:
    from optuna.storages import JournalStorage

    return JournalStorage(journal_file.backend(folder / JOURNAL, patiently))
