"""The replay of searches: against Optuna's pruners, hw1's cross-validation, and planted tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmarks.search_quality.effects import effects
from benchmarks.search_quality.playing import Option, play, ratio
from benchmarks.search_quality.problems import OUTSIDE, problems
from benchmarks.search_quality.searching import Pool, prune, sample, search, smooth, values
from benchmarks.search_quality.space import FIRST_OF_STUDY, STUDY, configuration, draw
from benchmarks.search_quality.table import Problem, load
from benchmarks.search_quality.train import save, train
from hw1.cross_validation import Splits, cross_validate
from hw1.models import MLP
from hw1.samplers import make_pruner
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import Lockstep

CURVES = 12
SPACE = {
    "a": FloatDistribution(1, 100, log=True),
    "b": CategoricalDistribution(["x", "y"]),
}


def curves(seed: int, epochs: int = 16) -> np.ndarray:
    """Noisy falling curves, one of which diverges."""
    generator = np.random.default_rng(seed)
    falling = np.exp(-np.linspace(0, 2, epochs)) * generator.uniform(0.5, 2, (CURVES, 1))
    noisy = falling + 0.2 * generator.random((CURVES, epochs))
    noisy[4, 9:] = np.inf
    return noisy


@pytest.mark.parametrize("pruner", ["none", "median", "percentile", "halving"])
@pytest.mark.parametrize("seed", range(5))
def test_trials_are_pruned_where_a_study_prunes_them(pruner: str, seed: int) -> None:
    given = curves(seed)
    given[~np.isfinite(given)] = 1e9
    epochs = given.shape[1]
    study = optuna.create_study(pruner=make_pruner(pruner, epochs))
    lengths = []
    for curve in given:
        trial = study.ask()
        for epoch, value in enumerate(curve, 1):
            trial.report(value, epoch)
            if epoch < epochs and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve.min())
        lengths.append(epoch)
    assert prune(given, pruner).tolist() == lengths
    assert pruner == "none" or min(lengths) < epochs


def test_a_smoothed_point_is_the_mean_of_its_neighbours() -> None:
    given = curves(0)
    given[4] = given[3]
    expected = [given[2, max(i - 2, 0) : i + 3].mean() for i in range(given.shape[1])]
    assert smooth(given, 5)[2] == pytest.approx(expected)
    assert np.isinf(smooth(curves(0), 3)[4, 8:]).all()
    assert np.isfinite(smooth(curves(0), 3)[4, :8]).all()


def test_values_are_those_of_the_rule() -> None:
    given = np.array([[3.0, 1.0, 4.0, 2.0]])
    assert [v.tolist() for v in values(given, "least")] == [[1.0], [2]]
    assert [v.tolist() for v in values(given, "last")] == [[2.0], [4]]
    assert [v.tolist() for v in values(given, "last", 2)] == [[3.0], [4]]
    assert [v.tolist() for v in values(given, "least", 3)] == [[2.0], [1]]


def test_repeats_correct_a_lucky_winner() -> None:
    # Configuration 0 was lucky in the first repeat; 1 is the best on average; 2 never was good.
    given = np.array([[[0.1, 0.9], [0.9, 0.9]], [[0.3, 0.2], [0.1, 0.3]], [[0.5, 0.5], [0.0, 0.0]]])
    trials = np.arange(3)
    plain = search(trials, given)
    assert (plain.trial, plain.epoch, plain.epochs_trained) == (0, 1, 3)
    again = search(trials, given, best_of=2, rounds=1)
    assert (again.trial, again.epoch, again.epochs_trained) == (1, 1, 5)
    assert again.best.tolist() == [0, 1, 2]


def test_a_pruned_trial_costs_its_epochs_and_cannot_win() -> None:
    given = np.ones((6, 1, 8)) * np.array([1, 2, 3, 9, 8, 0.5])[:, None, None]
    given[3, 0, 7] = 0  # would have won
    found = search(np.arange(6), given, pruner="median")
    assert found.trial == 5
    assert found.epochs_trained == 4 + 2 * 2 / 8


def test_distances_are_of_numbers_and_choices() -> None:
    pool = Pool([{"a": 1.0, "b": "x"}, {"a": 100.0, "b": "y"}], SPACE)
    assert pool.distances({"a": 10.0, "b": "x"}) == pytest.approx(
        [np.sqrt(0.25 / 2), np.sqrt(1.25 / 2)]
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_tpe_learns_where_the_pool_is_good(batch: int) -> None:
    generator = np.random.default_rng(0)
    configurations = [{"a": 100**a, "b": b} for a in generator.random(100) for b in ("x", "y")]
    pool = Pool(configurations, SPACE)
    value = np.array([abs(np.log10(p["a"]) / 2 - 0.3) + (p["b"] == "x") for p in configurations])
    found = [sample(pool, value, "tpe", seed, 40, batch) for seed in range(3)]
    assert all(len(set(trials)) == 40 and trials[0] == 0 for trials, _ in found)
    later = np.mean([value[trials[20:]].mean() for trials, _ in found])
    assert later < 0.6 * value.mean()
    assert all(0 < distance < 0.5 for _, distance in found)


def test_a_batch_is_suggested_before_its_values_are_known() -> None:
    configurations = [{"a": a, "b": "x"} for a in np.geomspace(1, 100, 200)]
    pool = Pool(configurations, SPACE)
    values = [np.array([np.log10(p["a"]) * sign for p in configurations]) for sign in (1, -1)]
    one, other = (sample(pool, value, "tpe", 0, 40, 20)[0] for value in values)
    # The values of the first batch are first heard of in the second one.
    assert (one[:20] == other[:20]).all() and (one[20:] != other[20:]).any()
    one, other = (sample(pool, value, "tpe", 0, 20, 1)[0] for value in values)
    assert (one != other).any()


def test_training_is_that_of_hw1() -> None:
    problem = replace(problems(Path())["waves"](), epochs=6)
    usual = draw(1) | {"schedule": "constant", "batch": "medium"}
    chosen = {n: configuration(usual | {"width": width}, problem) for n, width in ((7, 20), (9, 8))}
    kept = train(problem, chosen)[7]
    rows = torch.arange(problem.n_train)
    splits = Splits(problem.folds()[0])
    dataset = problem.data.take(rows)
    ((_, expected),) = cross_validate(MLP, {0: chosen[7]}, dataset, splits, seed=7)
    assert np.array_equal(kept["curves"][:, :5], expected.curves.astype(np.float32))
    assert kept["best_epoch"][0] == expected.best_epoch
    assert expected.outputs is not None
    assert np.allclose(kept["held_out"][0, 0], expected.outputs.numpy(), atol=1e-6)


def test_test_errors_are_those_of_the_networks() -> None:
    problem = replace(problems(Path())["diabetes"](), epochs=3)
    chosen = configuration(draw(1) | {"batch": "small"}, problem)
    kept = train(problem, {5: chosen})[5]
    training = [torch.from_numpy(np.flatnonzero(problem.folds()[1] != k)) for k in range(5)]
    seeds = [derive_seed(5, 1, k) for k in range(5)]
    models = Lockstep(MLP, [chosen] * 5, problem.data, training, seeds)
    for _ in range(3):
        models.train_epoch()
    outputs = models.predict(torch.arange(problem.n_train, len(problem.data))).double().numpy()
    truth = problem.data.targets[problem.n_train :].numpy()
    expected = ((outputs - truth) ** 2).mean((1, 2))
    assert kept["test_folds"][-1, 5:10] == pytest.approx(expected, rel=1e-5)
    assert kept["test_fold_ensembles"][-1, 1] == pytest.approx(
        ((outputs.mean(0) - truth) ** 2).mean(), rel=1e-5
    )
    of_seeds = kept["test_outputs"][1, 1]
    assert kept["test_seed_ensembles"][-1] == pytest.approx(((of_seeds - truth) ** 2).mean())
    assert kept["test_seeds"].shape == (3, 5)


@pytest.mark.parametrize("name", ["waves", "chirp", "steps", "bumps"])
def test_functions_have_gaps_that_their_test_rows_fill(name: str) -> None:
    problem = problems(Path())[name]()
    x = problem.data.inputs[:, 0].numpy()
    train_x, test_x = np.sort(x[: problem.n_train]), x[problem.n_train :]
    widest = np.sort(np.diff(train_x))[-2:]
    assert widest.min() > 0.25
    assert np.diff(test_x).max() < 0.1
    intervals = problem.folds()[3]
    ends = np.argsort(x[: problem.n_train])[[*range(10), *range(-10, 0)]]
    assert (intervals[ends] == OUTSIDE).all()
    assert [(intervals == k).sum() for k in range(4)] == [20] * 4


@pytest.mark.parametrize("name", ["steps", "diabetes", "friedman", "digits"])
def test_all_that_is_drawn_can_be_trained(name: str) -> None:
    problem = problems(Path())[name]()
    for i in (*range(200), *range(FIRST_OF_STUDY, FIRST_OF_STUDY + 50)):
        assert configuration(draw(i), problem).epochs == problem.epochs
    assert draw(3) == draw(3) != draw(4)
    assert draw(FIRST_OF_STUDY) == STUDY.default_params
    one = FIRST_OF_STUDY + 1
    assert draw(one) == draw(one) != draw(one + 1)
    assert set(draw(one)) == set(STUDY.parameters)


def test_what_is_saved_is_loaded_by_space(tmp_path: Path) -> None:
    problem = replace(problems(Path())["diabetes"](), epochs=2)
    numbers = (FIRST_OF_STUDY, FIRST_OF_STUDY + 1)
    kept = train(problem, {n: configuration(draw(n), problem) for n in numbers})
    wide = train(problem, {2: configuration(draw(2), problem)})
    for n, arrays in (kept | wide).items():
        save(tmp_path / f"diabetes-{n:05}.npz", arrays, draw(n), 1.5)
    both = load(tmp_path, "study")["diabetes"]
    assert both.numbers.tolist() == list(numbers)
    assert both.parameters[1] == draw(numbers[1])
    expected = kept[numbers[1]]["curves"][:, 5:10].mean(1)
    assert both.curves[1, 1] == pytest.approx(expected, rel=1e-6)
    assert both.targets is not None and len(both.targets) == problem.n_test
    assert load(tmp_path, "wide")["diabetes"].numbers.tolist() == [2]
    assert load(tmp_path / "elsewhere", "study") == {}
    # The test error of a replayed search is that of what it returns.
    for sampler in ("random", "tpe"):
        played = play(both, Option("both", 2, sampler, networks="seeds"), 20)
        winners = both.curves[:, :3, -1].argmin(0)
        errors = {float(kept[numbers[w]]["test_seed_ensembles"][-1]) for w in winners}
        assert set(played.test) == errors


def planted(n: int = 80) -> dict[str, Problem]:
    """A table in which tanh halves the error and nothing else matters."""
    parameters = [draw(i) for i in range(n)]
    error = np.array([0.5 if p["activation"] == "tanh" else 1.0 for p in parameters])
    flat = np.repeat(error[:, None], 4, 1)
    test = {
        "epochs": np.tile([1, 2], (n, 1)),
        "test_seeds": flat[:, None, :2].repeat(2, 1),
    }
    targets = np.zeros((1, 1))
    problem = Problem("waves", np.arange(n), parameters, flat[:, :, None], test, error, targets)
    return {"waves": problem}


def test_effects_are_those_that_were_planted() -> None:
    rows = {(r["parameter"], r["value"]): r["functions"][0] for r in effects(planted())}
    tanh, relu = rows["activation", "tanh"], rows["activation", "relu"]
    assert tanh / relu == pytest.approx(0.5, abs=0.08)
    assert rows["depth", "1"] == pytest.approx(1, abs=0.08)


def test_the_default_is_the_first_trial() -> None:
    parameters = [draw(FIRST_OF_STUDY + i) for i in range(10)]
    error = np.array([0.5, *[1.0] * 9])
    problem = replace(planted()["waves"], parameters=parameters, numbers=np.arange(10))
    flat = np.repeat(error[:, None], 4, 1)[:, :, None]
    problem = replace(problem, curves=flat, test={"epochs": np.ones((10, 1)), "test_seeds": flat})
    base = play(problem, Option("1", 1), 20)
    without = play(problem, Option("1", 1, default=False), 20)
    assert set(base.test) == {0.5} and set(without.test) == {1.0}
    assert ratio([without.test], [base.test]) == pytest.approx((2, 2, 2))
    assert (base.cost == 1).all()
