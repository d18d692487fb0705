"""Where studies are kept: any database that Optuna takes, with a lock, many trials at a time."""

import hashlib
import re
import sqlite3
import tempfile
import warnings
import zlib
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, MetaData, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import create_engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from hw1.errors import InputError, printable
from hw1.locks import Lock
from hw1.optuna_store.sqlite import SQLite, sqlite_file
from hw1.optuna_store.tables import (
    DIRECTIONS,
    HEARTBEATS,
    STUDIES,
    STUDY_ATTRIBUTES,
    TRIALS,
    attribute_row,
    chunks,
    read_attributes,
    read_distributions,
    read_trials,
    require_study,
    trial_row,
    write_contents,
)
from hw1.passwords import hide, secrets, without
from hw1.places import home

HEARTBEAT_SECONDS = 60
"""How often a process that trains says that it lives."""
GRACE_SECONDS = 300
"""How long after its last heartbeat a trial is taken for lost."""
UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, zlib.error
)  # fmt: skip
"""What it leads to when stored contents are not what they should be."""
NETWORK_FILE = re.compile(r"\.?[0-9a-f]{32}\.safetensors(\.\d+)?")
"""A kept network, or what is left of one if its writing was killed."""


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
            path = sqlite_file(parsed)
            file = None if path is None else SQLite(path, self.shown, create)
            # That of other databases is in a folder that all users share, and all take turns.
            digest = hashlib.sha256(str(parsed).encode()).hexdigest()[:16]
            common = Path(tempfile.gettempdir()) / f"hw1-{digest}.lock"
            self.lock: AbstractContextManager[object]
            self.lock = Lock(common, self.shown) if file is None else file.lock
            if file is not None and file.version == optuna.__version__:
                self._attach(url, file.engine_kwargs)
            else:
                with self.lock, warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                    super().__init__(
                        url,
                        None if file is None else file.engine_kwargs,
                        heartbeat_interval=HEARTBEAT_SECONDS,
                        grace_period=GRACE_SECONDS,
                    )
            if file is not None:
                file.attend(self.engine)
        except InputError:
            raise
        except (ImportError, NoSuchModuleError) as error:
            raise InputError(
                f"the driver for storage {self.shown} is not installed: "
                f"{without(str(error), secrets(url))}"
            ) from None  # whose text may hold a password
        except (
            OSError, RuntimeError, sqlite3.Error, SQLAlchemyError, StorageInternalError
        ) as error:  # fmt: skip
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            reason = without(reason, secrets(url))
            raise InputError(
                f"cannot open storage {self.shown} ({reason}): check that it exists, can be "
                "written and is an Optuna database"
            ) from None

    def _attach(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """What Optuna's constructor does, where this version of Optuna has made the tables.

        Optuna's also imports alembic to compare versions, for longer than a query takes.
        """
        self.url, self.engine_kwargs, self.skip_compatibility_check = url, engine_kwargs, False
        self.heartbeat_interval, self.grace_period = HEARTBEAT_SECONDS, GRACE_SECONDS
        self.heartbeat_stale_trial_callback = self.failed_trial_callback = None
        self.engine = create_engine(url, **engine_kwargs)

    @cached_property
    def scoped_session(self) -> Any:  # type: ignore[override]  # Optuna's constructor sets it
        """What Optuna's own methods ask the database with; those that read a study do without."""
        from sqlalchemy.orm import scoped_session, sessionmaker

        return scoped_session(sessionmaker(bind=self.engine))

    @cached_property
    def _version_manager(self) -> Any:  # type: ignore[override]  # of which the dashboard asks
        from optuna.storages._rdb.storage import _VersionManager

        return _VersionManager(self.url, self.engine, self.scoped_session)

    def get_study_id_from_name(self, study_name: str) -> int:
        """See Optuna. There as below rows become objects, for longer than the query takes."""
        query = select(STUDIES.c.study_id).where(STUDIES.c.study_name == study_name)
        with self.engine.begin() as connection:
            study_id = connection.scalar(query)
        if study_id is None:
            raise KeyError(f"there is no study {study_name!r}")
        return int(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See Optuna."""
        query = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id)
        with self.engine.begin() as connection:
            require_study(connection, study_id)
            return list(connection.scalars(query.order_by(DIRECTIONS.c.objective)))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See Optuna."""
        with self.engine.begin() as connection:
            return read_attributes(connection, study_id, "user_attrs")

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See Optuna."""
        with self.engine.begin() as connection:
            return read_attributes(connection, study_id, "system_attrs")

    @contextmanager
    def readable(self, what: str) -> Iterator[None]:
        """Raise an `InputError` for contents, of the study ``what``, that cannot be understood."""
        try:
            yield
        except InputError:
            raise
        except UNREADABLE as error:
            reason, _, _ = f"{type(error).__name__}: {error}".partition("\n")
            raise InputError(
                f"{what} in {self.shown} is damaged ({printable(reason, keep='')}): restore the "
                "database from a copy, or delete the study"
            ) from error

    def study_names(self) -> list[str]:
        """The names of all studies, in alphabetical order, whatever state the studies are in."""
        with self.engine.begin() as connection:
            return sorted(connection.scalars(select(STUDIES.c.study_name)))

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
        Optuna's plots call its values ``metric``.
        """
        system_attrs = {**system_attrs, _SYSTEM_ATTR_METRIC_NAMES: [metric]}
        with suppress(IntegrityError), self.engine.begin() as connection:
            added = connection.execute(insert(STUDIES).values(study_name=name))
            study_id = next(iter(added.inserted_primary_key or ()))
            row = {"study_id": study_id, "objective": 0, "direction": direction}
            connection.execute(insert(DIRECTIONS), row)
            for kind, attributes in (("user_attrs", user_attrs), ("system_attrs", system_attrs)):
                rows = [attribute_row("study", study_id, *item) for item in attributes.items()]
                connection.execute(insert(STUDY_ATTRIBUTES[kind]), rows)

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
        """
        with self.engine.begin() as connection:
            # As Optuna does, for numbers are counted: a study's trials are added in turn.
            require_study(connection, study_id, for_update=True)
            own = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
            count = select(func.count()).select_from(own.subquery())
            if connection.scalar(count) != trials[0].number:
                return None
            rows = [{"study_id": study_id, **trial_row(trial)} for trial in trials]
            connection.execute(insert(TRIALS), rows)
            new = own.where(TRIALS.c.number >= trials[0].number).order_by(TRIALS.c.number)
            ids = list(connection.scalars(new))
            known = self._check_distributions(connection, study_id, trials)
            write_contents(connection, dict(zip(ids, trials, strict=True)))
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
        """
        with self.engine.begin() as connection:
            states: dict[int, TrialState] = {}
            for ids in chunks([change.new._trial_id for change in changes]):
                # Locked until the end, in an order that is the same for all processes.
                query = select(TRIALS.c.trial_id, TRIALS.c.state).where(TRIALS.c.trial_id.in_(ids))
                query = query.order_by(TRIALS.c.trial_id).with_for_update()
                states |= {row.trial_id: row.state for row in connection.execute(query)}
            news = {
                change.new._trial_id: change.new
                for change in changes
                if states.get(change.new._trial_id) == change.before
            }
            if news:
                rows = [{"stored_id": i, **trial_row(trial)} for i, trial in news.items()]
                stored = TRIALS.c.trial_id == bindparam("stored_id")
                connection.execute(update(TRIALS).where(stored), rows)
            known = self._check_distributions(connection, study_id, news.values())
            write_contents(connection, news)
        self._distributions[study_id] = known
        return [i for i in (change.new._trial_id for change in changes) if i not in news]

    def trials_since(
        self, study_id: int, last_id: int, unfinished: Collection[int]
    ) -> list[FrozenTrial]:
        """The trials with ids above ``last_id``, and those with the ids in ``unfinished``.

        They are the caller's to change: no cache has them.

        Raises:
            KeyError: there is no such study.
            InputError: one of them is damaged.
        """
        with self.engine.begin() as connection:
            require_study(connection, study_id)
            with self.readable("a study"):
                return read_trials(connection, study_id, last_id, unfinished)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """What Optuna reads trials with."""
        trials = self.trials_since(study_id, trial_id_greater_than, included_trial_ids)
        return [trial for trial in trials if states is None or trial.state in states]

    def record_heartbeats(self, trial_ids: Sequence[int]) -> None:
        """Say that the process of these trials lives, in one transaction."""
        with suppress(IntegrityError), self.engine.begin() as connection:
            named = HEARTBEATS.c.trial_id.in_(trial_ids)
            known = set(connection.scalars(select(HEARTBEATS.c.trial_id).where(named)))
            now = func.current_timestamp()
            connection.execute(update(HEARTBEATS).where(named).values(heartbeat=now))
            for trial_id in set(trial_ids) - known:
                row = {"trial_id": trial_id, "heartbeat": now}
                connection.execute(insert(HEARTBEATS).values(row))

    def last_completed(self, study_id: int) -> tuple[Any, ...]:
        """Something that is another as soon as another trial of a study has completed."""
        query = select(func.count(), func.max(TRIALS.c.datetime_complete)).where(
            TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.COMPLETE
        )
        with self.engine.begin() as connection:
            return tuple(connection.execute(query).one())

    def stale_trials(self, study_id: int) -> set[int]:
        """The numbers of running trials whose last heartbeat is over `GRACE_SECONDS` ago."""
        stale = TRIALS.c.trial_id.in_(self._get_stale_trial_ids(study_id))
        with self.engine.begin() as connection:
            return set(connection.scalars(select(TRIALS.c.number).where(stale)))

    def delete_study(self, study_id: int) -> None:
        """Delete a study, a damaged one too, and all that belongs to it.

        SQLite gives its id to the next one.
        """
        self._distributions.pop(study_id, None)
        own = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
        tables = MetaData()
        with self.engine.begin() as connection:
            tables.reflect(connection)  # what another version of Optuna has added, too
            # What refers to others comes before them.
            for table in reversed(tables.sorted_tables):
                if "trial_id" in table.c and table.name != TRIALS.name:
                    connection.execute(delete(table).where(table.c.trial_id.in_(own)))
                elif "study_id" in table.c:
                    connection.execute(delete(table).where(table.c.study_id == study_id))

    def _check_distributions(
        self, connection: Connection, study_id: int, trials: Collection[FrozenTrial]
    ) -> dict[str, BaseDistribution]:
        """Compare the trials' distributions with the study's earlier ones, as Optuna does.

        Returns:
            One distribution for every parameter that the study has then.
        """
        known = dict(self._distributions.get(study_id, {}))
        if any(not trial.distributions.keys() <= known.keys() for trial in trials):
            known |= read_distributions(connection, study_id)
        for trial in trials:
            for name, new in trial.distributions.items():
                check_distribution_compatibility(known.setdefault(name, new), new)
        return known


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
            "the storage is not a valid URL: give one such as sqlite:///storage/studies.db or "
            "postgresql://user@host/database, with other characters in a password than letters "
            "and digits as %40 for @"
        ) from None
    return hide(url)


def artifact_folder(url: str) -> Path:
    """Where the files that belong to a storage's studies are: beside a SQLite file, else here."""
    path = sqlite_file(make_url(url))
    return (home() / "storage" if path is None else path.parent) / "artifacts"


def file_stem(name: str) -> str:
    """The name of a study, as far as a file can have it."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def networks_folder(url: str, name: str) -> Path:
    """Where the trained networks of a study are kept; see `hw1.unfinished`."""
    return artifact_folder(url).with_name("networks") / file_stem(name)


def remove_networks(url: str, name: str) -> None:
    """Remove the networks that are kept for a study, and no file of the user's beside them."""
    folder = networks_folder(url, name)
    with suppress(OSError):  # there is none, or it may not be changed
        for path in folder.iterdir():
            if NETWORK_FILE.fullmatch(path.name):
                path.unlink()
        folder.rmdir()
