import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold, cross_val_score

from hw1.analysis.statistics import corrected_t_test, cross_validated, over_seeds

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


def test_many_repeats_do_not_make_the_interval_as_narrow_as_one_likes() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n_repeats in (10, 100, 1000):
        found = cross_validated(rng.normal(size=(n_repeats, 5)).tolist())
        widths.append(found.high - found.low)
    assert all(b > 0.9 * a for a, b in pairwise(widths))


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    """Of a linear regression, whose expected error on new rows is known in closed form."""
    rng = np.random.default_rng(1)
    n_rows, n_splits, n_features = 100, 5, 2
    n_train = n_rows * (n_splits - 1) // n_splits
    # With an intercept: E[error] = s² (1 + (p + 1) / n) (1 + ...); of Gaussian features
    # s² (1 + 1 / n) (n - 2) / (n - p - 2) (Stein, 1960).
    truth = (1 + 1 / n_train) * (n_train - 2) / (n_train - n_features - 2)
    covered = 0
    n_draws = 200
    for draw in range(n_draws):
        x = rng.normal(size=(n_rows, n_features))
        y = x @ [1.0, -2.0] + rng.normal(size=n_rows)
        folds = RepeatedKFold(n_splits=n_splits, n_repeats=3, random_state=draw)
        scores = -cross_val_score(
            LinearRegression(), x, y, cv=folds, scoring="neg_mean_squared_error"
        )
        found = cross_validated(scores.reshape(3, n_splits).tolist())
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / n_draws <= 0.99


def test_the_test_is_that_of_nadeau_and_bengio() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 5)) + np.array([0.5, 0.0])[:, None, None]
    found = corrected_t_test(a.tolist(), b.tolist())
    d = (a - b).ravel()
    t = d.mean() / math.sqrt((1 / 20 + 1 / 4) * d.var(ddof=1))
    assert found.t == pytest.approx(t)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 19))
    assert found.difference.mean == pytest.approx(d.mean())


def test_for_one_repeat_of_many_folds_it_is_nearly_the_paired_t_test() -> None:
    """n_test / n_train vanishes against nothing: it doubles the variance, whatever the folds."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 1, 200))
    plain = stats.ttest_rel(a[0], b[0])
    found = corrected_t_test(a.tolist(), b.tolist())
    assert found.t == pytest.approx(plain.statistic / math.sqrt(2), rel=0.01)


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


def test_over_seeds_is_students_interval() -> None:
    scores = [0.9, 0.91, 0.93, 0.88]
    found = over_seeds(scores)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(scores), scale=stats.sem(scores))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_single_seed_has_no_interval_and_json_no_nan() -> None:
    assert over_seeds([0.9]).to_json() == {
        "mean": 0.9, "std": None, "low": None, "high": None, "n": 1,
    }  # fmt: skip
    assert cross_validated([[1.0, math.nan]]).to_json()["mean"] is None
