from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution, distribution_to_json

from hw1.analysis.report.content import StudyContent, collect
from hw1.analysis.report.document import Table
from hw1.analysis.report.parameters import best_tables, constants_text, grid_text, space_tables
from hw1.analysis.report.wording import Text
from hw1.words import plus_minus, value_text

Made = Any


def study(made: Made, name: str = "made", **settings: Any) -> StudyContent:
    return collect([made.study(name, **settings)], made.figures).studies[0]


def plain(text: Text) -> str:
    return "".join(span if isinstance(span, str) else getattr(span, "text", "") for span in text)


def by_name(table: Table) -> dict[str, list[str]]:
    return {plain(row[0]): [plain(cell) for cell in row[1:]] for row in table.rows}


def test_the_search_space_is_a_table_with_groups_and_conditions(made: Made) -> None:
    found = study(made, n_trials=9)
    (table,) = space_tables([[found]])
    rows = by_name(table)
    assert rows["lr"] == ["0.0001 to 0.1, log"]
    assert rows["width"] == ["8 to 128, log"]
    assert rows["initialization"] == ["default, kaiming_normal, xavier_uniform"]
    assert rows["momentum"] == ["0.5 to 0.95; with optimizer sgd"]
    names = list(rows)
    assert names.index("Architecture") < names.index("width") < names.index("Optimisation")
    assert names.index("Regularisation") < names.index("dropout")
    assert set(found.distributions) <= set(names)


def test_the_condition_is_that_of_the_definition_however_few_trials_there_are(made: Made) -> None:
    found = study(made, n_trials=3)
    for trial in found.trials:
        # In these trials a schedule would explain it, too.
        trial.params["initialization"] = "default" if "momentum" in trial.params else "other"
    (table,) = space_tables([[found]])
    assert by_name(table)["momentum"] == ["0.5 to 0.95; with optimizer sgd"]


def test_of_a_definition_that_has_changed_the_trials_are_counted(made: Made) -> None:
    results = made.study(n_trials=9)
    path = Path(results.settings.definition)
    path.write_text(path.read_text().replace("1e-4", "2e-4"))
    (found,) = collect([made.open("made")], made.figures).studies
    having = [t for t in found.trials if "momentum" in t.params and t.trained]
    (table,) = space_tables([[found]])
    assert by_name(table)["momentum"] == [f"0.5 to 0.95; in {len(having)} of 9 trials"]


def test_several_spaces_stand_side_by_side_and_in_several_tables(made: Made) -> None:
    other = {"lr": distribution_to_json(FloatDistribution(0.5, 2))}
    found = [[study(made, name, search_space=other if name == "b" else {})] for name in "abcd"]
    tables = space_tables(found)
    assert [len(table.columns) for table in tables] == [4, 2]
    assert by_name(tables[0])["lr"] == ["–", "0.5 to 2", "–"]


def test_a_range_that_changes_with_the_trial_is_told_in_full(made: Made) -> None:
    texts = [distribution_to_json(FloatDistribution(0, high)) for high in (1, 2)]
    found = study(made, search_space={"x": " ".join(texts)})
    (table,) = space_tables([[found]])
    assert by_name(table)["x"] == ["0 to 1; or 0 to 2; in no trial"]


def test_the_best_hyperparameters_are_those_of_the_best_trial(made: Made) -> None:
    found = [study(made, name, seed=i) for i, name in enumerate("abcdef")]
    tables = best_tables(found)
    assert [len(table.columns) for table in tables] == [6, 2]
    rows = by_name(tables[0])
    for i, one in enumerate(found[:5]):
        trial = made.open(one.name).study.best_trial()
        assert rows["trial"][i] == str(trial.number)
        assert rows["value"][i] == plus_minus(trial.value, trial.user_attrs["std"])
        for name in one.distributions:
            expected = value_text(trial.params[name]) if name in trial.params else "–"
            assert rows.get(name, ["–"] * 5)[i] == expected


def test_a_grid_is_told_by_what_it_varies_and_what_it_holds(made: Made) -> None:
    grid = [{"lr": lr, "width": w, "batch_norm": False} for lr in (1e-5, 0.1) for w in (8, 16)]
    text = grid_text(study(made, sampler="grid", grid=grid))
    assert text is not None
    assert plain(text) == (
        "The grid of made has 4 cells: lr 1 × 10⁻⁵, 0.1; width 8, 16. It holds batch norm no."
    )
    assert grid_text(study(made, "other")) is None


def test_what_all_trials_share_is_told_unless_it_is_off(made: Made) -> None:
    text = constants_text([study(made)])
    assert "patience 7" in text and "epochs 30" in text
    assert "lr" not in text  # searched
    assert "label smoothing" not in text and "flip" not in text  # off
