"""Where a sweep's study is kept: in a journal file of the sweep's folder, or in any database. Opened to go on with it,
or copied to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps import journal_file
from sweeps.definition import BadSweep, Search, directions
from sweeps.journal_file import Patiently, at_once
from sweeps.secrecy import masked

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import Engine

JOURNAL = "study.log"


def opened(folder: Path, name: str, search: Search, patiently: Patiently = at_once) -> optuna.Study:
    """The study of a sweep's folder, begun where there is none. `patiently` writes the journal's lines. Raises BadSweep
    when a database does not answer, or has it for another folder."""
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
        raise BadSweep(f"the study {name} in {masked(search.storage)} is that of {owner}: another name was expected")
    return study


def copied(folder: Path, name: str, search: Search) -> optuna.Study:
    """The study's trials in this process's memory, none where there is no study yet: what is done to them, the kept
    ones do not notice. Nothing is written. Raises BadSweep when a database cannot be read."""
    import optuna

    study = optuna.create_study(directions=directions(search.objectives))
    found = kept(folder, name, search.storage)
    study.add_trials(found.get_trials(deepcopy=False) if found else [])
    return study


def kept(folder: Path, name: str, url: str) -> optuna.Study | None:
    """The study as it is kept, to be looked at and not written to; None where there is none. url: of the database, ""
    for the journal file. Raises BadSweep when a database cannot be read."""
    import optuna

    with _refusals():
        if not (folder.is_dir() and _is_there(url) if url else (folder / JOURNAL).is_file()):
            return None
        try:
            storage: Any = optuna.storages.RDBStorage(url, skip_table_creation=True) if url else _journal(folder)
            return optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            return None


def require(url: str) -> None:
    """Raise BadSweep when there is a database's URL, and it does not answer."""
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
        told = masked(str(error.__cause__ or error).splitlines()[0])
        raise BadSweep(f"the study in search.storage cannot be read: {told}") from error


def _is_there(url: str) -> bool:
    """Whether a database has studies. SQLite's is not looked for where there is no file: that would make it."""
    from sqlalchemy import inspect

    engine = _engine(url)
    if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
        return False
    try:
        return bool(inspect(engine).has_table("studies"))
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    """SQLAlchemy's connections to a database. Raises BadSweep for what is no URL."""
    from sqlalchemy import create_engine

    try:
        return create_engine(url)
    except ValueError as error:  # its own words may be a piece of the password
        raise BadSweep(
            f"search.storage={masked(url)} cannot be read: a URL such as postgresql://user@host:5432/name was expected"
        ) from error


def _storage(folder: Path, url: str, patiently: Patiently) -> Any:
    import optuna

    if url:
        return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    journal_file.mend(folder / JOURNAL)
    return _journal(folder, patiently)


def _journal(folder: Path, patiently: Patiently = at_once) -> Any:
    from optuna.storages import JournalStorage

    return JournalStorage(journal_file.backend(folder / JOURNAL, patiently))
