"""An ablation against plain cross-validations, scipy, and itself interrupted."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from analysis.conftest import Open
from scipy import stats

from hw1.analysis.ablation import (
    ABLATION,
    Ablation,
    ablate,
    ablation_of,
    ablation_table,
    findings,
    stored_ablation,
)
from hw1.analysis.controlled import MOST_RATES, Measured, sparsity
from hw1.analysis.evaluation import evaluate
from hw1.analysis.figures.ablation import ablation_figures
from hw1.analysis.figures.gallery import Gallery, read, write
from hw1.analysis.figures.marks import Line, Points, Text
from hw1.analysis.text import ablation_lines
from hw1.analysis.training import EVALUATION
from hw1.analysis.variants import STRENGTHS
from hw1.cross_validation import Splits, cross_validate
from hw1.errors import InputError
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.watching import Watcher

QUICK = {"n_repeats": 2, "only": ["l1", "dropout"]}


def without_seconds(found: Ablation) -> Any:
    every = [found.base, *(effect.measured for effect in found.effects)]
    return [replace(one, seconds=0.0) for one in every]


def test_a_variant_is_what_a_plain_cross_validation_of_it_gives(open_results: Open) -> None:
    results = open_results()
    found = ablate(results, **QUICK)
    one = next(e.measured for e in found.groups["dropout"] if e.measured.variant == "0.5")
    own = results.tuned(results.trial())[0]
    assert Configuration(**one.configuration) == replace(own, model=own.model | {"dropout": 0.5})
    curves = []
    for repeat in range(2):
        seeds = [derive_seed(0, found.base.trial, repeat, k, EVALUATION) for k in range(3)]
        ((_, plain),) = cross_validate(
            results.definition.model,
            {7: Configuration(**one.configuration)},
            results.dataset,
            Splits.draw_fresh(results.dataset, 3, 0, repeat),
            seed=99,
            fold_seed=lambda _, fold, seeds=seeds: seeds[fold],
        )
        curves.append(plain.curves)
    both = np.stack(curves)
    best = int(both.mean((0, 2)).argmin())
    assert one.epoch == best + 1
    assert one.scores == both[:, best].tolist()
    assert one.curve("validation_scores") == pytest.approx(both.mean((0, 2)), rel=1e-4)


def test_the_base_is_scored_as_an_evaluation_scores_it(open_results: Open) -> None:
    results = open_results()
    evaluated = evaluate(results, n_repeats=2, test=False, baselines=False).cross_validation
    base = ablate(results, **QUICK).base
    epoch = results.tuned(results.trial())[1]
    mean = base.curve("validation_scores")[base.curves["epochs"].index(epoch)]
    assert mean == pytest.approx(evaluated.estimate.mean, rel=1e-4)
    if base.epoch == epoch:
        assert base.scores == evaluated.scores


def test_what_equals_the_base_differs_by_nothing(open_results: Open) -> None:
    found = ablate(open_results(), **QUICK)
    for group, name in (("l1", "0"), ("dropout", "0")):
        (same,) = [e for e in found.groups[group] if e.measured.variant == name]
        assert same.measured.scores == found.base.scores
        assert (same.verdict, same.test) == ("base", None)
    # Not stored as the base but trained, it would be tested, and differ by exactly nothing.
    other = replace(same.measured, is_base=False)
    (effect,) = ablation_of(open_results(), [found.base, other]).effects
    assert effect.test is not None and effect.verdict == "no clear difference"
    assert (effect.test.difference.mean, effect.test.t, effect.test.p) == (0.0, 0.0, 1.0)


def test_differences_are_tested_jointly_by_the_corrected_t_test(open_results: Open) -> None:
    found = ablate(open_results(), **QUICK)
    tested = [effect for effect in found.effects if effect.test]
    assert len(tested) == found.n_tests == 6
    for effect in tested:
        d = np.subtract(effect.measured.scores, found.base.scores).ravel()
        error = math.sqrt((1 / 6 + 1 / 2) * d.var(ddof=1))
        assert effect.test is not None
        assert effect.test.difference.mean == pytest.approx(d.mean())
        p = 2 * stats.t.sf(abs(d.mean() / error), 5)
        assert effect.test.p == pytest.approx(min(1, 6 * p))
        low, high = stats.t.interval(1 - 0.05 / 6, 5, d.mean(), error)
        assert (effect.test.difference.low, effect.test.difference.high) == pytest.approx(
            (low, high)
        )


def test_interrupted_and_resumed_it_equals_one_that_never_stopped(
    open_results: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, words = open_results("regression-tpe"), []
    monkeypatch.setattr("hw1.analysis.controlled.AT_ONCE", 2)

    def interrupt(what: str) -> None:
        words.append(what)
        if what.startswith("ablation: 5 to 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(results, **QUICK, watcher=Watcher(interrupt))
    n_stored = len(results.records(Measured, ABLATION))
    assert 4 <= n_stored < 9
    words.clear()
    resumed = ablate(results, **QUICK, watcher=Watcher(words.append))
    assert not any("1 to 2 of 7" in what for what in words)
    words.clear()
    again = ablate(results, **QUICK, watcher=Watcher(words.append))
    assert words == [] and again == resumed == stored_ablation(results)
    fresh = ablate(results, **QUICK, again=True)
    assert without_seconds(fresh) == without_seconds(resumed)
    assert len(results.records(Measured, ABLATION)) == 9


def test_a_learning_rate_is_chosen_on_other_folds(open_results: Open) -> None:
    results = open_results()
    found = ablate(results, n_repeats=1, only=["optimizer"])
    names = [effect.measured.variant for effect in found.effects]
    assert names == [
        *("SGD", "SGD with momentum", "SGD with Nesterov momentum", "Adam", "AdamW", "RMSprop")
    ]
    for effect in found.effects:
        one = effect.measured
        if effect.verdict == "base":
            assert (one.variant, one.rates) == ("Adam", None)
            continue
        assert one.rates and one.rate_scores and 3 <= len(one.rates) <= MOST_RATES
        assert one.rates == sorted(one.rates)
        assert not one.rate_at_edge or len(one.rates) == MOST_RATES
        known = {r: s for r, s in zip(one.rates, one.rate_scores, strict=True) if s is not None}
        assert one.lr == min(known, key=lambda rate: known[rate])
        assert one.estimate.mean not in known.values()
        assert f"rate {one.lr:.4g}" in effect.notes
    words: list[str] = []
    ablate(results, n_repeats=1, only=["optimizer"], watcher=Watcher(words.append))
    assert words == []


def test_early_stopping_is_a_rule_for_the_same_training(open_results: Open) -> None:
    found = ablate(open_results("classification-tpe"), n_repeats=1, only=["early_stopping"])
    effects = {effect.measured.variant: effect.measured for effect in found.effects}
    last = effects["last epoch"]
    assert last.epoch == last.trained == found.base.epochs and not last.is_base
    assert last.curves["validation_scores"][-1] == pytest.approx(last.estimate.mean, rel=1e-4)
    assert found.base.estimate.mean >= last.estimate.mean


def test_sparsity_counts_weights_and_not_biases() -> None:
    weights = torch.tensor([[0.0, 2.0], [1e-4, -1.0]])
    networks = [
        {"w": weights, "bias": torch.zeros(9)},
        {"w": torch.ones(2, 2), "bias": torch.zeros(9)},
    ]
    assert sparsity(networks) == (0.125, 0.25)


def test_proximal_penalties_make_weights_zero(
    open_results: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STRENGTHS, "l1_proximal", (0.0, 5.0))
    found = ablate(open_results(), n_repeats=1, only=["l1_proximal"], epochs=8)
    zeros = [effect.measured.zeros for effect in found.effects]
    assert zeros[0] == 0 < zeros[1]
    assert "of weights zero" in found.effects[-1].notes


def test_defaults_a_part_of_the_examples_and_fewer_epochs(open_results: Open) -> None:
    results = open_results("classification-random")
    found = ablate(
        results, only=["dropout"], defaults=True, train_size=200, epochs=2, n_splits=2, n_repeats=1
    )
    base = found.base
    assert (base.trial, base.n_rows, base.epochs, base.n_splits) == (None, 200, 2, 2)
    assert base.configuration["lr"] == results.definition.default_params["lr"]
    assert stored_ablation(results) == found
    # One of the best trial comes first, whichever was made last.
    ablate(results, only=["dropout"], n_repeats=1)
    newer = ablate(results, only=["l1"], defaults=True, n_repeats=1)
    shown = stored_ablation(results)
    assert newer.base.trial is None and shown and shown.base.trial is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scores", [[1.0]]),
        ("epoch", 99),
        ("curves", {"epochs": [1]}),
        ("configuration", {"optimizer": "none"}),
        ("rates", [1.0]),
        ("group", 3),
    ],
)
def test_what_is_damaged_is_said(open_results: Open, field: str, value: object) -> None:
    results = open_results()
    ablate(results, n_repeats=1, only=["dropout"])
    records = results.stored(ABLATION)
    records[0] |= {field: value}
    results.study.optuna_study.set_user_attr(ABLATION, records)
    with pytest.raises(InputError, match=r"ablation of 'regression-random' in .* is damaged"):
        stored_ablation(results)


def test_tables_words_and_figures_say_the_same(open_results: Open, tmp_path: Path) -> None:
    found = ablate(open_results(), **QUICK)
    table = ablation_table(found)
    assert list(table.index[:2]) == [("L1 penalty", "0"), ("L1 penalty", "1 × 10⁻⁵")]
    assert table["mean"].tolist() == [e.measured.estimate.mean for e in found.effects]
    assert table["p"].dropna().tolist() == [e.test.p for e in found.effects if e.test]
    lines = ablation_lines(found)
    assert lines[0].startswith("regression-random: one change at a time in trial")
    for effect in found.effects:
        (line,) = [x for x in lines if x.strip().startswith(f"{effect.measured.variant}  ")][:1]
        assert effect.verdict in line
    assert findings(found)[0].startswith("Of 6 changes, ")
    dots, *curves = ablation_figures(found)
    assert [figure.name for figure in curves] == ["ablation_curves_l1", "ablation_curves_dropout"]
    marks = [mark for panel in dots.panels for mark in panel.marks]
    points = [mark for mark in marks if isinstance(mark, Points)]
    assert len(points) == 8 and not any(isinstance(mark, Text) for mark in marks)
    assert len([m for m in marks if isinstance(m, Line)]) == 6 + len(dots.panels)
    for figure in curves:
        training, validation = figure.panels
        assert len(training.marks) * 2 == len(validation.marks)
    written = Gallery("tiny", (0,), {"Ablation": [dots, *curves]})
    write(written, tmp_path)
    assert [f.caption for f in read(tmp_path).sections["Ablation"]] == [
        figure.caption for figure in (dots, *curves)
    ]
