"""A database in a file of SQLite's, made safe for many processes."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.engine import URL

from hw1.errors import InputError, NoStorageError
from hw1.locks import SPEAK_SECONDS, WAIT_SECONDS, Lock, acquire

BROKEN = (
    "locked",
    "disk is full",
    "disk I/O error",
    "readonly database",
    "malformed",
    "not a database",
    "unable to open",
    "decode to UTF-8",
    "no such table",
    "no such column",
)
"""What SQLite says of a file or a disk that is not in order, which is no fault of a statement."""


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:" or url.query.get("uri"):
        raise InputError(
            "a study needs a file: give a storage such as sqlite:///storage/studies.db"
        )
    if url.query:
        raise InputError("a SQLite storage has no options: leave out what follows the ? in its URL")
    return Path(url.database).expanduser().resolve()


class SQLite:
    """A file that SQLAlchemy's engine is to open.

    Args:
        path: the file.
        shown: what it is called in messages.
        create: whether it is made if it is missing; a file that cannot be written is then an
            error, and is otherwise opened for reading.

    Attributes:
        lock: between processes.
        engine_kwargs: what the engine is to be given besides the URL.
        version: of Optuna, which has made the tables or changed them last; None without tables.

    Raises:
        InputError: there is no such file.
        OSError: it can't be made, or is not Optuna's.
    """

    lock: AbstractContextManager[object]

    def __init__(self, path: Path, shown: str, create: bool) -> None:
        self._path, self._shown = path, shown
        self._inode = (0, 0)
        self.version: str | None = None
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        if not create and not path.exists():
            raise NoStorageError(
                f"there is no storage {shown} yet: run a study, or check --storage"
            )
        self._writable = create or all(os.access(x, os.W_OK) for x in (path, path.parent))
        self.engine_kwargs: dict[str, Any]
        if self._writable:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.lock = Lock(Path(f"{path}.lock"), shown)
            self.engine_kwargs = {"creator": self._connect_as_writer}
        else:
            self.lock = nullcontext()
            # A new connection each time, for others may write meanwhile.
            pool = sqlalchemy.pool.NullPool
            self.engine_kwargs = {"creator": self._connect_as_reader, "poolclass": pool}
        if path.exists():
            self._look_into()

    def attend(self, engine: sqlalchemy.Engine) -> None:
        """Make every transaction of an engine wait for its turn, and its errors readable.

        SQLite begins a transaction as a reader and fails when two readers want to write; those
        that begin as writers come one after another.
        """
        found = self._path.stat()
        self._inode = found.st_dev, found.st_ino
        sqlalchemy.event.listen(engine, "begin", self._on_begin)
        sqlalchemy.event.listen(engine, "handle_error", self._on_error)
        if self._writable:
            with engine.begin():  # fails at once where the file cannot be written
                pass

    def _on_begin(self, connection: sqlalchemy.Connection) -> None:
        self._check_file()
        driver: Any = connection.connection.driver_connection
        begin = "BEGIN IMMEDIATE" if self._writable else "BEGIN"
        try:
            driver.execute(f"PRAGMA busy_timeout={SPEAK_SECONDS * 1000:.0f}")
            self._in_turn(lambda: driver.execute(begin))
        except sqlite3.Error as error:
            raise self._explained(error) or error from error

    def _on_error(self, context: sqlalchemy.engine.ExceptionContext) -> None:
        explained = self._explained(context.original_exception)
        if explained is not None:
            raise explained from context.original_exception

    def _explained(self, error: BaseException) -> InputError | None:
        """A sentence for an error that the file or the disk is to blame for."""
        reason = str(error)
        if not isinstance(error, sqlite3.Error) or not any(part in reason for part in BROKEN):
            return None
        return InputError(
            f"the database {self._shown} cannot be used ({reason}): check the disk's free space "
            "and the file's permissions, or restore the file from a copy"
        )

    def _check_file(self) -> None:
        """Raise an `InputError` if the file was deleted or replaced while it is open.

        SQLite goes on writing to the old file, and all of it is lost in the end.
        """
        try:
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                return
            what = "replaced by another file"
        except FileNotFoundError:
            what = "deleted"
        except OSError as error:
            what = f"taken away ({error.strerror})"
        raise InputError(
            f"the database of {self._shown} was {what} while it was in use: put it back, or run "
            "the study again"
        )

    def _connect(self, options: str = "") -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._path))}{options}",
            uri=True,
            timeout=SPEAK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _connect_as_writer(self) -> sqlite3.Connection:
        connection = self._connect()

        def set_up() -> None:
            # With a write-ahead log readers don't block the writer, and NORMAL waits for the disk
            # only at checkpoints: a power cut may lose the last trials but never the file.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        self._in_turn(set_up)
        # For what Optuna does before `attend` is called.
        connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000:.0f}")
        return connection

    def _connect_as_reader(self) -> sqlite3.Connection:
        # Read-only media, or somebody else's studies: nothing can be locked, or need be. Where
        # nobody has it open, SQLite is told that nobody writes, for it cannot look.
        alive = Path(f"{self._path}-wal").exists()
        return self._connect("?mode=ro" + ("" if alive else "&immutable=1"))

    def _look_into(self) -> None:
        """Find the version; raise an OSError if the file is the database of another program."""
        found = self._connect("?mode=rw") if self._writable else self._connect_as_reader()
        with closing(found) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if tables and "studies" not in tables:
                raise OSError("the database of another program")
            if "version_info" in tables:
                found = connection.execute("SELECT library_version FROM version_info").fetchone()
                self.version = found and found[0]

    def _in_turn(self, statement: Callable[[], object]) -> None:
        """Run a statement as soon as no other process has locked the database."""

        def attempt() -> bool:
            try:
                statement()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                return False
            return True

        files = [Path(f"{self._path}{suffix}") for suffix in ("", "-wal", "-shm")]
        acquire(attempt, self._shown, files)
