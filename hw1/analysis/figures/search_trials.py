"""The trials of a search as its figures need them: values, hyperparameters, and their axes."""

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.figures.marks import Axis, ColorScale, Points, Ticks
from hw1.analysis.figures.style import SEQUENTIAL, VERMILLION
from hw1.analysis.figures.ticks import around, ticks_of
from hw1.study import Study
from hw1.training.configuration import words_of
from hw1.words import number, value_text

FAR_OUT = 3.0
"""Values so many interquartile ranges worse than the worst quartile are drawn at the edge; on a
logarithmic axis only if that is a factor of a hundred, too."""
OUT = 1.5
"""The same for colors, of which the best trials are to have most."""


class Search:
    """A study's trials, read once for all its figures.

    Attributes:
        study: whose trials they are.
        trials: all of them, in order.
        completed: those with a finite value.
        values: the values of these.
        metric: the metric in words.
        label: the same, and which way is better.
        maximize: whether higher values are better.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.trials = study.trials()
        self.completed = [
            trial
            for trial in self.trials
            if trial.state == TrialState.COMPLETE and math.isfinite(trial.values[0])
        ]
        self.values = np.array([trial.values[0] for trial in self.completed])
        self.metric = study.metric.words
        self.label = f"{self.metric} ({study.metric.preference})"
        self.maximize = study.metric.maximize

    @property
    def best(self) -> FrozenTrial:
        """The completed trial with the best value, the first of several; there has to be one."""
        return self.study.ranked(self.completed)[0]

    @cached_property
    def importances(self) -> dict[str, float]:
        """The share of each hyperparameter that varies, the most important first.

        By Optuna's default, PED-ANOVA (https://arxiv.org/abs/2304.10255), in which nothing is
        random.
        """
        names = dict.fromkeys(itertools.chain.from_iterable(t.params for t in self.completed))
        varied = [
            n for n in names if len(np.unique(self.parameter(n).positions(self.having(n)))) > 1
        ]
        if not varied:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about few trials: the caption says so
            return optuna.importance.get_param_importances(self.study.optuna_study, params=varied)

    @cached_property
    def parameters(self) -> list["Parameter"]:
        """The hyperparameters that have at least two values, the most important first."""
        return [self.parameter(name) for name in self.importances]

    def parameter(self, name: str) -> "Parameter":
        """A hyperparameter with the range that it has in all completed trials together."""
        return Parameter.of(name, [trial.distributions[name] for trial in self.having(name)])

    def having(self, *names: str) -> list[FrozenTrial]:
        """The completed trials that have these hyperparameters."""
        return [trial for trial in self.completed if trial.params.keys() >= set(names)]


def name_trial(trial: FrozenTrial) -> str:
    """A trial's number and its score, for the pointer that rests on it."""
    if trial.state != TrialState.COMPLETE:
        return f"trial {trial.number}"
    spread = trial.user_attrs.get("std")
    more = f" ± {number(spread)}" if isinstance(spread, float) else ""
    return f"trial {trial.number}\n{number(trial.values[0])}{more}"


def describe_trial(trial: FrozenTrial) -> str:
    """The same with all its hyperparameters."""
    lines = (f"{words_of(name)} {value_text(value)}" for name, value in trial.params.items())
    return "\n".join([name_trial(trial), *lines])


@dataclass(frozen=True)
class Values:
    """The axis, or the colors, on which values of a metric are shown.

    Attributes:
        log: whether it is logarithmic: for errors that differ by more than a factor of ten.
        low, high: its ends; what is far out beyond them is drawn there.
        maximize: whether higher is better.
    """

    log: bool
    low: float
    high: float
    maximize: bool

    @classmethod
    def of(cls, values: Iterable[float], maximize: bool, *, colors: bool = False) -> "Values":
        """An axis or colors for these values; those that are not finite count for nothing."""
        array = np.array([value for value in values if math.isfinite(value)])
        if not array.size:
            return cls(False, 0.0, 1.0, maximize)
        low, high = float(array.min()), float(array.max())
        log = bool(not maximize and low > 0 and high > 10 * low)
        first, third = np.percentile(np.log10(array) if log else array, [25, 75])
        reach = (OUT if colors else FAR_OUT) * float(third - first)
        if log and not colors:
            reach = max(reach, 2.0)
        if maximize and reach > 0:
            low = max(low, first - reach)
        elif reach > 0:
            far = float(third + reach)
            high = min(high, 10.0 ** min(far, 300.0) if log else far)
        return cls(log, float(low), float(high), maximize)

    def within(self, values: Any) -> np.ndarray:
        """Values, those beyond an end moved there."""
        return np.asarray(np.clip(np.asarray(values, dtype=float), self.low, self.high))

    def beyond(self, values: Any) -> np.ndarray:
        """Which values lie beyond an end."""
        return np.asarray(self.within(values) != values)

    def axis(self, label: str, shared: str = "") -> Axis:
        """The axis, with some space beside its ends."""
        ends = around([self.low, self.high], log=self.log)
        return Axis(label, ends, log=self.log, shared=shared)

    def shades(self, values: Any) -> np.ndarray:
        """Values as numbers for `scale`."""
        inside = self.within(values)
        return np.log10(inside) if self.log else inside

    def ticks(self) -> Ticks:
        """Where there are numbers beside the colors, in `shades`."""
        ticks = ticks_of(Axis("", (self.low, self.high), log=self.log), 6)
        return tuple((float(self.shades(place)), text) for place, text in ticks)

    def scale(self, title: str, stops: tuple[tuple[float, str], ...] = SEQUENTIAL) -> ColorScale:
        """Colors for `shades`, the better the darker."""
        low, high = self.shades([self.low, self.high]).tolist()
        ends: tuple[float, float] = (low, high) if high > low else around([low])
        return ColorScale(stops, *ends, title, self.ticks(), reversed=not self.maximize)


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter as an axis.

    Attributes:
        name: as in the search space.
        choices: of a categorical one, as text; their positions on the axis are 0, 1, ...
        low, high: the ends of its range, or of the choices' positions.
        log: whether the axis is logarithmic.
        whole: whether there are whole numbers alone on a linear axis.
    """

    name: str
    choices: tuple[str, ...]
    low: float
    high: float
    log: bool
    whole: bool

    @classmethod
    def of(cls, name: str, distributions: Iterable[BaseDistribution]) -> "Parameter":
        """The parameter with the range that all these distributions have together."""
        several = list(distributions)
        if isinstance(several[0], CategoricalDistribution):
            choices = tuple(map(value_text, several[0].choices))
            return cls(name, choices, 0.0, float(len(choices) - 1), False, False)
        low = min(float(d.low) for d in several)  # type: ignore[attr-defined]
        high = max(float(d.high) for d in several)  # type: ignore[attr-defined]
        log = bool(several[0].log)  # type: ignore[attr-defined]
        return cls(name, (), low, high, log, isinstance(several[0], IntDistribution) and not log)

    @property
    def label(self) -> str:
        """What it is called."""
        return words_of(self.name)

    @property
    def coarse(self) -> bool:
        """Whether it has so few values that many trials share one."""
        return bool(self.choices) or (self.whole and self.high - self.low < 10)

    def positions(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        """Where each trial lies, ``(len(trials),)``; all of them have the hyperparameter."""
        name = self.name
        return np.array([t.distributions[name].to_internal_repr(t.params[name]) for t in trials])

    def spread(self, trials: Sequence[FrozenTrial], *, upwards: bool = False) -> np.ndarray:
        """The positions; points of a `coarse` one beside each other rather than on top.

        Args:
            trials: whose positions.
            upwards: for a vertical axis, lest points lie along a diagonal.
        """
        positions = self.positions(trials)
        if not self.coarse:
            return positions
        # Multiples of these two numbers fill a square evenly, however many they are
        # (https://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/).
        step = 0.5698402910 if upwards else 0.7548776662
        places = np.array([trial.number * step % 1 for trial in trials])
        return positions + 0.4 * (places - 0.5)

    def unit(self, positions: Any) -> np.ndarray:
        """Positions along the axis, 0 and 1 at its ends."""
        numbers = np.asarray(positions, dtype=float)
        low, high = self.low, self.high
        if self.log:
            numbers, low, high = np.log(numbers), math.log(low), math.log(high)
        return np.asarray((numbers - low) / (high - low or 1.0))

    def at(self, places: Any) -> np.ndarray:
        """The positions of places from 0 to 1 along the axis: the inverse of `unit`."""
        numbers = np.asarray(places, dtype=float)
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** numbers)
        return np.asarray(self.low + numbers * (self.high - self.low))

    def axis(self, n_ticks: int = 4, shared: str = "") -> Axis:
        """The axis, its whole range with some space beside."""
        if self.coarse:
            ends = self.low - 0.5, self.high + 0.5
        else:
            space = 0.04 if self.log else 0.06
            ends = around([self.low, self.high], space=space, log=self.log)
        names = tuple((float(i), choice) for i, choice in enumerate(self.choices)) or None
        return Axis(
            self.label,
            ends,
            log=self.log,
            ticks=names,
            n_ticks=n_ticks,
            whole=self.whole,
            shared=shared,
        )


def best_mark(x: Any, y: Any) -> Points:
    """How the best trial stands out."""
    return Points(x, y, VERMILLION, size=11, symbol="diamond", outline_width=1.2)
