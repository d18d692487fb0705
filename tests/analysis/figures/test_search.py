"""The figures' numbers are compared with the trials they are made from."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import TINY_CLASSIFICATION
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from hw1.analysis.figures import search
from hw1.analysis.figures.marks import Bars, Contour, Figure, HeatMap, Mark, Points
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.plotly import draw as to_plotly
from hw1.analysis.figures.search_trials import Parameter, Search, Values
from hw1.errors import InputError
from hw1.samplers import SAMPLERS, make_sampler
from hw1.study import Study
from hw1.training.configuration import words_of
from hw1.words import value_text

MakeStudy = Callable[..., Study]
START = datetime(2026, 1, 1, 12)
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adam", None]),
    "batch_norm": CategoricalDistribution([False, True]),
    "depth": IntDistribution(1, 4),
    "width": IntDistribution(8, 512, log=True),
    "dropout": FloatDistribution(0, 0.5),
    "momentum": FloatDistribution(0.5, 0.95),
    "batch_size": CategoricalDistribution([16, 32]),
}


def add(
    study: Study,
    value: float | None = None,
    curve: list[float] | None = None,
    state: TrialState = TrialState.COMPLETE,
    params: dict[str, Any] | None = None,
    **attributes: Any,
) -> None:
    """Add a trial of 90 seconds that begins a minute after the one before."""
    trial = create_trial(
        state=state,
        value=value,
        params=params or {},
        distributions={name: SPACE[name] for name in params or {}},
        intermediate_values=dict(enumerate(curve or [], 1)),
        user_attrs=attributes,
    )
    trial.datetime_start = START + timedelta(minutes=len(study.trials()))
    if state.is_finished():
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=90)
    study.optuna_study.add_trial(trial)


def random_params(n: int) -> list[dict[str, Any]]:
    """Parameters of some trials, one of them conditional."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(n):
        params: dict[str, Any] = {
            "lr": float(10 ** rng.uniform(-4, -1)),
            "optimizer": ["sgd", "adam", None][rng.integers(3)],
            "batch_norm": bool(rng.integers(2)),
            "depth": int(rng.integers(1, 5)),
            "width": int(8 * 64 ** rng.random()),
            "dropout": float(0.5 * rng.random()),
            "batch_size": [16, 32][rng.integers(2)],
        }
        if params["optimizer"] == "sgd":
            params["momentum"] = float(rng.uniform(0.5, 0.95))
        drawn.append(params)
    return drawn


def draw(study: Study, n: int) -> None:
    """Add completed trials of random parameters, whose value is their `error`."""
    for params in random_params(n):
        add(study, error(params), [error(params) + 1, error(params)], params=params, std=0.1)


def error(params: dict[str, Any]) -> float:
    return 0.2 + (math.log10(params["lr"]) + 2) ** 2 + (params["optimizer"] != "adam")


@pytest.fixture
def mixed(make_study: MakeStudy) -> Study:
    """Seven trials: three completed, one pruned, one failed, one lost, one invalid."""
    study = make_study()
    add(study, 2.0, [4.0, 2.0], std=0.5)
    add(study, None, [9.0, 5.0, 6.0], TrialState.PRUNED)
    add(study, 3.0, [3.5, 3.0, 3.2], std=0.25)
    add(study, None, [], TrialState.FAIL, failure="out of memory")
    add(study, 1.0, [2.5, 1.0, 1.5], std=0.125)
    add(study, None, [], TrialState.FAIL)
    add(study, None, [], TrialState.PRUNED, refused="it pools its last pixel away")
    return study


def drawn(make: Callable[[Search], Figure | None], study: Study) -> Figure:
    """The figure of a study; there has to be one."""
    return make(Search(study))


def named(figure: Figure) -> dict[str, Any]:
    """The marks of the only panel that have a name."""
    (panel,) = figure.panels
    return {name: mark for mark in panel.marks if (name := getattr(mark, "name", ""))}


LABELS = {words_of(name): name for name in SPACE}
"""Hyperparameters by what figures call them."""


def diamonds(marks: Sequence[Mark]) -> list[Points]:
    """The marks of the best trial."""
    return [mark for mark in marks if isinstance(mark, Points) and mark.symbol == "diamond"]


def test_the_history_has_the_values_by_state(mixed: Study) -> None:
    figure = drawn(search.history, mixed)
    found = named(figure)
    assert list(found["completed"].x) == [0, 2, 4]
    assert list(found["completed"].y) == [2.0, 3.0, 1.0]
    pruned = found["pruned, at its best epoch"]
    assert (list(pruned.x), list(pruned.y)) == ([1], [5.0])
    best = found["best so far"]
    assert (best.steps, list(best.x), list(best.y)) == (True, [0, 2, 4, 6], [2, 2, 1, 1])
    assert [list(found[name].x) for name in ("out of memory", "interrupted", "invalid")] == [
        [3],
        [5],
        [6],
    ]
    assert figure.panels[0].x.whole
    assert figure.panels[0].y.label == "mean squared error (lower is better)"
    assert "trial 4 with 1 ± 0.125" in figure.caption
    assert "3 completed, 1 pruned, 1 out of memory, 1 interrupted and 1 invalid" in figure.caption


def test_higher_is_better_for_accuracy(make_study: MakeStudy) -> None:
    study = make_study(TINY_CLASSIFICATION)
    for value in (0.5, 0.9, 0.7):
        add(study, value, [value - 0.1, value], params={"lr": value / 10})
    add(study, None, [0.3, 0.4, 0.2], TrialState.PRUNED)
    figure = drawn(search.history, study)
    found = named(figure)
    assert list(found["best so far"].y) == [0.5, 0.9, 0.9, 0.9]
    assert list(found["pruned, at its best epoch"].y) == [0.4]
    assert figure.panels[0].y.label == "accuracy (higher is better)"
    assert "best (trial 1)" in named(drawn(search.intermediate_values, study))


def test_what_is_far_out_is_drawn_at_the_edge(make_study: MakeStudy) -> None:
    study = make_study()
    for value in [1.0, 1.1, 1.2, 1.3, 1.4, 1e9]:
        add(study, value, [value])
    figure = drawn(search.history, study)
    shown = named(figure)["completed"]
    assert list(shown.y[:5]) == [1.0, 1.1, 1.2, 1.3, 1.4]
    assert 100 < shown.y[5] < 1e9
    assert list(shown.symbol) == ["circle"] * 5 + ["triangle-up"]
    assert "1 trial is far worse" in figure.caption
    assert figure.panels[0].y.log


def test_the_curves(mixed: Study) -> None:
    figure = drawn(search.intermediate_values, mixed)
    found = named(figure)
    np.testing.assert_array_equal(found["pruned"].x, [1, 2, 3, np.nan])
    np.testing.assert_array_equal(found["pruned"].y, [9, 5, 6, np.nan])
    np.testing.assert_array_equal(found["completed"].y, [4, 2, np.nan, 3.5, 3, 3.2, np.nan])
    assert found["completed"].data.tolist() == [0, 0, 0, 2, 2, 2, 2]
    np.testing.assert_array_equal(found["best (trial 4)"].y[:3], [2.5, 1, 1.5])
    (diamond,) = diamonds(figure.panels[0].marks)
    assert (list(diamond.x), list(diamond.y)) == ([2], [1.0])
    assert figure.panels[0].x.whole
    assert "trial 4, reached 1 in epoch 2 of 3" in figure.caption


def test_of_very_many_curves_some_are_left_out_but_not_the_best(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "N_CURVES", 8)
    study = make_study()
    for i in range(18):
        add(study, 1.0 + i, [9.0, 1.0 + i])
    add(study, 0.5, [9.0, 0.5])
    figure = drawn(search.intermediate_values, study)
    found = named(figure)
    assert len(found["completed"].x) == 3 * 6
    assert "best (trial 18)" in found
    assert "12 curves, evenly chosen, are left out" in figure.caption


def test_importances_are_optunas(make_study: MakeStudy) -> None:
    study = make_study()
    draw(study, 40)
    figure = drawn(search.importances, study)
    (panel,) = figure.panels
    (bars,) = panel.marks
    assert isinstance(bars, Bars) and panel.y.ticks is not None
    expected = optuna.importance.get_param_importances(study.optuna_study)
    names = [name for _, name in panel.y.ticks]
    shares = dict(zip(names, bars.length, strict=True))
    assert shares == pytest.approx({words_of(name): share for name, share in expected.items()})
    assert list(bars.length) == sorted(bars.length, reverse=True)
    assert sum(bars.length) == pytest.approx(1)
    assert "learning rate" in names[:2] and "optimizer" in names[:3]


def test_a_parameter_that_never_varies_is_left_out(make_study: MakeStudy) -> None:
    study = make_study()
    for i in range(8):
        params = {"lr": 10.0 ** (-1 - i / 4), "dropout": 0.05 * i, "depth": 2}
        add(study, float(i), [1.0, 2.0], params=params)
    figure = drawn(search.importances, study)
    assert {name for _, name in figure.panels[0].y.ticks or ()} == {"learning rate", "dropout"}


def test_slices_have_the_parameters_of_the_trials(make_study: MakeStudy) -> None:
    study = make_study()
    draw(study, 30)
    figure = drawn(search.slices, study)
    best = study.best_trial()
    assert len(figure.panels) == 6  # of eight
    for panel in figure.panels:
        points, axis = panel.marks[0], panel.x
        name = LABELS[axis.label]
        having = [trial for trial in study.trials() if name in trial.params]
        values = [trial.params[name] for trial in having]
        distribution = SPACE[name]
        if isinstance(distribution, CategoricalDistribution):
            places = [distribution.choices.index(value) for value in values]
            np.testing.assert_allclose(points.x, places, atol=0.21)
            choices = [text for _, text in axis.ticks or ()]
            assert choices == [*map(value_text, distribution.choices)]
        else:
            np.testing.assert_allclose(points.x, values, atol=0.21 if name == "depth" else 0)
            assert axis.log == bool(distribution.log)
        np.testing.assert_allclose(points.y, [trial.values[0] for trial in having])
        assert list(points.color) == [trial.number for trial in having]
        assert {mark.y[0] for mark in diamonds(panel.marks)} <= {best.values[0]}
    assert "6 most important of 8 hyperparameters" in figure.caption


def test_the_smoothed_value_of_categories_is_their_mean(make_study: MakeStudy) -> None:
    study = make_study()
    values: dict[tuple[Any, Any], list[float]] = {}
    rng = np.random.default_rng(1)
    for _ in range(30):
        params = {
            "optimizer": ["sgd", "adam", None][rng.integers(3)],
            "batch_norm": bool(rng.integers(2)),
        }
        value = float(rng.uniform(1, 2))
        values.setdefault((params["optimizer"], params["batch_norm"]), []).append(value)
        add(study, value, [value], params=params)
    figure = drawn(search.contour, study)
    panel = figure.panels[0]
    surface = panel.marks[0]
    assert isinstance(surface, HeatMap)
    x, y = (LABELS[axis.label] for axis in (panel.x, panel.y))
    for i, first in enumerate(SPACE[x].choices):
        for j, second in enumerate(SPACE[y].choices):
            key = (first, second) if x == "optimizer" else (second, first)
            assert surface.values[j, i] == pytest.approx(np.mean(values[key]), rel=0.05)


def test_the_smoothed_value_of_numbers_stays_among_those_nearby(make_study: MakeStudy) -> None:
    study = make_study()
    rng = np.random.default_rng(2)
    for _ in range(60):
        dropout, lr = float(rng.uniform(0, 0.25)), float(10 ** rng.uniform(-4, -1))
        add(study, 1 + dropout, [1.0], params={"dropout": dropout, "lr": lr})
    figure = drawn(search.contour, study)
    panel = figure.panels[0]
    surface = panel.marks[0]
    assert isinstance(surface, Contour)
    z = surface.values
    across = panel.x.label == "dropout"
    z = z if across else z.T
    dropouts = surface.x if across else surface.y
    near, far = np.asarray(dropouts) <= 0.25, np.asarray(dropouts) > 0.4
    assert np.isnan(z[:, far]).all()  # no trial is near
    smooth = np.nanmean(z[:, near], axis=0)
    assert (np.diff(smooth) > 0).all()
    assert 1 <= np.nanmin(z) < 1.06 and 1.19 < np.nanmax(z) <= 1.25


def test_ranks(make_study: MakeStudy) -> None:
    study = make_study(TINY_CLASSIFICATION)
    values = [0.5, 0.9, 0.7, 0.8, 0.6]
    for i, value in enumerate(values):
        add(study, value, [value], params={"lr": 10.0 ** (-1 - i / 2), "dropout": 0.1 * i})
    figure = drawn(search.rank, study)
    (panel,) = figure.panels
    (points,) = panel.marks
    by_dropout = points.x if panel.x.label == "dropout" else points.y
    trials = np.round(10 * np.asarray(by_dropout)).astype(int).tolist()
    ranks = dict(zip(trials, points.color, strict=True))
    assert ranks == {1: 0.0, 3: 0.25, 2: 0.5, 4: 0.75, 0: 1.0}


def test_parallel_coordinates(make_study: MakeStudy) -> None:
    study = make_study()
    draw(study, 25)
    figure = drawn(search.parallel_coordinates, study)
    (lines,) = figure.panels[0].marks
    labels = [label.replace("\n", " ") for label in lines.labels]
    assert labels[-1] == "mean squared error"
    assert len(labels) == 7
    assert "momentum" not in labels  # not all trials have it
    trials = sorted(study.trials(), key=lambda trial: -trial.values[0])
    for label, column in zip(labels[:-1], lines.values.T, strict=False):
        name = LABELS[label]
        distribution = SPACE[name]
        values = [trial.params[name] for trial in trials]
        if isinstance(distribution, CategoricalDistribution):
            n = len(distribution.choices) - 1
            expected = [distribution.choices.index(value) / n for value in values]
        else:
            low, high = distribution.low, distribution.high
            if distribution.log:
                low, high, values = math.log(low), math.log(high), np.log(values).tolist()
            expected = [(value - low) / (high - low) for value in values]
        np.testing.assert_allclose(column, expected, atol=1e-9)
    assert f"trial {study.best_trial().number}, has" in figure.caption


def test_the_distribution_of_one_study_and_of_two(make_study: MakeStudy) -> None:
    first, second = make_study(), make_study(name="other")
    for value in (3.0, 1.0, 2.0, 2.0):
        add(first, value, [value])
    for value in (4.0, 5.0):
        add(second, value, [value])
    figure = search.empirical_distribution([first, second])
    found = named(figure)
    assert list(found) == ["tiny", "other"]
    line = found["tiny"]
    assert line.steps
    for value, share in ((0.99, 0), (1.5, 0.25), (2.5, 0.75), (3.5, 1)):
        before = np.asarray(line.x) <= value
        assert (np.asarray(line.y)[before][-1] if before.any() else 0) == share
    assert "2 in tiny and 4.5 in other" in figure.caption
    third = make_study(TINY_CLASSIFICATION, "third")
    with pytest.raises(InputError, match="different metrics"):
        search.empirical_distribution([first, third])


def test_the_timeline(mixed: Study) -> None:
    figure = drawn(search.timeline, mixed)
    found = named(figure)
    completed = found["completed"]
    assert list(completed.y) == [0, 2, 4]
    assert completed.base.tolist() == pytest.approx([0, 2, 4])
    assert completed.length.tolist() == pytest.approx([1.5, 1.5, 1.5])
    assert set(found) == {"completed", "pruned", "out of memory", "interrupted", "invalid"}
    assert figure.panels[0].x.label == "minutes since the first trial began"
    assert "7 min 30 s" in figure.caption


BASIC = {"search_history", "search_timeline"}
SOME = BASIC | {"search_curves", "search_distribution"}
ALONE = SOME | {"search_slices", "search_parallel"}
ALL = ALONE | {"search_importances", "search_contour", "search_rank"}
PRUNED, LR = {"state": TrialState.PRUNED}, {"lr": 0.01}
FAILED = {"state": TrialState.FAIL, "params": LR, "failure": "boom"}
SMALL: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "empty": ([], set()),
    "one trial": ([{"value": 1.0, "curve": [1.0], "params": LR}], BASIC),
    "only pruned": (
        [{**PRUNED, "curve": [1.0 + i], "params": {"lr": 0.01 * (i + 1)}} for i in range(4)],
        {"search_timeline"},
    ),
    "only failed": (
        [FAILED, {"state": TrialState.RUNNING, "params": LR}, {"state": TrialState.WAITING}],
        {"search_timeline"},
    ),
    "one parameter": (
        [
            {"value": 1.0 + i, "curve": [2.0, 1.0], "params": {"lr": 0.01 * (i + 1), "depth": 2}}
            for i in range(8)
        ],
        ALONE,
    ),
    "all the same": (
        [{"value": 1.0, "curve": [1.0, 1.0], "params": {**LR, "optimizer": None}}] * 6,
        SOME,
    ),
    "no pair": (
        [{"value": 1.0 + i, "params": {["lr", "dropout"][i % 2]: 0.1 / (i + 2)}} for i in range(6)],
        ALL - {"search_curves", "search_parallel", "search_contour"},
    ),
    "equal values": (
        [{"value": 0.0, "curve": [1.0, 0.0], "params": params} for params in random_params(8)],
        ALL,
    ),
    "not finite": (
        [
            *({"value": error(p), "curve": [2.0, 1.0], "params": p} for p in random_params(6)),
            {"value": math.inf, "curve": [math.nan, math.inf], "params": LR},
            {**PRUNED, "curve": [math.nan], "params": LR},
        ],
        ALL,
    ),
    "by plain Optuna": ([{"value": 1.0}, {"value": 2.0}], BASIC | {"search_distribution"}),
}


@pytest.mark.parametrize("name", SMALL)
def test_what_a_study_is_too_small_for_is_left_out(name: str, make_study: MakeStudy) -> None:
    study = make_study()
    trials, names = SMALL[name]
    for trial in trials:
        add(study, **trial)
    found = search.search_figures(study)
    assert {figure.name for figure in found} == names
    for figure in found:
        assert figure.caption.endswith(".")
        assert "nan" not in figure.caption
        assert "<svg" in svg(figure) and to_plotly(figure).data


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_trials_of_every_sampler_can_be_drawn(sampler: str, make_study: MakeStudy) -> None:
    study = make_study()

    def objective(trial: optuna.Trial) -> float:
        params: dict[str, Any] = {
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam", None]),
            "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
            "depth": trial.suggest_int("depth", 1, 4),
            "width": trial.suggest_int("width", 8, 512, log=True),
        }
        if params["optimizer"] == "sgd":
            trial.suggest_float("momentum", 0.5, 0.95)
        for epoch in (1, 2):
            trial.report(error(params), epoch)
        if trial.number % 5 == 4:
            raise optuna.TrialPruned
        return error(params)

    for number in range(12):
        study.optuna_study.sampler = make_sampler(sampler, 0, number)
        study.optuna_study.optimize(objective, n_trials=1)
    found = search.search_figures(study)
    assert {figure.name for figure in found} == ALL


POSITIVE = st.floats(1e-100, 1e100)
VALUES = (
    POSITIVE | POSITIVE.map(lambda x: -x) | st.sampled_from([0.0, math.nan, math.inf, -math.inf])
)


@given(st.lists(VALUES, max_size=30), st.booleans(), st.booleans())
def test_an_axis_for_any_values(values: list[float], maximize: bool, colors: bool) -> None:
    scale = Values.of(values, maximize, colors=colors)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return
    inside = scale.within(finite)
    assert (inside >= scale.low).all() and (inside <= scale.high).all()
    # The best is always shown as it is.
    best = max(finite) if maximize else min(finite)
    assert best == (scale.high if maximize else scale.low)
    low, high = scale.axis("").range
    assert low < scale.low <= scale.high < high
    assert scale.scale("").low < scale.scale("").high


@given(st.sampled_from(["lr", "optimizer", "depth", "width", "dropout"]), st.floats(0, 1))
def test_places_along_a_parameter_and_back(name: str, place: float) -> None:
    parameter = Parameter.of(name, [SPACE[name]])
    assert parameter.unit(parameter.at(place)) == pytest.approx(place, abs=1e-9)
    assert parameter.unit([parameter.low, parameter.high]).tolist() == pytest.approx([0, 1])
