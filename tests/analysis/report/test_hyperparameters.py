from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from hw1.analysis.report.hyperparameters import at_edge, distribution_text, table, varied
from hw1.analysis.report.write import written
from hw1.training import Configuration
from hw1.training.augmentation import Views

Made = Any


def test_the_search_space_has_groups_and_conditions(made: Made) -> None:
    found = made.only(made.study(n_trials=9))
    expected = {
        "width": ("architecture", "8 to 128, log"),
        "optimizer": ("optimization", "sgd, adam"),
        "learning rate": ("optimization", "0.0001 to 0.1, log"),
        "momentum": ("optimization", "0.5 to 0.95; with optimizer sgd"),
        "weight initialization": ("optimization", "default, kaiming_normal, xavier_uniform"),
        "dropout": ("regularization", "0 to 0.3"),
    }
    rows = [(g, *row) for g, those in table([found.searched]).items() for row in those]
    assert {words: (group, cells[0]) for group, words, cells in rows} == expected
    groups = [group for group, _, _ in rows]
    assert groups == sorted(groups)


def test_the_condition_is_that_of_the_definition_however_few_trials_there_are(made: Made) -> None:
    found = made.only(made.study(n_trials=3))
    for trial in found.trials:
        # In these trials a schedule would explain it, too.
        trial.params["initialization"] = "default" if "momentum" in trial.params else "other"
    assert found.searched["momentum"] == "0.5 to 0.95; with optimizer sgd"


def test_of_a_definition_that_has_changed_the_trials_are_counted(made: Made) -> None:
    results = made.study(n_trials=9)
    path = Path(results.settings.definition)
    path.write_text(path.read_text().replace("1e-4", "2e-4"))
    (found,) = made.facts(made.open("made")).studies
    having = sum("momentum" in trial.params for trial in found.trials)
    assert found.searched["momentum"] == f"0.5 to 0.95; in {having} of 9 trials"


def test_a_range_that_changes_with_the_trial_is_told_in_full(made: Made) -> None:
    texts = [distribution_to_json(FloatDistribution(0, high)) for high in (1, 2)]
    found = made.only(made.study(search_space={"x": " ".join(texts)}))
    assert found.searched == {"x": "0 to 1; or 0 to 2; in no trial"}


def test_a_parameter_for_a_part_of_the_space_stands_beside_that_of_the_whole() -> None:
    one = {"sgd_lr": "1", "l1": "2", "width_10": "3", "width_9": "4", "flip": "6"}
    assert [row for rows in table([one, {"lr": "5"}]).values() for row in rows] == [
        ("width 9", ["4", "–"]),
        ("width 10", ["3", "–"]),
        ("learning rate", ["–", "5"]),
        ("sgd learning rate", ["1", "–"]),
        ("L1 penalty", ["2", "–"]),
        ("horizontal flips", ["6", "–"]),
    ]


def test_a_grid_is_told_by_what_it_varies_and_what_it_holds() -> None:
    grid = [{"lr": lr, "width": w, "batch_norm": False} for lr in (1e-5, 0.1) for w in (8, 16)]
    changed, held = varied(grid)
    assert changed == {"learning rate": "1 × 10⁻⁵, 0.1", "width": "8, 16"}
    assert held == {"batch norm": "no"}


def test_what_all_trials_share_is_told_unless_it_is_off(made: Made) -> None:
    text = made.only(made.study()).constants
    assert "early-stopping patience 7" in text and "epochs 30" in text
    assert "learning rate" not in text  # searched
    assert "label smoothing" not in text and "flip" not in text  # off


@pytest.mark.parametrize("views", ["one", "mirrored"])
def test_networks_that_average_over_views_are_told(made: Made, views: Views) -> None:
    kept = {"configuration": Configuration(views=views).to_json()}
    facts = made.facts(made.study(kept=kept))
    assert ("averaged over several views" in written(facts)[0]) is (views != "one")


def test_values_at_the_edge_of_their_range_are_found() -> None:
    log = FloatDistribution(1e-4, 1e-1, log=True)
    assert [at_edge(log, value) for value in (1.1e-4, 1e-2, 0.09)] == [True, False, True]
    assert not at_edge(FloatDistribution(0, 0.5), 0)  # off
    assert at_edge(FloatDistribution(0, 0.5), 0.49)
    assert at_edge(IntDistribution(8, 128), 128) and not at_edge(IntDistribution(1, 3), 3)
    assert not at_edge(CategoricalDistribution([1, 2]), 2)


def test_distributions_are_told_with_range_scale_and_step() -> None:
    assert distribution_text(FloatDistribution(1e-5, 0.1, log=True)) == "1 × 10⁻⁵ to 0.1, log"
    assert distribution_text(FloatDistribution(0, 0.5, step=0.25)) == "0 to 0.5, step 0.25"
    assert distribution_text(IntDistribution(2, 8, step=2)) == "2 to 8, step 2"
    choices = CategoricalDistribution([None, True, False, 1.5, "relu"])
    assert distribution_text(choices) == "none, yes, no, 1.5, relu"
