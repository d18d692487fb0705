"""Where studies are kept: any database that Optuna takes, SQLite made safe for many processes."""

import functools
import hashlib
import json
import os
import sqlite3
import tempfile
import warnings
import zlib
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from hw1.errors import InputError, NoStorageError
from hw1.locks import SPEAK_SECONDS, WAIT_SECONDS, Lock, acquire
from hw1.passwords import hide, secrets, without

PROJECT_STORAGE = Path(__file__).resolve().parents[2] / "storage"
HEARTBEAT_SECONDS = 60
"""How often a process that trains says that it lives."""
GRACE_SECONDS = 300
"""How long after its last heartbeat a trial is taken for lost."""
CHUNK = 300
"""How many rows a statement names at most: databases limit a statement's parameters."""
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

ATTRIBUTES: dict[Any, str] = {
    models.TrialUserAttributeModel: "user_attrs",
    models.TrialSystemAttributeModel: "system_attrs",
}
UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError
)  # fmt: skip
"""What it leads to when stored contents are not what they should be."""


@dataclass(frozen=True)
class Change:
    """What is new of a stored trial.

    Attributes:
        before: the state it is stored in. If that is another by now, the change is refused.
        new: the trial with its stored id, its state, values and dates, and of its parameters,
            attributes and intermediate values those that are new. Attributes that are stored
            already are replaced.
    """

    before: TrialState
    new: FrozenTrial


class Storage(RDBStorage):
    """Optuna's storage, with a lock that all processes on this machine share.

    The lock covers what must happen once: creating the schema and a study, and counting trials
    before the next one is asked for.

    Optuna's methods take a transaction for every value. Those that are new here write Optuna's
    tables for many trials in one.

    Args:
        url: any SQLAlchemy URL that Optuna takes.
        create: whether a SQLite file that is not there yet is made.

    Raises:
        InputError: the URL is malformed, its driver is not installed, the database cannot be
            opened or written, or the file is no Optuna database.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.shown = shown(url)
        self._distributions: dict[int, dict[str, BaseDistribution]] = {}
        parsed = make_url(url)
        try:
            self._path = path = _sqlite_path(parsed)
            if path is not None and not create and not path.exists():
                raise NoStorageError(
                    f"there is no storage {self.shown} yet: run a study, or check --storage"
                )
            self.lock, kwargs = self._prepare(parsed, path, create)
            with self.lock, warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                super().__init__(
                    url,
                    kwargs,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                )
            if path is not None:
                found = path.stat()
                self._inode = found.st_dev, found.st_ino
                self._listen()
                if isinstance(self.lock, Lock):
                    with self.engine.begin():  # fails at once where the file cannot be written
                        pass
        except InputError:
            raise
        except (ImportError, NoSuchModuleError) as error:
            raise InputError(
                f"the driver for storage {self.shown} is not installed: "
                f"{without(str(error), secrets(url))}"
            ) from None  # whose text may hold a password
        except (
            OSError,
            RuntimeError,
            sqlite3.Error,
            SQLAlchemyError,
            StorageInternalError,
        ) as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            reason = without(reason, secrets(url))
            raise InputError(
                f"cannot open storage {self.shown} ({reason}): check that it exists, can be "
                "written and is an Optuna database"
            ) from None

    def _prepare(
        self, url: URL, path: Path | None, create: bool
    ) -> tuple[AbstractContextManager[object], dict[str, Any] | None]:
        """The lock, and what SQLAlchemy is to be given besides the URL."""
        if path is None:
            # In a folder that all users share, and all of them are to take turns.
            digest = hashlib.sha256(str(url).encode()).hexdigest()[:16]
            return Lock(Path(tempfile.gettempdir()) / f"hw1-{digest}.lock", self.shown), None
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise OSError("it is no file")
        elif not create and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            # Read-only media, or somebody else's studies: nothing can be locked, or need be. Where
            # nobody has it open, SQLite is told that nobody writes, for it cannot look.
            def connect() -> sqlite3.Connection:
                alive = Path(f"{path}-wal").exists()
                return _connect(
                    f"file:{quote(str(path))}?mode=ro" + ("" if alive else "&immutable=1")
                )

            # A new connection each time, for others may write meanwhile.
            return nullcontext(), {"creator": connect, "poolclass": sqlalchemy.pool.NullPool}
        lock = Lock(Path(f"{path}.lock"), self.shown)
        _check_contents(path)
        return lock, {"creator": lambda: self._connect_as_writer(path)}

    def _connect_as_writer(self, path: Path) -> sqlite3.Connection:
        connection = _connect(f"file:{quote(str(path))}")

        def set_up() -> None:
            # With a write-ahead log readers don't block the writer, and NORMAL waits for the disk
            # only at checkpoints: a power cut may lose the last trials but never the file.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        self._in_turn(set_up)
        # For what Optuna does before `_listen` is called.
        connection.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000:.0f}")
        return connection

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
        acquire(attempt, self.shown, files)

    def _listen(self) -> None:
        """Make every transaction on a SQLite file wait for its turn, and its errors readable.

        SQLite begins a transaction as a reader and fails when two readers want to write; those
        that begin as writers come one after another.
        """
        begin = "BEGIN IMMEDIATE" if isinstance(self.lock, Lock) else "BEGIN"

        def on_begin(connection: sqlalchemy.Connection) -> None:
            self._check_file()
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute(f"PRAGMA busy_timeout={SPEAK_SECONDS * 1000:.0f}")
                self._in_turn(lambda: driver.execute(begin))
            except sqlite3.Error as error:
                raise self._explained(error) or error from error

        def on_error(context: sqlalchemy.engine.ExceptionContext) -> None:
            explained = self._explained(context.original_exception)
            if explained is not None:
                raise explained from context.original_exception

        sqlalchemy.event.listen(self.engine, "begin", on_begin)
        sqlalchemy.event.listen(self.engine, "handle_error", on_error)

    def _explained(self, error: BaseException) -> InputError | None:
        """A sentence for an error that the file or the disk is to blame for."""
        reason = str(error)
        if not isinstance(error, sqlite3.Error) or not any(part in reason for part in BROKEN):
            return None
        return InputError(
            f"the database {self.shown} cannot be used ({reason}): check the disk's free space "
            "and the file's permissions, or restore the file from a copy"
        )

    def _check_file(self) -> None:
        """Raise an `InputError` if a SQLite file was deleted or replaced while it is open.

        SQLite goes on writing to the old file, and all of it is lost in the end.
        """
        assert self._path is not None
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
            f"the database of {self.shown} was {what} while it was in use: put it back, or run "
            "the study again"
        )

    @contextmanager
    def readable(self, what: str) -> Iterator[None]:
        """Raise an `InputError` for contents, of the study ``what``, that cannot be understood."""
        try:
            yield
        except InputError:
            raise
        except (*UNREADABLE, zlib.error) as error:
            raise InputError(
                f"{what} in {self.shown} is damaged ({type(error).__name__}: "
                f"{str(error).partition(chr(10))[0]}): restore the database from a copy, or delete "
                "the study"
            ) from error

    def study_names(self) -> list[str]:
        """The names of all studies, in alphabetical order, whatever state the studies are in."""
        with _create_scoped_session(self.scoped_session) as session:
            rows = session.execute(sqlalchemy.select(models.StudyModel.study_name))
            return sorted(name for (name,) in rows)

    def insert_study(
        self,
        name: str,
        direction: StudyDirection,
        metric: str,
        *,
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
    ) -> None:
        """Add a study with all its attributes, in one transaction: it is whole or not there.

        Where there is one of that name, because another machine was faster, it stays as it is.
        Its plots name the ``metric``.

        Raises:
            StorageInternalError: the database failed.
        """
        with _create_scoped_session(self.scoped_session, True) as session:
            study: Any = models.StudyModel(
                study_name=name,
                directions=[models.StudyDirectionModel(objective=0, direction=direction)],
            )
            session.add(study)
            session.flush()
            for model, attributes in (
                (models.StudyUserAttributeModel, user_attrs),
                (
                    models.StudySystemAttributeModel,
                    {**system_attrs, _SYSTEM_ATTR_METRIC_NAMES: [metric]},
                ),
            ):
                rows = [
                    {"study_id": study.study_id, "key": key, "value_json": json.dumps(value)}
                    for key, value in attributes.items()
                ]
                _insert(session, model, rows)

    def insert_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[int] | None:
        """Add trials with all they hold, in one transaction.

        Args:
            study_id: of the stored study.
            trials: with numbers that continue those that are stored.

        Returns:
            Their ids; or None, and nothing is written, if another process has added trials
            meanwhile, so that the numbers are no longer the next ones.

        Raises:
            KeyError: there is no such study.
            ValueError: a parameter's distribution does not go with an earlier one of its name.
            TypeError: an attribute cannot be written as JSON.
            StorageInternalError: the database failed.
        """
        with _create_scoped_session(self.scoped_session) as session:
            # As Optuna does, for numbers are counted: a study's trials are added in turn.
            study = models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            if models.TrialModel.count(session, study) != trials[0].number:
                return None
            rows: list[Any] = [
                models.TrialModel(
                    study_id=study_id,
                    number=trial.number,
                    state=trial.state,
                    datetime_start=trial.datetime_start,
                    datetime_complete=trial.datetime_complete,
                )
                for trial in trials
            ]
            session.add_all(rows)
            session.flush()
            ids = [row.trial_id for row in rows]
            known = self._check_distributions(session, study_id, trials)
            _write(session, dict(zip(ids, trials, strict=True)))
        self._distributions[study_id] = known
        return ids

    def update_trials(self, study_id: int, changes: Sequence[Change]) -> list[int]:
        """Write what is new of stored trials, in one transaction.

        Args:
            study_id: of the stored study.
            changes: one for each trial.

        Returns:
            The ids of the trials that were left alone because another process has meanwhile
            finished, taken or deleted them.

        Raises:
            ValueError: a parameter's distribution does not go with an earlier one of its name.
            TypeError: an attribute cannot be written as JSON.
            StorageInternalError: the database failed.
        """
        trial: Any = models.TrialModel
        refused = []
        news: dict[int, FrozenTrial] = {}
        with _create_scoped_session(self.scoped_session) as session:
            rows: dict[int, Any] = {}
            for ids in _chunks([change.new._trial_id for change in changes]):
                # Locked until the end, in an order that is the same for all processes.
                query = session.query(trial).filter(trial.trial_id.in_(ids))
                query = query.order_by(trial.trial_id).with_for_update()
                rows |= {row.trial_id: row for row in query}
            for change in changes:
                new, row = change.new, rows.get(change.new._trial_id)
                if row is None or row.state != change.before:
                    refused.append(new._trial_id)
                    continue
                if change.before == TrialState.WAITING:
                    row.datetime_start = new.datetime_start
                row.state, row.datetime_complete = new.state, new.datetime_complete
                news[new._trial_id] = new
            known = self._check_distributions(session, study_id, news.values())
            _write(session, news)
        self._distributions[study_id] = known
        return refused

    def trials_since(
        self, study_id: int, last_id: int, unfinished: Collection[int]
    ) -> list[FrozenTrial]:
        """The trials with ids above ``last_id``, and those with the ids in ``unfinished``.

        They are the caller's to change: no cache has them.

        Raises:
            KeyError: there is no such study.
            StorageInternalError: the database failed.
        """
        return self._get_trials(study_id, None, set(unfinished), last_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """What Optuna reads trials with. Its own takes seven times as long: an object a row."""
        trial: Any = models.TrialModel
        # Written into the statement, for parameters are limited in number.
        unfinished: Any = sqlalchemy.bindparam(
            "unfinished", sorted(included_trial_ids), expanding=True, literal_execute=True
        )
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            with self.readable("a study"):
                rows = session.query(trial).filter(
                    trial.study_id == study_id,
                    (trial.trial_id > trial_id_greater_than) | trial.trial_id.in_(unfinished),
                )
                ids = rows.with_entities(trial.trial_id)
                trials = {
                    row.trial_id: FrozenTrial(
                        trial_id=row.trial_id,
                        number=row.number,
                        state=row.state,
                        value=None,
                        datetime_start=row.datetime_start,
                        datetime_complete=row.datetime_complete,
                        params={},
                        distributions={},
                        user_attrs={},
                        system_attrs={},
                        intermediate_values={},
                    )
                    for row in rows.order_by(trial.trial_id)
                    if states is None or row.state in states
                }
                if trials:
                    _read(session, trials, ids)
                    for stored in trials.values():
                        _check(stored)
        return list(trials.values())

    def record_heartbeats(self, trial_ids: Sequence[int]) -> None:
        """Say that the process of these trials lives, in one transaction.

        Raises:
            StorageInternalError: the database failed.
        """
        heartbeat: Any = models.TrialHeartbeatModel
        with _create_scoped_session(self.scoped_session, True) as session:
            now = session.execute(sqlalchemy.func.now()).scalar()
            for trial_id in trial_ids:
                row = heartbeat.where_trial_id(trial_id, session)
                if row is None:
                    session.add(heartbeat(trial_id=trial_id))
                else:
                    row.heartbeat = now

    def stale_trials(self, study_id: int) -> set[int]:
        """The ids of running trials whose last heartbeat is more than `GRACE_SECONDS` ago."""
        return set(self._get_stale_trial_ids(study_id))

    def delete_study(self, study_id: int) -> None:
        """Delete a study, a damaged one too, and all that belongs to it.

        SQLite gives its id to the next one.

        Raises:
            StorageInternalError: the database failed.
        """
        self._distributions.pop(study_id, None)
        trials = models.TrialModel.__table__
        own = sqlalchemy.select(trials.c.trial_id).where(trials.c.study_id == study_id)
        with _create_scoped_session(self.scoped_session) as session:
            # What refers to others comes before them.
            for table in reversed(models.BaseModel.metadata.sorted_tables):
                if "trial_id" in table.c and table is not trials:
                    session.execute(sqlalchemy.delete(table).where(table.c.trial_id.in_(own)))
                elif "study_id" in table.c:
                    session.execute(sqlalchemy.delete(table).where(table.c.study_id == study_id))

    def _check_distributions(
        self, session: Session, study_id: int, trials: Collection[FrozenTrial]
    ) -> dict[str, BaseDistribution]:
        """Compare the trials' distributions with the study's earlier ones, as Optuna does.

        Returns:
            One distribution for every parameter that the study has then.
        """
        known = dict(self._distributions.get(study_id, {}))
        if any(not trial.distributions.keys() <= known.keys() for trial in trials):
            param = models.TrialParamModel
            query = (
                sqlalchemy.select(param.param_name, sqlalchemy.func.min(param.distribution_json))
                .join(models.TrialModel)
                .where(models.TrialModel.study_id == study_id)
                .group_by(param.param_name)  # any will do: they all go with each other
            )
            for name, distribution in session.execute(query):
                known[name] = json_to_distribution(distribution)
        for trial in trials:
            for name, new in trial.distributions.items():
                check_distribution_compatibility(known.setdefault(name, new), new)
        return known


def _write(session: Session, trials: Mapping[int, FrozenTrial]) -> None:
    """Insert all that trials hold, by their stored ids, in the form in which Optuna reads it."""
    value = models.TrialValueModel
    values = [
        {"trial_id": i, "objective": objective, "value": number, "value_type": kind}
        for i, trial in trials.items()
        for objective, exact in enumerate(trial.values or ())
        for number, kind in [value.value_to_stored_repr(exact)]
    ]
    point = models.TrialIntermediateValueModel
    points = [
        {
            "trial_id": i,
            "step": step,
            "intermediate_value": number,
            "intermediate_value_type": kind,
        }
        for i, trial in trials.items()
        for step, exact in trial.intermediate_values.items()
        for number, kind in [point.intermediate_value_to_stored_repr(exact)]
    ]
    params = [
        {
            "trial_id": i,
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }
        for i, trial in trials.items()
        for name, distribution in trial.distributions.items()
    ]
    _insert(session, value, values)
    _insert(session, point, points)
    _insert(session, models.TrialParamModel, params)
    for model, name in ATTRIBUTES.items():
        attributes = [
            {"trial_id": i, "key": key, "value_json": json.dumps(attribute)}
            for i, trial in trials.items()
            for key, attribute in getattr(trial, name).items()
        ]
        for chunk in _chunks(attributes):
            columns = sqlalchemy.tuple_(model.trial_id, model.key)
            old = columns.in_([(row["trial_id"], row["key"]) for row in chunk])
            session.execute(sqlalchemy.delete(model.__table__).where(old))
        _insert(session, model, attributes)


def _read(session: Session, trials: Mapping[int, FrozenTrial], ids: Any) -> None:
    """Fill trials with what the tables hold for ``ids``, a query of them and maybe others."""

    def rows(model: Any, *names: str) -> Iterator[Any]:
        table = model.__table__.c
        query = sqlalchemy.select(table.trial_id, *(table[name] for name in names))
        query = query.where(table.trial_id.in_(ids)).order_by(*model.__table__.primary_key)
        for trial_id, *row in session.execute(query):
            if trial_id in trials:
                yield trials[trial_id], *row

    parse = functools.cache(json_to_distribution)  # most trials have the same ones
    for trial, name, number, text in rows(
        models.TrialParamModel, "param_name", "param_value", "distribution_json"
    ):
        trial.distributions[name] = parse(text)
        trial.params[name] = parse(text).to_external_repr(number)
    value = models.TrialValueModel
    for trial, number, kind in rows(value, "value", "value_type"):
        trial.values = [*(trial.values or ()), value.stored_repr_to_value(number, kind)]
    point = models.TrialIntermediateValueModel
    for trial, step, number, kind in rows(
        point, "step", "intermediate_value", "intermediate_value_type"
    ):
        trial.intermediate_values[step] = point.stored_repr_to_intermediate_value(number, kind)
    for model, attribute in ATTRIBUTES.items():
        for trial, key, text in rows(model, "key", "value_json"):
            getattr(trial, attribute)[key] = json.loads(text)


def _check(trial: FrozenTrial) -> None:
    """Raise a ValueError for what SQLite lets a table hold, but Optuna never writes."""
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    completed = trial.state == TrialState.COMPLETE
    if (
        not isinstance(trial.number, int)
        or not all(isinstance(x, float) for x in numbers)
        or not all(isinstance(step, int) for step in trial.intermediate_values)
        or (completed and not trial.values)
    ):
        raise ValueError(f"the numbers of trial {trial.number!r:.20}")


def _insert(session: Session, model: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(sqlalchemy.insert(model.__table__), rows)


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))


def shown(url: str) -> str:
    """The URL without its secrets, for people to see; see `hw1.passwords.hide`.

    Raises:
        InputError: it is no URL.
    """
    try:
        make_url(url)
        if "{" in url or "}" in url:  # Optuna would put something in their place
            raise ArgumentError
    except (ArgumentError, ValueError):  # their text may be anything, a password too
        raise InputError(
            "the storage is given by no URL: give one such as sqlite:///storage/studies.db or "
            "postgresql://user@host/database, with other characters in a password than letters "
            "and digits as %40 for @"
        ) from None
    return hide(url)


def artifact_folder(url: str) -> Path:
    """Where the files that belong to a storage's studies are: beside a SQLite file, else here."""
    path = _sqlite_path(make_url(url))
    return (PROJECT_STORAGE if path is None else path.parent) / "artifacts"


def _sqlite_path(url: URL) -> Path | None:
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


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=SPEAK_SECONDS, isolation_level=None, check_same_thread=False
    )


def _check_contents(path: Path) -> None:
    """Raise an OSError if a file is the database of another program."""
    if path.exists():
        with closing(_connect(f"file:{quote(str(path))}?mode=rw")) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "studies" not in tables:
            raise OSError("the database of another program")
