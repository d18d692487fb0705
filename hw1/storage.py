"""Where studies are kept: any database that Optuna takes, SQLite made safe for many processes."""

import hashlib
import sqlite3
import tempfile
import warnings
from contextlib import closing
from pathlib import Path

import sqlalchemy
from filelock import BaseFileLock, FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from hw1.errors import InputError, NoStorageError

TIMEOUT_SECONDS = 60
HEARTBEAT_SECONDS = 60
"""How often a process that trains says that it lives."""
GRACE_SECONDS = 300
"""How long after its last heartbeat a trial is taken for lost."""


class Storage(RDBStorage):
    """Optuna's storage, with a lock that all processes on this machine share.

    The lock covers what must happen once: creating the schema and a study, and counting trials
    before the next one is asked for.

    Args:
        url: any SQLAlchemy URL that Optuna takes.
        create: whether a SQLite file that is not there yet is made.

    Raises:
        InputError: the URL is malformed, its driver is not installed, the database cannot be
            opened or written, or the file is no Optuna database.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.shown = shown(url)
        parsed = make_url(url)
        self._path = path = _sqlite_path(parsed)
        if path is not None and not create and not path.exists():
            raise NoStorageError(
                f"there is no storage {self.shown} yet: run a study, or check --storage"
            )
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self.lock = _lock(parsed, path)
            with self.lock, warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                super().__init__(
                    url,
                    _engine_kwargs(path) if path is not None else None,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                )
                if path is not None:
                    self._begin_as_writer()
        except (ImportError, NoSuchModuleError) as error:
            raise InputError(
                f"the driver for storage {self.shown} is not installed: {error}"
            ) from error
        except (
            OSError,
            RuntimeError,
            sqlite3.Error,
            SQLAlchemyError,
            StorageInternalError,
        ) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise InputError(
                f"cannot open storage {self.shown} ({reason}): check that it exists, can be "
                "written and is an Optuna database"
            ) from error

    def require_file(self) -> None:
        """Raise an `InputError` if a SQLite file was deleted while it is open.

        SQLite goes on writing to a deleted file, and all of it is lost in the end.
        """
        if self._path is not None and not self._path.exists():
            raise InputError(
                f"the database of {self.shown} was deleted while a study ran: run it again"
            )

    def _begin_as_writer(self) -> None:
        """Make every transaction wait for its turn.

        SQLite begins a transaction as a reader and fails when two readers want to write; those
        that begin as writers come one after another.
        """

        def begin(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        sqlalchemy.event.listen(self.engine, "begin", begin)
        with self.engine.begin():  # fails at once where the file cannot be written
            pass


def shown(url: str) -> str:
    """The URL without its password, for people to see.

    Raises:
        InputError: it is no URL.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError as error:  # its text may be anything, a password too
        raise InputError(
            "the storage is given by no URL: give one such as sqlite:///storage/studies.db or "
            "postgresql://user@host/database"
        ) from error


def _sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:" or url.query.get("uri"):
        raise InputError(
            "a study needs a file: give a storage such as sqlite:///storage/studies.db"
        )
    return Path(url.database).expanduser().resolve()


def _engine_kwargs(path: Path) -> dict[str, object]:
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "studies" not in tables:
            raise OSError("the database of another program")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        # With a write-ahead log readers don't block the writer, and NORMAL waits for the disk
        # only at checkpoints: a power cut may lose the last trials but never the file.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return {"creator": connect}


def _lock(url: URL, path: Path | None) -> BaseFileLock:
    if path is not None:
        return FileLock(f"{path}.lock")
    # In a folder that all users share, and all of them are to take turns.
    digest = hashlib.sha256(str(url).encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"hw1-{digest}.lock", mode=0o666)
