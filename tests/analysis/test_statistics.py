import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold, cross_val_score

from hw1.analysis.scores import for_json
from hw1.analysis.statistics import (
    corrected_t_test,
    cross_validated,
    largest_errors,
    over_rows_and_seeds,
    over_seeds,
    t_test_over_seeds,
)

MSE, ACCURACY = "mean_squared_error", "accuracy"

SCORES = st.integers(2, 6).flatmap(
    lambda n_splits: st.lists(
        st.lists(st.floats(-1e3, 1e3), min_size=n_splits, max_size=n_splits),
        min_size=1,
        max_size=5,
    )
)


@given(SCORES)
def test_the_interval_is_wider_than_that_of_independent_scores(scores: list[list[float]]) -> None:
    found = cross_validated(scores)
    flat = np.ravel(scores)
    assert found.n == len(flat)
    assert found.mean == pytest.approx(flat.mean(), abs=1e-9)
    assert found.std == pytest.approx(flat.std(ddof=1), abs=1e-9)
    half = stats.t.ppf(0.975, len(flat) - 1) * flat.std(ddof=1) / math.sqrt(len(flat))
    # 1 / J + 1 / (K - 1) in place of 1 / J.
    factor = math.sqrt(1 + len(flat) / (len(scores[0]) - 1))
    assert found.high - found.mean == pytest.approx(factor * half, abs=1e-6)
    assert found.mean - found.low == pytest.approx(factor * half, abs=1e-6)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    """Of a linear regression, whose expected error on new data is known in closed form."""
    rng = np.random.default_rng(1)
    n_rows, n_splits, n_features = 100, 5, 2
    n_train = n_rows * (n_splits - 1) // n_splits
    # With an intercept: E[error] = s² (1 + (p + 1) / n) (1 + ...); of Gaussian features
    # s² (1 + 1 / n) (n - 2) / (n - p - 2) (Stein, 1960).
    truth = (1 + 1 / n_train) * (n_train - 2) / (n_train - n_features - 2)
    covered = dict.fromkeys((None, MSE), 0)
    n_draws = 200
    for draw in range(n_draws):
        x = rng.normal(size=(n_rows, n_features))
        y = x @ [1.0, -2.0] + rng.normal(size=n_rows)
        folds = RepeatedKFold(n_splits=n_splits, n_repeats=3, random_state=draw)
        scores = -cross_val_score(
            LinearRegression(), x, y, cv=folds, scoring="neg_mean_squared_error"
        )
        for metric in covered:
            found = cross_validated(scores.reshape(3, n_splits).tolist(), metric=metric)
            covered[metric] += found.low <= truth <= found.high
    assert all(0.90 <= n / n_draws <= 0.99 for n in covered.values()), covered


def test_the_test_is_that_of_nadeau_and_bengio() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 5)) + np.array([0.5, 0.0])[:, None, None]
    found = corrected_t_test(a.tolist(), b.tolist())
    d = (a - b).ravel()
    t = d.mean() / math.sqrt((1 / 20 + 1 / 4) * d.var(ddof=1))
    assert found.t == pytest.approx(t)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 19))
    assert found.difference.mean == pytest.approx(d.mean())


@given(SCORES.filter(lambda s: np.std(s) > 1e-6), st.integers(1, 10))
def test_the_interval_leaves_out_zero_where_p_is_small(
    scores: list[list[float]], n_pairs: int
) -> None:
    zero = [[0.0] * len(row) for row in scores]
    found = corrected_t_test(scores, zero, n_pairs)
    if abs(found.p - 0.05) > 1e-6:
        outside = found.difference.low > 0 or found.difference.high < 0
        assert outside == (found.p < 0.05)
    swapped = corrected_t_test(zero, scores, n_pairs)
    assert swapped.p == pytest.approx(found.p)
    assert swapped.difference.mean == pytest.approx(-found.difference.mean)


def test_scores_that_never_differ_are_no_evidence_and_those_that_always_do_are_all() -> None:
    same = [[0.5, 0.6], [0.5, 0.7]]
    assert corrected_t_test(same, same).p == 1
    shifted = [[1.0, 1.0], [1.0, 1.0]]
    assert corrected_t_test(shifted, [[0.5, 0.5], [0.5, 0.5]]).p == 0


def test_scores_of_other_folds_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="one shape"):
        corrected_t_test([[1.0, 2.0]], [[1.0, 2.0, 3.0]])


@given(SCORES)
def test_an_interval_of_scores_keeps_within_their_bounds(scores: list[list[float]]) -> None:
    errors = np.abs(scores) + 1e-3
    found = cross_validated(errors.tolist(), metric=MSE)
    assert 0 <= found.low <= found.mean * (1 + 1e-12) and found.mean <= found.high * (1 + 1e-12)
    shares = errors / (errors.max() + 1)
    found = cross_validated(shares.tolist(), metric=ACCURACY)
    assert 0 <= found.low <= found.mean + 1e-12 and found.mean <= found.high + 1e-12 <= 1 + 2e-12


def test_the_log_scale_is_that_of_the_delta_method() -> None:
    """Where the scores hardly differ, all scales give the same interval."""
    rng = np.random.default_rng(4)
    scores = 0.7 + 1e-4 * rng.normal(size=(3, 5))
    plain = cross_validated(scores.tolist())
    for metric in (MSE, ACCURACY):
        found = cross_validated(scores.tolist(), metric=metric)
        assert found.low - found.mean == pytest.approx(plain.low - plain.mean, rel=1e-3)
        assert found.high - found.mean == pytest.approx(plain.high - plain.mean, rel=1e-3)


def test_folds_that_are_all_perfect_have_no_interval() -> None:
    for metric, best in ((MSE, 0.0), (ACCURACY, 1.0)):
        found = cross_validated([[best] * 3], metric=metric)
        assert math.isnan(found.low) and math.isnan(found.high)


def squared_errors(
    rng: np.random.Generator, n_networks: int, noise: np.ndarray, spread: float
) -> np.ndarray:
    """Of networks that differ by a random parabola, ``(n_networks, n_rows)``.

    Its mean over rows and networks is the noise's variance plus three times ``spread²``.
    """
    x = rng.uniform(-1, 1, len(noise))
    basis = np.stack([np.ones_like(x), np.sqrt(3) * x, np.sqrt(5) / 2 * (3 * x**2 - 1)])
    return np.asarray((noise + spread * rng.normal(size=(n_networks, 3)) @ basis) ** 2)


@pytest.mark.parametrize(("n_networks", "spread"), [(1, 0.0), (5, 0.3)])
def test_it_covers_other_test_rows_and_other_seeds(n_networks: int, spread: float) -> None:
    """Normal errors of 100 rows; the interval of seeds alone would cover next to nothing."""
    rng = np.random.default_rng(5)
    truth = 1 + 3 * spread**2
    covered = seeds_alone = 0
    for draw in range(300):
        losses = squared_errors(rng, n_networks, rng.normal(size=100), spread)
        low, high = over_rows_and_seeds(losses, MSE, draw)
        assert 0 < low < losses.mean() < high
        covered += low <= truth <= high
        if n_networks > 1:
            means = losses.mean(1)
            low, high = stats.t.interval(0.95, 4, loc=means.mean(), scale=stats.sem(means))
            seeds_alone += low <= truth <= high
    assert 0.92 <= covered / 300 <= 0.98
    assert seeds_alone / 300 < 0.85


def test_heavy_tails_are_told_and_normal_ones_are_not() -> None:
    rng = np.random.default_rng(6)
    told = {"normal": 0, "heavy": 0}
    covered = 0
    for draw in range(300):
        noise = rng.standard_t(3, 100)  # of variance 3
        heavy = squared_errors(rng, 1, noise, 0.0)
        low, high = over_rows_and_seeds(heavy, MSE, draw)
        covered += low <= 3 <= high
        told["heavy"] += largest_errors(heavy) is not None
        told["normal"] += (
            largest_errors(squared_errors(rng, 1, rng.normal(size=100), 0)) is not None
        )
    assert covered / 300 < 0.9  # which is why it is told
    assert told["heavy"] > 0.35 * 300
    assert told["normal"] < 0.02 * 300


def test_the_largest_errors_are_counted_over_all_networks() -> None:
    losses = np.ones((2, 300))
    assert largest_errors(losses) is None
    losses[:, :3] = 100
    losses[0, 5] = 50
    found = largest_errors(losses)
    assert found == (3, pytest.approx(300 / losses.mean(0).sum()))
    assert largest_errors([[0.0, 0.0]]) is None


@pytest.mark.parametrize("n_networks", [1, 5])
def test_the_interval_of_an_accuracy_covers_it(n_networks: int) -> None:
    rng = np.random.default_rng(7)
    for truth in (0.8, 0.97):
        edge = stats.norm.ppf(truth) * math.sqrt(1.25)
        covered = 0
        for _ in range(300):
            rows = rng.normal(size=100) + rng.normal(0, 0.5, (n_networks, 100))
            low, high = over_rows_and_seeds((rows < edge).astype(float), ACCURACY)
            assert 0 <= low <= high <= 1
            covered += low <= truth <= high
        assert 0.92 <= covered / 300 <= 0.995


@pytest.mark.parametrize("right", [0, 30])
def test_rows_that_are_all_right_or_all_wrong_have_an_exact_interval(right: int) -> None:
    expected = stats.binomtest(right, 30).proportion_ci(method="exact")
    found = over_rows_and_seeds(np.full((3, 30), right / 30), ACCURACY)
    assert found == pytest.approx((expected.low, expected.high))


def test_what_has_no_interval_has_none() -> None:
    rng = np.random.default_rng(11)
    for losses in (
        [[1.0]],
        [[1.0] * 11 + [math.nan]],
        [[1.0, 3.0]],
        rng.normal(size=(3, 5)) ** 2,
        rng.normal(size=(1, 9)) ** 2,
        [[1e307] * 11 + [1.7e308]],
        1e200 * rng.uniform(size=(2, 20)),
    ):
        assert all(math.isnan(end) for end in over_rows_and_seeds(losses, MSE))
    assert all(math.isnan(end) for end in over_rows_and_seeds([[1.0]], ACCURACY))
    assert over_rows_and_seeds([[2.0] * 10], MSE) == (2, 2)


@pytest.mark.filterwarnings("error")
@given(
    st.lists(st.lists(st.floats(0, 1e308), min_size=12, max_size=12), min_size=1, max_size=3),
    st.sampled_from([0.0, 1e-300, 1.0]),
)
def test_an_interval_is_finite_or_not_there(losses: list[list[float]], factor: float) -> None:
    """And no warning is printed."""
    low, high = over_rows_and_seeds(factor * np.array(losses), MSE)
    assert (math.isnan(low) and math.isnan(high)) or 0 <= low <= high < math.inf


def test_the_same_losses_have_the_same_interval_and_many_rows_are_drawn_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = np.random.default_rng(8).normal(size=(3, 50)) ** 2
    first = over_rows_and_seeds(losses, MSE)
    assert over_rows_and_seeds(losses, MSE) == first
    monkeypatch.setattr("hw1.analysis.statistics.AT_ONCE", 5000)
    assert over_rows_and_seeds(losses, MSE) == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_searches_are_tested_as_scipy_tests_them(paired: bool) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=6), rng.normal(0.5, 2, size=6 if paired else 4)
    found = t_test_over_seeds(a.tolist(), b.tolist(), paired=paired)
    expected: Any = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(interval))
    of_three = t_test_over_seeds(a.tolist(), b.tolist(), paired=paired, n_pairs=3)
    interval = expected.confidence_interval(1 - 0.05 / 3)
    assert (of_three.difference.low, of_three.difference.high) == pytest.approx(tuple(interval))
    assert of_three.p == pytest.approx(min(1, 3 * expected.pvalue))


@pytest.mark.parametrize(("paired", "n_seeds"), [(True, 3), (True, 8), (False, 5)])
@pytest.mark.parametrize("difference", [0.0, 0.4])
def test_the_difference_of_searches_is_covered_as_often_as_said(
    paired: bool, n_seeds: int, difference: float
) -> None:
    """Of searches whose luck is partly that of the seed, which paired ones share."""
    rng = np.random.default_rng(10)
    covered = false_alarms = 0
    for _ in range(1000):
        shared = rng.normal(size=n_seeds)
        luck = [0.5 * rng.normal(size=n_seeds), 0.8 * rng.normal(size=n_seeds)]
        if paired:
            luck = [own + shared for own in luck]
        found = t_test_over_seeds(luck[0] + difference, luck[1], paired=paired)
        covered += found.difference.low <= difference <= found.difference.high
        false_alarms += found.p < 0.05
    assert 0.93 <= covered / 1000 <= 0.97
    if not difference:
        assert 0.03 <= false_alarms / 1000 <= 0.07


def test_searches_that_never_differ_are_no_evidence() -> None:
    for paired in (True, False):
        same = t_test_over_seeds([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], paired=paired)
        assert (same.p, same.difference.low, same.difference.high) == (1, 0, 0)
        assert t_test_over_seeds([2.0] * 3, [1.0] * 3, paired=paired).p == 0


def test_a_single_seed_has_no_spread_and_json_no_nan() -> None:
    assert for_json(over_seeds([0.9], (0.8, 0.95))) == {
        "mean": 0.9, "std": None, "low": 0.8, "high": 0.95, "n": 1,
    }  # fmt: skip
    assert for_json(over_seeds([0.5, 1.0]))["low"] is None
    assert for_json(cross_validated([[1.0, math.nan]]))["mean"] is None
