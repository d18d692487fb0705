"""Optuna's tables, which hw1 reads and writes for many trials in one transaction.

The columns are those that are used here; a test compares them with Optuna's.
"""

import functools
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Enum,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
)

CHUNK = 300
"""How many rows a statement names at most: databases limit a statement's parameters."""
TABLES = MetaData()


def _table(name: str, **columns: Any) -> Table:
    """A table of columns of these types, the first of which is its key."""
    key = next(iter(columns))
    made = [Column(column, kind, primary_key=column == key) for column, kind in columns.items()]
    return Table(name, TABLES, *made)


KINDS = ("FINITE", "INF_POS", "INF_NEG", "NAN")
"""Of numbers: databases do not take those that are not finite."""
NUMBERS = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}

STUDIES = _table("studies", study_id=Integer, study_name=String)
DIRECTIONS = _table(
    "study_directions",
    study_direction_id=Integer,
    study_id=Integer,
    objective=Integer,
    direction=Enum(StudyDirection),
)
TRIALS = _table(
    "trials",
    trial_id=Integer,
    number=Integer,
    study_id=Integer,
    state=Enum(TrialState),
    datetime_start=DateTime,
    datetime_complete=DateTime,
)
PARAMS = _table(
    "trial_params",
    param_id=Integer,
    trial_id=Integer,
    param_name=String,
    param_value=Float,
    distribution_json=Text,
)
VALUES = _table(
    "trial_values",
    trial_value_id=Integer,
    trial_id=Integer,
    objective=Integer,
    value=Float,
    value_type=Enum(*KINDS[:3], name="trialvaluetype"),
)
REPORTS = _table(
    "trial_intermediate_values",
    trial_intermediate_value_id=Integer,
    trial_id=Integer,
    step=Integer,
    intermediate_value=Float,
    intermediate_value_type=Enum(*KINDS, name="trialintermediatevaluetype"),
)
HEARTBEATS = _table(
    "trial_heartbeats", trial_heartbeat_id=Integer, trial_id=Integer, heartbeat=DateTime
)
STUDY_ATTRIBUTES, TRIAL_ATTRIBUTES = (
    {
        kind: _table(
            f"{owner}_{name}_attributes",
            **{f"{owner}_{name}_attribute_id": Integer, f"{owner}_id": Integer},
            key=String,
            value_json=Text,
        )
        for kind, name in (("user_attrs", "user"), ("system_attrs", "system"))
    }
    for owner in ("study", "trial")
)


def trial_row(trial: FrozenTrial) -> dict[str, Any]:
    """What the table of trials holds of a trial besides its ids."""
    row: dict[str, Any] = {"number": trial.number, "state": trial.state}
    for name in ("datetime_start", "datetime_complete"):
        time = getattr(trial, name)
        row[name] = time and time.astimezone(timezone.utc).replace(tzinfo=None)
    return row


def _local(time: datetime | None) -> datetime | None:
    """A stored time, which is UTC, as Optuna gives it."""
    return time and time.replace(tzinfo=timezone.utc).astimezone().replace(tzinfo=None)


def write_contents(connection: Connection, trials: Mapping[int, FrozenTrial]) -> None:
    """Insert all that trials hold, by their stored ids, in the form in which Optuna reads it."""
    values = [
        {"trial_id": i, "objective": objective, "value": number, "value_type": kind}
        for i, trial in trials.items()
        for objective, exact in enumerate(trial.values or ())
        for number, kind in [_stored(exact)]
    ]
    reports = [
        {"trial_id": i, "step": s, "intermediate_value": number, "intermediate_value_type": kind}
        for i, trial in trials.items()
        for s, exact in trial.intermediate_values.items()
        for number, kind in [_stored(exact)]
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
    for table, rows in ((VALUES, values), (REPORTS, reports), (PARAMS, params)):
        if rows:
            connection.execute(insert(table), rows)
    for name, table in TRIAL_ATTRIBUTES.items():
        attributes = [
            attribute_row("trial", i, key, attribute)
            for i, trial in trials.items()
            for key, attribute in getattr(trial, name).items()
        ]
        for chunk in chunks(attributes):
            old = [(row["trial_id"], row["key"]) for row in chunk]
            named = tuple_(table.c.trial_id, table.c.key).in_(old)
            connection.execute(delete(table).where(named))
        if attributes:
            connection.execute(insert(table), attributes)


def attribute_row(owner: str, owner_id: int, key: str, value: Any) -> dict[str, Any]:
    """A row of an attribute's table.

    Raises:
        TypeError: the value cannot be written as JSON.
    """
    return {f"{owner}_id": owner_id, "key": key, "value_json": json.dumps(value)}


def require_study(connection: Connection, study_id: int, *, for_update: bool = False) -> None:
    """Raise a KeyError if there is no such study."""
    query = select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id)
    if connection.scalar(query.with_for_update() if for_update else query) is None:
        raise KeyError(f"there is no study {study_id}")


def read_attributes(connection: Connection, study_id: int, kind: str) -> dict[str, Any]:
    """A study's attributes: a ``kind`` of `STUDY_ATTRIBUTES`."""
    require_study(connection, study_id)
    table = STUDY_ATTRIBUTES[kind]
    query = select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
    return {key: json.loads(text) for key, text in connection.execute(query)}


def read_distributions(connection: Connection, study_id: int) -> dict[str, BaseDistribution]:
    """A distribution for every parameter of a study; any will do, for all go with each other."""
    query = (
        select(PARAMS.c.param_name, func.min(PARAMS.c.distribution_json))
        .join(TRIALS, TRIALS.c.trial_id == PARAMS.c.trial_id)
        .where(TRIALS.c.study_id == study_id)
        .group_by(PARAMS.c.param_name)
    )
    return {name: json_to_distribution(text) for name, text in connection.execute(query)}


def read_trials(
    connection: Connection, study_id: int, last_id: int, others: Collection[int]
) -> list[FrozenTrial]:
    """The trials of a study with ids above ``last_id`` or among ``others``, ordered by id.

    Optuna takes seven times as long: it makes an object of each row.
    """
    # Written into the statement, for parameters are limited in number.
    named: ColumnElement[Any] = bindparam(
        "others", sorted(others), expanding=True, literal_execute=True
    )
    wanted = (TRIALS.c.trial_id > last_id) | TRIALS.c.trial_id.in_(named)
    query = select(TRIALS).where(TRIALS.c.study_id == study_id, wanted)
    trials = {
        row.trial_id: FrozenTrial(
            trial_id=row.trial_id,
            number=row.number,
            state=row.state,
            value=None,
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        for row in connection.execute(query.order_by(TRIALS.c.trial_id))
    }
    if trials:
        _read_contents(connection, trials, query.with_only_columns(TRIALS.c.trial_id))
    for trial in trials.values():
        _check(trial)
    return list(trials.values())


def _read_contents(
    connection: Connection, trials: Mapping[int, FrozenTrial], ids: Select[Any]
) -> None:
    def rows(table: Table) -> Iterator[Any]:
        query = select(table).where(table.c.trial_id.in_(ids)).order_by(*table.primary_key)
        for _, trial_id, *row in connection.execute(query):
            yield trials[trial_id], *row

    parse = functools.cache(json_to_distribution)  # most trials have the same ones
    for trial, name, number, text in rows(PARAMS):
        trial.distributions[name] = parse(text)
        trial.params[name] = parse(text).to_external_repr(number)
    for trial, _, number, kind in rows(VALUES):
        trial.values = [*(trial.values or ()), NUMBERS.get(kind, number)]
    for trial, step, number, kind in rows(REPORTS):
        trial.intermediate_values[step] = NUMBERS.get(kind, number)
    for attributes, table in TRIAL_ATTRIBUTES.items():
        for trial, key, text in rows(table):
            getattr(trial, attributes)[key] = json.loads(text)


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


def _stored(number: float) -> tuple[float | None, str]:
    if math.isfinite(number):
        return number, "FINITE"
    return None, "NAN" if math.isnan(number) else "INF_POS" if number > 0 else "INF_NEG"


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts of `CHUNK` items at most."""
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
