"""Means over cross-validation scores, with intervals that know how dependent the scores are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over folds, or over seeds, and how far it can be trusted.

    Attributes:
        mean: of the scores; NaN if a network diverged.
        std: their sample standard deviation; NaN for a single score.
        low, high: the interval of the mean, of 95 % unless another level was asked for; NaN for a
            single score.
        n: the number of scores.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """A dictionary that JSON can hold: None where a number is not finite."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}


def cross_validated(scores: Sequence[Sequence[float]], level: float = LEVEL) -> Estimate:
    """The mean of repeated K-fold cross-validation.

    The folds share most of their training rows, so their scores are not independent. As in
    `corrected_t_test` the variance of the mean is that of the scores times ``1 / n + 1 / (K - 1)``
    instead of ``1 / n``.

    Args:
        scores: ``(n_repeats, n_splits)``.
        level: of the interval.
    """
    values = np.asarray(scores, dtype=float)
    mean, std, error = _mean(values)
    half = float(stats.t.ppf((1 + level) / 2, max(values.size - 1, 1))) * error
    return Estimate(mean, std, mean - half, mean + half, values.size)


def over_seeds(scores: Sequence[float]) -> Estimate:
    """The mean over networks that differ in their seed alone.

    The interval is that of Student's t for independent scores: it tells where the mean over all
    seeds lies for these training and test rows, not for others.
    """
    values = np.asarray(scores, dtype=float)
    if len(values) < 2:
        nan = math.nan
        return Estimate(float(values[0]), nan, nan, nan, 1)
    mean, std = float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * std / math.sqrt(len(values))
    return Estimate(mean, std, mean - half, mean + half, len(values))


@dataclass(frozen=True)
class PairedTest:
    """The difference of two scores over the same folds.

    Attributes:
        difference: how the first score differs from the second, with its interval.
        t: the statistic.
        p: two-sided, adjusted for the number of pairs.
    """

    difference: Estimate
    t: float
    p: float


def corrected_t_test(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], n_pairs: int = 1
) -> PairedTest:
    """The corrected resampled t-test of Nadeau and Bengio (2003).

    The variance of the mean difference over J folds of a repeated K-fold cross-validation is
    ``(1 / J + n_test / n_train) * s²`` where s² is the sample variance of the differences, and
    ``n_test / n_train = 1 / (K - 1)``; there are J - 1 degrees of freedom.
    https://doi.org/10.1023/A:1024068626366, and for repeated folds Bouckaert and Frank (2004),
    https://doi.org/10.1007/978-3-540-24775-3_3.

    Where several pairs are tested, Bonferroni's adjustment makes the intervals hold together
    in 95 % of cases; they leave out zero where p is below 5 %.

    Args:
        first, second: ``(n_repeats, n_splits)`` of two models on the same folds.
        n_pairs: how many pairs are tested.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"scores of the same folds have one shape, not {a.shape} and {b.shape}")
    difference = cross_validated(a - b, 1 - (1 - LEVEL) / n_pairs)
    mean, _, error = _mean(a - b)
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    p = 2 * float(stats.t.sf(abs(t), a.size - 1))
    return PairedTest(difference, t, min(1.0, p * n_pairs))


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation and corrected standard error of ``(n_repeats, n_splits)``."""
    if values.size < 2:  # of an outer fold, before the others are done
        return float(values.mean()), math.nan, math.nan
    std = float(values.std(ddof=1))
    error = std * math.sqrt(1 / values.size + 1 / (values.shape[1] - 1))
    return float(values.mean()), std, error
