"""Which way imports run."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT
from optuna_store.test_private_names import private_names_used

MODULES = sorted((ROOT / "hw1").rglob("*.py"))
# From the ground up: a room imports from rooms below it alone.
FLOORS = [
    ["errors", "interruption", "places", "processes", "provenance", "watching", "words"],
    ["passwords"],
    ["locks", "tasks"],
    ["datasets"],
    ["models"],
    ["training"],
    ["unfinished"],
    ["cross_validation"],
    ["optuna_store"],
    ["names", "standings"],
    ["definition"],
    ["objective"],
    ["samplers"],
    ["study", "study_files"],
    ["worker"],
    ["rounds"],
    ["job"],
    ["execution", "console", "rows"],
    ["progress"],
    ["analysis"],
    ["api", "dashboard"],
    ["cli"],
]
OPTUNA_STARTS_AT = FLOORS.index(["optuna_store"])


def imported(path: Path) -> set[str]:
    """The modules that a file imports, those within functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(name: str) -> str:
    return name.split(".")[1]


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_downwards(path: Path) -> None:
    name = module_name(path)
    if name == "hw1":
        assert not [other for other in imported(path) if other.startswith("hw1")]
        return
    here = room(name)
    for other in imported(path):
        top = other.split(".")[0]
        assert top not in ("studies", "run_study", "tests"), f"{name} imports {other}"
        if top == "hw1" and other != "hw1" and room(other) != here:
            assert floor(room(other)) < floor(here), f"{name} imports {other}"
        if top in ("optuna", "optuna_dashboard"):
            assert floor(here) >= OPTUNA_STARTS_AT, f"{name} knows Optuna"
        if top in ("sqlalchemy", "sqlite3"):
            assert here == "optuna_store", f"{name} knows SQL"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_private_names_of_optuna_stay_in_one_room(path: Path) -> None:
    """That its tests name each of them is a test there."""
    if path.parent.name != "optuna_store":
        assert not private_names_used(path)


def test_there_is_no_circle_of_modules() -> None:
    graph = {
        module_name(path): {
            target
            for other in imported(path)
            for target in map(module_name, MODULES)
            if other == target or other.rpartition(".")[0] == target
        }
        for path in MODULES
    }
    for name in graph:
        graph[name].discard(name)
    while graph:
        free = {name for name, others in graph.items() if not others & graph.keys()}
        assert free, f"a circle among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in free}


def test_the_reference_shares_no_formula_with_the_backends() -> None:
    others = imported(ROOT / "hw1" / "training" / "reference.py")
    shared = ("rules", "optimizers", "update", "gradients", "lockstep", "compiled", "fused")
    assert others
    assert not any(part in name for name in others for part in (*shared, "stacked", "hw1.tasks"))
