"""Baselines beside a network: fitted and scored on its folds and its test examples, and stored."""

import contextlib
import math
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from hw1.analysis.baselines import BASELINES, Baseline, Size
from hw1.analysis.results import StudyResults
from hw1.analysis.scores import finite, row_losses, score_rows
from hw1.analysis.statistics import (
    Estimate,
    PairedTest,
    corrected_t_test,
    cross_validated,
    over_rows_and_seeds,
    over_seeds,
)
from hw1.cross_validation import Splits
from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.study import Study
from hw1.training.keys import seed as derive_seed
from hw1.watching import UNWATCHED, Watcher

SCORES = "evaluation:baselines"
TESTS = "evaluation:baseline_tests"
BASELINE = 7
"""The last of the numbers that a seed is derived from; see `hw1.cross_validation`."""
SECONDS_BETWEEN_CALLS = 0.1
Found = TypeVar("Found")


@dataclass(frozen=True)
class BaselineScores:
    """A baseline under the repeated cross-validation of `hw1.analysis.evaluation`.

    Attributes:
        baseline: what it is called.
        form: as Python writes it.
        n_splits, seed: of the folds.
        n_rows: on how many of the training examples of a fold it was fitted, a random subset; None
            for all.
        scores: ``(n_repeats, n_splits)``, of the first repeats; None where it cannot be fitted.
        seconds: that the fits took.
        scikit_learn: its version.
        metric: what the scores measure.
    """

    baseline: str
    form: str
    n_splits: int
    seed: int
    n_rows: int | None
    scores: list[list[float | None]]
    seconds: float
    scikit_learn: str
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.n_splits < 2 or any(len(row) != self.n_splits for row in self.scores):
            raise ValueError(f"scores of {self.n_splits} folds: {self.scores}")

    @property
    def estimate(self) -> Estimate:
        """The mean with its 95% confidence interval."""
        return cross_validated(self.scores, metric=self.metric)


@dataclass(frozen=True)
class BaselineTest:
    """A baseline, fitted once to all training examples, on the test examples.

    Attributes:
        baseline, form, n_rows, seed, scikit_learn: as in `BaselineScores`.
        fingerprint: of the test examples.
        score: on them; None where it cannot be fitted.
        interval: of the score, for other test examples.
    """

    baseline: str
    form: str
    n_rows: int | None
    seed: int
    fingerprint: str
    score: float | None
    interval: list[float | None]
    scikit_learn: str

    def __post_init__(self) -> None:
        if len(self.interval) != 2:
            raise ValueError(f"interval {self.interval}")

    @property
    def estimate(self) -> Estimate:
        """The score; its 95% confidence interval covers other test examples."""
        return over_seeds([self.score], self.interval)


@dataclass(frozen=True)
class BaselineResult:
    """A baseline beside a network.

    Attributes:
        name: what it is called.
        cross_validation: on the network's folds.
        test: on its test examples; None if they were not scored.
        difference: the network's score minus the baseline's on the folds that both have, by the
            corrected resampled t-test; intervals and p values hold jointly for all baselines.
            None if one of them has no score.
    """

    name: str
    cross_validation: BaselineScores
    test: BaselineTest | None
    difference: PairedTest | None


def stored_baselines(
    results: StudyResults,
    n_splits: int,
    seed: int,
    scores: Sequence[Sequence[float | None]],
    test: str | None,
) -> list[BaselineResult]:
    """The baselines that are stored for a network's folds and test examples, the best first.

    Args:
        n_splits, seed: of the network's cross-validation.
        scores: its scores, ``(n_repeats, n_splits)``.
        test: the fingerprint of the test examples that it was scored on; None for none.
    """
    same = {"n_splits": n_splits, "seed": seed}
    parts = {p.baseline: p for p in results.records(BaselineScores, SCORES, **same)}
    tests = {t.baseline: t for t in results.records(BaselineTest, TESTS, fingerprint=test)}
    found = []
    for name, part in parts.items():
        part = replace(part, scores=part.scores[: len(scores)])
        both = [*scores[: len(part.scores)], *part.scores]
        known = not any(score is None for row in both for score in row)
        found.append((name, part, known))
    n_pairs = sum(known for *_, known in found)
    return results.metric.best_first(
        [
            BaselineResult(
                name,
                part,
                tests.get(name),
                corrected_t_test(scores[: len(part.scores)], part.scores, n_pairs)
                if known
                else None,
            )
            for name, part, known in found
        ],
        lambda result: result.cross_validation.estimate.mean,
    )


def fit_baselines(
    results: StudyResults,
    n_repeats: int,
    n_splits: int,
    seed: int,
    test: str | None = None,
    *,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> None:
    """Score and store the baselines that no study of these training examples has stored yet.

    Args:
        n_repeats, n_splits, seed: of the network's cross-validation.
        test: the fingerprint of the test examples if these are scored.
        again: whether they are fitted although they are stored.
    """
    own: dict[type, list[Any]] = {
        BaselineScores: results.records(BaselineScores, SCORES),
        BaselineTest: results.records(BaselineTest, TESTS),
    }
    others: list[StudyResults] | None = None

    def stored(kind: type[Found], key: str, **same: Any) -> Found | None:
        nonlocal others
        for record in [] if again else own[kind]:
            if all(getattr(record, name) == value for name, value in same.items()):
                return record  # type: ignore[no-any-return]
        if others is None:
            others = [] if again else list(_of_the_same_data(results))
        for other in others:
            with contextlib.suppress(InputError):
                if records := other.records(kind, key, **same):
                    return records[-1]
        return None

    data, test_rows = results.dataset.to(torch.device("cpu")), None
    n_held_out = math.ceil(len(data) / n_splits)
    n_features = data.inputs[0].numel()
    size = Size(data.task, len(data) - n_held_out, n_features, data.n_outputs, n_held_out)
    for baseline in BASELINES:
        planned = baseline.plan(size, n_repeats, n_splits)
        if planned is None:
            continue
        n_rows, most = planned
        same: dict[str, Any] = {
            "baseline": baseline.name(data.task),
            "form": " ".join(repr(baseline.make(data.task, n_rows)).split()),
            "seed": seed,
            "n_rows": n_rows if n_rows < size.rows else None,
        }
        fits = _Fits(baseline, data, n_rows, same["n_rows"], seed, results, watcher)
        made = {"scikit_learn": version("scikit-learn")}
        folds = {"n_splits": n_splits, "seed": seed, "baseline": same["baseline"]}
        part = stored(BaselineScores, SCORES, **same, n_splits=n_splits)
        scores, seconds = (part.scores, part.seconds) if part else ([], 0.0)
        if part is None or len(scores) < most:
            started = time.perf_counter()
            scores = [*scores, *fits.cross_validate(range(len(scores), most), n_splits)]
            seconds = round(seconds + time.perf_counter() - started, 3)
            metric = results.metric.name
            part = BaselineScores(
                **same | folds | made, scores=scores, seconds=seconds, metric=metric
            )
        if part not in own[BaselineScores]:
            results.store(SCORES, vars(part), **folds)
        if test is None:
            continue
        tested = stored(BaselineTest, TESTS, **same, fingerprint=test)
        if tested is None:
            test_rows = results.test_rows() if test_rows is None else test_rows
            assert test_rows is not None, "a network was scored on them"
            tested = BaselineTest(**same | made, **fits.test(test_rows))
        if tested not in own[BaselineTest]:
            results.store(TESTS, vars(tested), baseline=same["baseline"], fingerprint=test)


def _of_the_same_data(results: StudyResults) -> Iterator[StudyResults]:
    """The other studies of these training examples, by the same metric."""
    storage, settings = results.study.storage, results.settings
    for name in storage.study_names():
        with contextlib.suppress(InputError):  # of another program, or damaged
            study = Study(storage, name)
            same = study.settings.fingerprint, study.settings.metric
            if name != results.name and same == (settings.fingerprint, settings.metric):
                yield StudyResults(study, lambda: results.job)


@dataclass(frozen=True)
class _Fits:
    """The fits of a baseline to folds: to about so many examples, or a subset of ``n_rows``."""

    baseline: Baseline
    data: Dataset
    planned: int
    n_rows: int | None
    seed: int
    results: StudyResults
    watcher: Watcher

    def cross_validate(self, repeats: Sequence[int], n_splits: int) -> list[list[float | None]]:
        """The scores of these repeats, ``(n_repeats, n_splits)``."""
        tasks = []
        for repeat in repeats:
            splits = Splits.draw_fresh(self.data, n_splits, self.seed, repeat)
            rows = zip(splits.training_rows(), splits.validation_rows(), strict=True)
            for fold, (training, validation) in enumerate(rows):
                seed = derive_seed(self.seed, repeat, fold, BASELINE)
                tasks.append(partial(self._score, training, validation, seed))
        found = finite(self._run(tasks))
        return [found[i : i + n_splits] for i in range(0, len(found), n_splits)]

    def test(self, rows: Dataset) -> dict[str, Any]:
        """The score on the test examples after a fit to all training examples."""
        every, seed = torch.arange(len(self.data)), derive_seed(self.seed, BASELINE)
        (outputs,) = self._run([lambda: self._outputs(every, rows.inputs, seed)[None]])
        metric = self.results.metric
        ends = over_rows_and_seeds(row_losses(metric, outputs, rows), metric.name)
        return {
            "fingerprint": rows.fingerprint,
            "score": finite(score_rows(metric, outputs, rows))[0],
            "interval": finite(ends),
        }

    def _score(self, training: Tensor, validation: Tensor, seed: int) -> float:
        held_out = self.data.take(validation)
        outputs = self._outputs(training, held_out.inputs, seed)
        return score_rows(self.results.metric, outputs[None], held_out)[0]

    def _outputs(self, training: Tensor, inputs: Tensor, seed: int) -> Tensor:
        """After a fit to these training examples, or to a random subset if that was planned."""
        if self.n_rows is not None:
            chosen = np.random.default_rng(seed).permutation(len(training))[: self.n_rows]
            training = training[torch.from_numpy(np.sort(chosen))]
        return self.baseline.outputs(self.data.take(training), inputs, seed, self.planned)

    def _run(self, tasks: Sequence[Callable[[], Found]]) -> list[Found]:
        name = self.baseline.name(self.data.task)

        def say(n: int) -> None:
            self.watcher.say(f"baselines: {name}, fit {n} of {len(tasks)}")

        return _in_background(tasks, torch.get_num_threads(), say, self.watcher.on_step)


def _in_background(
    tasks: Sequence[Callable[[], Found]],
    n_threads: int,
    say: Callable[[int], None],
    on_step: Callable[[], None],
) -> list[Found]:
    """The results of tasks, which other threads do, each with one thread for its operations.

    This thread goes on hearing. What ``on_step`` raises ends the work at once: a fit cannot be
    stopped, but nothing waits for it.
    """
    left, done = deque(enumerate(tasks)), queue.SimpleQueue[Any]()
    found: dict[int, Found] = {}

    def work() -> None:
        with contextlib.suppress(IndexError), threadpool_limits(1, user_api="openmp"):
            while True:
                i, task = left.popleft()
                try:
                    done.put((i, task(), None))
                except BaseException as error:
                    done.put((i, None, error))

    # Warnings are of fits that have not converged, which their scores tell as well.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        say(1)
        for _ in range(min(n_threads, len(tasks))):
            threading.Thread(target=work, name="hw1-baselines", daemon=True).start()
        try:
            while len(found) < len(tasks):
                try:
                    i, result, error = done.get(timeout=SECONDS_BETWEEN_CALLS)
                except queue.Empty:
                    on_step()
                    continue
                if error is not None:
                    raise error
                found[i] = result
                say(min(len(found) + 1, len(tasks)))
        finally:
            left.clear()
    return [found[i] for i in range(len(tasks))]
