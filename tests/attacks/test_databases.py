"""Damaged databases: pages, rows and the JSON in them."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from attacks.figures import size
from attacks.mutations import ODD, attack, damaged, damaged_json, some
from attacks.program import IMPATIENCE, Outcome, Program

COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("best", "small"),
    ("trials", "small"),
    ("trials", "small", "--json"),
    ("run", "regression_mlp", "--name", "small", "--trials", "5", "--epochs", "2"),
    ("export", "small", "--output", "new.safetensors"),
    ("delete", "small", "--yes"),
)
READERS = (
    ("evaluate", "small", "--repeats", "1", "--seeds", "1", "--nested", "2x2"),
    ("compare", "small", "other", "--repeats", "1"),
    ("ablate", "small", "--repeats", "1", "--only", "dropout"),
    ("report", "small", "--output", "report.pdf"),
    ("analyze", "small", "--output", "figures"),
    ("replay", "small", "0"),
)
"""Commands that read what is kept with trials and what analyses have stored."""
ATTRIBUTES = [
    f"{owner}_{kind}_attributes" for owner in ("study", "trial") for kind in ("user", "system")
]
VALUES = {
    "studies": ["study_name"],
    "study_directions": ["direction", "objective"],
    "trials": ["number", "state", "datetime_start", "datetime_complete"],
    "trial_params": ["param_name", "param_value", "distribution_json"],
    "trial_values": ["value", "objective", "value_type"],
    "trial_intermediate_values": ["step", "intermediate_value", "intermediate_value_type"],
    "version_info": ["schema_version", "library_version"],
    "alembic_version": ["version_num"],
}


RECORDS = (
    "key LIKE 'evaluation:%' OR "
    "key IN ('ablation', 'provenance', 'curves', 'training_scores', 'batch', 'configuration')"
)


def damage_records(random: Random, path: Path) -> str:
    """Damage what `READERS` read; answer how."""
    with closing(sqlite3.connect(path)) as connection, connection:
        found = {
            key: (table, text)
            for table in ("study_user_attributes", "trial_user_attributes")
            for key, text in connection.execute(
                f"SELECT key, value_json FROM {table} WHERE {RECORDS} ORDER BY 1, 2"
            )
        }
        key = some(random, sorted(found))
        table, text = found[key]
        value = damaged_json(random, text)
        connection.execute(f"UPDATE {table} SET value_json = ? WHERE key = ?", (value, key))
    return f"{key} {value}"


def damage(random: Random, path: Path) -> str:
    """Damage a database; answer how."""
    kind = random.randrange(4)
    if kind == 0:
        path.write_bytes(damaged(random, path.read_bytes()))
        return "bytes"
    with closing(sqlite3.connect(path)) as connection, connection:
        if kind == 1:
            table = some(random, sorted({*ATTRIBUTES, *VALUES}))
            if random.random() < 0.2:
                statement, values = f"DROP TABLE {table}", []
            else:
                where = f"rowid % {random.choice((1, 2, 3))} = 0"
                statement, values = f"DELETE FROM {table} WHERE {where}", []
        elif kind == 2:
            table = some(random, list(VALUES))
            odd = (*(text for text in ODD if text.isprintable()), None, -1, 0, 2, 1e300, b"\xff")
            statement = f"UPDATE OR IGNORE {table} SET {some(random, VALUES[table])} = ?"
            statement += f" WHERE rowid % {random.choice((1, 2))} = 0"
            values = [some(random, odd)]
        else:
            table = some(random, ATTRIBUTES)
            key, text = some(
                random, connection.execute(f"SELECT key, value_json FROM {table}").fetchall()
            )
            broken = some(random, ("", "{", "\x00", "NaN", "1" * 5000, "[" * 5000))
            value = damaged_json(random, text) if random.random() < 0.8 else broken
            statement = f"UPDATE {table} SET value_json = ? WHERE key = ?"
            values = [value, key]
        try:
            connection.execute(statement, values)
        except (sqlite3.Error, UnicodeEncodeError):
            return "nothing"
    return f"{statement} {json.dumps(values, default=str)}"


@pytest.mark.parametrize(
    ("kind", "how_to", "commands", "count"),
    [
        ("databases", damage, (*COMMANDS, *READERS), size(20, 300)),
        ("records", damage_records, READERS, size(6, 150)),
    ],
)
def test_a_damaged_database_is_read_or_an_input_error(
    program: Program,
    small: Path,
    tmp_path: Path,
    kind: str,
    how_to: Callable[[Random, Path], str],
    commands: tuple[tuple[str, ...], ...],
    count: int,
) -> None:
    folder = tmp_path / "here"

    def case(random: Random) -> tuple[str, Outcome]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(small, folder)
        how = how_to(random, folder / "studies.db")
        arguments = some(random, commands)
        outcome = program.call(*arguments, folder=folder, patience=IMPATIENCE)
        return f"{arguments}, {how}", outcome

    attack(kind, count, case)
