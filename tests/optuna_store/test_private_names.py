"""What hw1 takes of the private parts of Optuna and its dashboard: an upgrade that changes one of
them fails here, by its name."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, create_trial
from optuna_dashboard import _custom_plot_data, _note
from optuna_dashboard.artifact import _backend
from sqlalchemy import Enum, Table

from hw1.optuna_store import tables

ROOM = Path(tables.__file__).parent
STUDY = optuna.create_study()
# Owners of private names, as code elsewhere meets them.
OWNERS: dict[str, Any] = {
    "study": STUDY,
    "trial": create_trial(value=0.0),
    "running trial": STUDY.ask(),
    "distribution": optuna.distributions.FloatDistribution(0, 1),
    "storage": optuna.storages.RDBStorage,
    "tpe": optuna.samplers.TPESampler(),
    "cmaes": optuna.samplers.CmaEsSampler(),
}
PRIVATE = {
    name
    for owner in OWNERS.values()
    for name in dir(owner)
    if name.startswith("_") and not name.startswith("__")
}
DASHBOARD_KEYS = ("dashboard:", "artifacts:")


def private_names_used(path: Path) -> set[str]:
    """The private names of Optuna, and the keys of its dashboard, in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found |= {part for part in parts if part.startswith("_")}
        elif isinstance(node, ast.Import):
            parts = [part for a in node.names for part in a.name.split(".") if "optuna" in a.name]
            found |= {part for part in parts if part.startswith("_")}
        elif isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own or path.parent == ROOM:
                found.add(node.attr)
        elif isinstance(node, ast.FunctionDef) and path.parent == ROOM:
            found |= {node.name} & PRIVATE
        elif isinstance(node, ast.Constant) and str(node.value).startswith(DASHBOARD_KEYS):
            found.add(str(node.value))
    return found


# Each private name, of what it is one, and with which parameters it is called or replaced.
NAMES: list[tuple[str, str, str]] = [
    ("trial", "_trial_id", ""),
    ("study", "_study_id", ""),
    ("storage", "_get_trials", "self study_id states included_trial_ids trial_id_greater_than"),
    ("storage", "_get_stale_trial_ids", "self study_id"),
    ("tpe", "_search_space", ""),
    ("cmaes", "_search_space", ""),
    ("cmaes", "_attr_key_generation", ""),
    ("cmaes", "_init_optimizer", "trans direction"),
    ("cmaes", "_restore_optimizer", "completed_trials"),
    ("optuna._transform", "_SearchSpaceTransform", ""),
    ("optuna.storages._rdb.storage", "_VersionManager", "url engine scoped_session"),
    ("optuna.study.study", "_SYSTEM_ATTR_METRIC_NAMES", ""),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), NAMES)
def test_a_private_name_is_there(owner: str, name: str, parameters: str) -> None:
    thing = OWNERS.get(owner) or importlib.import_module(owner)
    assert hasattr(thing, name), f"{owner} has no {name} any more: see where hw1 uses it"
    if parameters:
        assert list(inspect.signature(getattr(thing, name)).parameters) == parameters.split()


def test_every_private_name_is_named_here() -> None:
    used = set().union(*map(private_names_used, ROOM.glob("*.py")))
    keys = {
        _note.note_str_key_prefix(None),
        _note.note_ver_key(None),
        _backend.ARTIFACTS_ATTR_PREFIX,
    }
    keys |= {_custom_plot_data.SYSTEM_ATTR_PLOT_DATA, _backend.DASHBOARD_ARTIFACTS_ATTR_PREFIX}
    named = {name for _, name, _ in NAMES} | {"_transform", "_rdb"}
    own = {"_storage", "_distributions"}  # hw1's, called like some of Optuna's
    assert used <= named | keys | own, "name it here, too"
    assert keys <= used, "the dashboard keeps what is shown under other keys"


@pytest.mark.parametrize("table", tables.TABLES.sorted_tables, ids=str)
def test_a_table_is_as_optuna_has_it(table: Table) -> None:
    theirs = models.BaseModel.metadata.tables[table.name]
    for column in table.columns:
        other = theirs.columns[column.name]
        assert column.primary_key == other.primary_key
        assert column.type.python_type == other.type.python_type or isinstance(column.type, Enum)
        if isinstance(column.type, Enum):
            assert isinstance(other.type, Enum)
            assert (column.type.name, column.type.enums) == (other.type.name, other.type.enums)


def test_a_trial_is_made_with_its_id() -> None:
    assert "trial_id" in inspect.signature(FrozenTrial).parameters
