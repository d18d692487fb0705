"""Means of scores, with intervals that know how dependent the scores are.

An interval of a score keeps within what the score can be: that of a mean squared error is worked
out for its logarithm, that of an accuracy for its log odds (the delta method).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from hw1.tasks import METRICS
from hw1.words import places

Scores = Sequence[float | None]
"""None, or NaN, for a network that diverged."""
LEVEL = 0.95
FEWEST_ROWS = 10
"""Fewer squared errors have no interval: resamples of them are too much alike, and intervals that
are to cover 95 of 100 cover 80 with 3 rows and 90 with 5."""
RESAMPLES = 2000
"""Of test examples and seeds, in the bootstrap of a mean squared error."""
AT_ONCE = 2_000_000
"""Numbers of a chunk of them, which bounds the memory."""
LARGEST = 0.01
"""The share of test examples, but one row at least, whose errors are the largest."""
DECISIVE = 0.2
DECISIVE_ROWS = 12
"""The largest errors decide where they make up more than `DECISIVE` of the mean squared error, or
than this many rows' share of it, if that is more. Normal errors do so in less than 1 of 100 cases
of 100 rows or more; errors that follow Student's t with 3 degrees of freedom in 43 of 100 cases
of 100 rows, and in 94 of 100 cases of 1,000 rows."""


@dataclass(frozen=True)
class Estimate:
    """A mean over folds, or over seeds, and how far it can be trusted.

    Attributes:
        mean: of the scores; NaN if a network diverged.
        std: their sample standard deviation; NaN for a single score.
        low, high: the confidence interval of the mean, of 95% unless another level was asked for;
            NaN where there is none: for a single fold, for folds that all have the best or the
            worst score there is, and for the squared errors of fewer than `FEWEST_ROWS` rows.
        n: the number of scores.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int

    @property
    def places(self) -> int | None:
        """The decimal places of the mean and of the ends of its interval."""
        spread = self.std if math.isfinite(self.std) else (self.high - self.low) / 4
        return places(self.mean, spread)


def cross_validated(
    scores: Sequence[Scores] | np.ndarray, level: float = LEVEL, metric: str | None = None
) -> Estimate:
    """The mean of repeated K-fold cross-validation.

    The folds share most of their training examples, so their scores are not independent. As in
    `corrected_t_test` the variance of the mean is that of the scores times ``1 / n + 1 / (K - 1)``
    instead of ``1 / n``.

    Args:
        scores: ``(n_repeats, n_splits)``.
        level: of the interval.
        metric: what they measure, whose bounds the interval respects; None for differences.
    """
    values = np.asarray(scores, dtype=float)
    mean, std, error = _mean(values)
    low, high = _student(mean, error, max(values.size - 1, 1), metric, level)
    return Estimate(mean, std, low, high, values.size)


def over_seeds(scores: Scores, interval: Scores | None = None) -> Estimate:
    """The mean over networks that differ in their seed alone, and an interval found for it."""
    values = np.asarray(scores, dtype=float)
    std = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    low, high = np.asarray(interval or (None, None), dtype=float).tolist()
    return Estimate(float(values.mean()), std, low, high, len(values))


def over_rows_and_seeds(
    losses: Sequence[Sequence[float]] | np.ndarray, metric: str, seed: int = 0
) -> tuple[float, float]:
    """The 95% interval of a mean over test examples and over networks that differ in their seed.

    It says where the mean lies for other test examples of the same kind and for all seeds, with
    these training examples; of a single network for other test examples alone. The variance of the
    mean is that of the rows' means plus that of the networks' means. For squared errors, which may
    have long tails, the quantiles come from a bootstrap that draws rows and networks anew, both
    with replacement, and studentizes each mean (Efron and Tibshirani, 1993, section 12.5); for
    right and wrong from Student's t, since resamples without an error have no variance.

    Args:
        losses: ``(n_networks, n_rows)``: squared errors, or 1 where a class is right and else 0.
        metric: the name of their mean.
        seed: of the resamples.

    Returns:
        The ends, NaN if there are fewer than two rows, or `FEWEST_ROWS` squared errors, or if
        losses are not finite or too large to compute with. Where squared errors are all the same,
        both ends are their mean.
    """
    with np.errstate(all="ignore"):
        low, high = _over_rows_and_seeds(np.asarray(losses, dtype=float), metric, seed)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)


def _over_rows_and_seeds(values: np.ndarray, metric: str, seed: int) -> tuple[float, float]:
    n_networks, n_rows = values.shape
    mean = float(values.mean())
    if n_rows < (2 if METRICS[metric].maximize else FEWEST_ROWS) or not math.isfinite(mean):
        return math.nan, math.nan
    if METRICS[metric].maximize and mean in (0.0, 1.0):  # exact, by Clopper and Pearson
        edge = ((1 - LEVEL) / 2) ** (1 / n_rows)
        return (edge, 1.0) if mean else (0.0, 1 - edge)
    by_row = float(values.mean(0).var(ddof=1)) / n_rows
    by_seed = float(values.mean(1).var(ddof=1)) / n_networks if n_networks > 1 else 0.0
    error = math.sqrt(by_row + by_seed)
    if not error:
        return mean, mean
    if METRICS[metric].maximize:
        # Satterthwaite's degrees of freedom.
        freedom = error**4 / (by_row**2 / (n_rows - 1) + by_seed**2 / max(n_networks - 1, 1))
        return _student(mean, error, freedom, metric, LEVEL)
    deviations = _studentized(values, seed)
    if not len(deviations):
        return math.nan, math.nan
    # The upper tail of the deviations bounds the mean from below.
    ends = np.quantile(deviations, [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    low, high = np.exp(math.log(mean) - ends * error / mean).tolist()
    return low, high


def _studentized(losses: np.ndarray, seed: int) -> np.ndarray:
    """By how many standard errors the logarithm of each resample's mean differs from the mean's."""
    n_networks, n_rows = losses.shape
    rng = np.random.default_rng(seed)
    at_once = max(AT_ONCE // n_rows, 1)
    found = []
    for done in range(0, RESAMPLES, at_once):
        n = min(at_once, RESAMPLES - done)
        rows, networks = _counts(rng, n, n_rows), _counts(rng, n, n_networks)
        of_rows = networks @ losses / n_networks
        mean = (rows * of_rows).sum(1) / n_rows
        variance = ((rows * of_rows**2).sum(1) / n_rows - mean**2) / (n_rows - 1)
        if n_networks > 1:
            of_networks = rows @ losses.T / n_rows
            spread = (networks * of_networks**2).sum(1) / n_networks - mean**2
            variance += spread / (n_networks - 1)
        found.append(np.log(mean / losses.mean()) * mean / np.sqrt(variance))
    deviations = np.concatenate(found)
    return np.asarray(deviations[np.isfinite(deviations)])


def _counts(rng: np.random.Generator, n_resamples: int, n: int) -> np.ndarray:
    """How often each of ``n`` is drawn, ``(n_resamples, n)``."""
    drawn = rng.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n)
    return counts.reshape(n_resamples, n).astype(float)


def largest_errors(losses: Sequence[Sequence[float]] | np.ndarray) -> tuple[int, float] | None:
    """How many squared errors are the largest, and their share, if they decide the mean.

    Where they do, the errors have heavy tails: the largest one that can be is not among the test
    examples, and an interval may be too narrow.

    Args:
        losses: ``(n_networks, n_rows)``.
    """
    of_rows = np.sort(np.asarray(losses, dtype=float).mean(0))
    n_largest = max(round(LARGEST * len(of_rows)), 1)
    total = float(of_rows.sum())
    share = float(of_rows[-n_largest:].sum()) / total if total > 0 else 0.0
    decides = max(DECISIVE, DECISIVE_ROWS / len(of_rows))
    return (n_largest, share) if share > decides else None


def _student(
    mean: float, error: float, freedom: float, metric: str | None, level: float
) -> tuple[float, float]:
    """The interval of Student's t, on the scale of the metric."""
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    if metric is None:
        return mean - half, mean + half
    if not METRICS[metric].maximize and mean > 0:
        factor = math.exp(min(half / mean, 700.0))
        return mean / factor, mean * factor
    if METRICS[metric].maximize and 0 < mean < 1:
        half /= mean * (1 - mean)
        return float(expit(logit(mean) - half)), float(expit(logit(mean) + half))
    return math.nan, math.nan


@dataclass(frozen=True)
class PairedTest:
    """The difference of two scores, over the same folds or over seeds.

    Attributes:
        difference: how the first score differs from the second, with its interval; its standard
            deviation is that of paired scores, NaN if they are not paired.
        t: the statistic.
        p: two-sided, adjusted for the number of pairs.
    """

    difference: Estimate
    t: float
    p: float


def corrected_t_test(
    first: Sequence[Scores], second: Sequence[Scores], n_pairs: int = 1
) -> PairedTest:
    """The corrected resampled t-test of Nadeau and Bengio (2003).

    The variance of the mean difference over J folds of a repeated K-fold cross-validation is
    ``(1 / J + n_test / n_train) * s²`` where s² is the sample variance of the differences, and
    ``n_test / n_train = 1 / (K - 1)``; there are J - 1 degrees of freedom.
    https://doi.org/10.1023/A:1024068626366, and for repeated folds Bouckaert and Frank (2004),
    https://doi.org/10.1007/978-3-540-24775-3_3.

    Where several pairs are tested, Bonferroni's adjustment makes the intervals hold together
    in 95% of cases; they leave out zero where p is below 5%.

    Args:
        first, second: ``(n_repeats, n_splits)`` of two models on the same folds.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"scores of the same folds have one shape, not {a.shape} and {b.shape}")
    difference = cross_validated(a - b, 1 - (1 - LEVEL) / n_pairs)
    return _tested(difference, _mean(a - b)[2], a.size - 1, n_pairs)


def t_test_over_seeds(
    first: Sequence[float], second: Sequence[float], *, paired: bool, n_pairs: int = 1
) -> PairedTest:
    """Student's t-test of two searches, each run with several seeds.

    Paired it is that of the seeds' differences, with one degree of freedom fewer than seeds;
    otherwise Welch's. The interval tells where the difference lies over all seeds, not for other
    training examples. Several pairs are adjusted for as in `corrected_t_test`.

    Args:
        first, second: a score a seed; paired, of the same seeds in the same order.
        paired: whether they are.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if paired:
        mean, std = float((a - b).mean()), float((a - b).std(ddof=1))
        error, freedom = std / math.sqrt(len(a)), float(len(a) - 1)
    else:
        mean, std = float(a.mean() - b.mean()), math.nan
        variances = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
        error = math.sqrt(sum(variances))
        parts = sum(v**2 / (len(x) - 1) for v, x in zip(variances, (a, b), strict=True))
        freedom = error**4 / parts if parts else float(len(a) + len(b) - 2)
    half = float(stats.t.ppf(1 - (1 - LEVEL) / n_pairs / 2, freedom)) * error
    difference = Estimate(mean, std, mean - half, mean + half, min(len(a), len(b)))
    return _tested(difference, error, freedom, n_pairs)


def _tested(difference: Estimate, error: float, freedom: float, n_pairs: int) -> PairedTest:
    """The t-test of a difference with that standard error."""
    mean = difference.mean
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    p = 2 * float(stats.t.sf(abs(t), freedom))
    return PairedTest(difference, t, min(1.0, p * n_pairs))


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation and corrected standard error of ``(n_repeats, n_splits)``."""
    if values.size < 2:  # of an outer fold, before the others are done
        return float(values.mean()), math.nan, math.nan
    std = float(values.std(ddof=1))
    error = std * math.sqrt(1 / values.size + 1 / (values.shape[1] - 1))
    return float(values.mean()), std, error
