"""The trials of a search as its figures need them: values, parameters, and the axes of both."""

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.figures.marks import Axis, ColorScale, Points, Ticks
from hw1.analysis.figures.style import INK, SEQUENTIAL, VERMILLION
from hw1.analysis.figures.ticks import around, linear_ticks, log_ticks
from hw1.study import Study
from hw1.words import number, tick_label

Stops = tuple[tuple[float, str], ...]

N_SHOWN = 6
"""The parameters that figures show at most: the most important ones."""
FAR_OUT = 3.0
"""Values so many interquartile ranges worse than the worst quartile are drawn at the edge; on a
logarithmic axis only if that is a factor of a hundred, too."""
OUT = 1.5
"""The same for colors, of which the best trials are to have most."""


def completed(study: Study) -> list[FrozenTrial]:
    """The completed trials with a finite value, in order."""
    return [
        trial
        for trial in study.trials()
        if trial.state == TrialState.COMPLETE and math.isfinite(trial.values[0])
    ]


def best_of(study: Study, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """The one with the best value; the first of several."""
    return study.ranked(trials)[0]


def metric_label(study: Study) -> str:
    """What a trial's value is and which way is better."""
    return f"{metric_name(study)} ({study.metric.preference})"


def metric_name(study: Study) -> str:
    """The name of the metric in words."""
    return study.metric.words


def name_trial(trial: FrozenTrial) -> str:
    """A trial's number and its score, for the pointer that rests on it."""
    if trial.state != TrialState.COMPLETE:
        return f"trial {trial.number}"
    spread = trial.user_attrs.get("std")
    more = f" ± {number(spread)}" if isinstance(spread, float) else ""
    return f"trial {trial.number}\n{number(trial.values[0])}{more}"


def describe_trial(trial: FrozenTrial) -> str:
    """The same with all its parameters."""
    lines = [name_trial(trial)]
    for name, value in trial.params.items():
        lines.append(f"{name} = {number(value) if isinstance(value, float) else value}")
    return "\n".join(lines)


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
        array = np.asarray(values, dtype=float)
        return (array < self.low) | (array > self.high)

    def axis(self, label: str, shared: str = "") -> Axis:
        """The axis, with some space beside its ends."""
        ends = around([self.low, self.high], log=self.log)
        return Axis(label, ends, log=self.log, shared=shared)

    def shades(self, values: Any) -> np.ndarray:
        """Values as numbers for a color scale that ends at the two `ends`."""
        inside = self.within(values)
        return np.log10(inside) if self.log else inside

    @property
    def ends(self) -> tuple[float, float]:
        """The two ends of the colors."""
        low, high = self.shades([self.low, self.high]).tolist()
        beside = 0.05 * abs(low) or 0.5
        return (low, high) if high > low else (low - beside, high + beside)

    def ticks(self) -> Ticks:
        """Where there are numbers beside the colors, in `shades`."""
        ticks = (log_ticks if self.log else linear_ticks)(self.low, self.high, 6)
        step = None if self.log or len(ticks) < 2 else ticks[1] - ticks[0]
        places = np.log10(ticks).tolist() if self.log else ticks
        texts = (tick_label(tick, step) for tick in ticks)
        return tuple(zip(places, texts, strict=True))

    def scale(self, title: str, stops: Stops = SEQUENTIAL) -> ColorScale:
        """Colors for `shades`, the better the darker."""
        return ColorScale(stops, *self.ends, title, self.ticks(), reversed=not self.maximize)


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter as an axis.

    Attributes:
        name: as in the search space.
        choices: of a categorical one, as text; their positions on the axis are 0, 1, ...
        low, high: the ends of its range, or of the choices' positions.
        log: whether the axis is logarithmic.
        integer: whether it is a whole number.
    """

    name: str
    choices: tuple[str, ...]
    low: float
    high: float
    log: bool
    integer: bool

    @classmethod
    def of(cls, name: str, distributions: Iterable[BaseDistribution]) -> "Parameter":
        """The parameter with the range that all these distributions have together."""
        several = list(distributions)
        if isinstance(several[0], CategoricalDistribution):
            choices = tuple(str(choice) for choice in several[0].choices)
            return cls(name, choices, 0.0, float(len(choices) - 1), False, False)
        low = min(float(d.low) for d in several)  # type: ignore[attr-defined]
        high = max(float(d.high) for d in several)  # type: ignore[attr-defined]
        log, integer = bool(several[0].log), isinstance(several[0], IntDistribution)  # type: ignore[attr-defined]
        return cls(name, (), low, high, log, integer)

    @property
    def label(self) -> str:
        """Its name in words."""
        return self.name.replace("_", " ")

    @property
    def coarse(self) -> bool:
        """Whether it has so few values that many trials share one."""
        return bool(self.choices) or (self.integer and not self.log and self.high - self.low < 10)

    def positions(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        """Where each trial lies, ``(len(trials),)``; NaN where it lacks the parameter."""
        return np.array(
            [
                float(trial.distributions[self.name].to_internal_repr(trial.params[self.name]))
                if self.name in trial.params
                else np.nan
                for trial in trials
            ]
        )

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
            logarithms = math.log(self.low) + numbers * math.log(self.high / self.low)
            return np.exp(logarithms)
        return np.asarray(self.low + numbers * (self.high - self.low))

    def axis(self, n_ticks: int = 4, shared: str = "") -> Axis:
        """The axis, its whole range with some space beside."""
        if self.log:
            ends = around([self.low, self.high], space=0.04, log=True)
        else:
            space = 0.5 if self.coarse else 0.06 * (self.high - self.low) or 0.5
            ends = self.low - space, self.high + space
        names = tuple((float(i), choice) for i, choice in enumerate(self.choices)) or None
        return Axis(
            self.label,
            ends,
            log=self.log,
            ticks=names,
            n_ticks=n_ticks,
            whole=self.integer and not self.log,
            shared=shared,
        )


def parameters(trials: Sequence[FrozenTrial]) -> dict[str, Parameter]:
    """Those parameters, by name, that have at least two values among the trials."""
    found = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(t.params for t in trials)):
        having = [trial for trial in trials if name in trial.params]
        parameter = Parameter.of(name, [trial.distributions[name] for trial in having])
        if len(np.unique(parameter.positions(having))) > 1:
            found[name] = parameter
    return found


def importances_of(study: Study, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """The share of each parameter that varies, the most important first; empty for one trial.

    By Optuna's default, PED-ANOVA (https://arxiv.org/abs/2304.10255), in which nothing is random.
    """
    varied = parameters(trials)
    if len(trials) < 2 or not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about few trials: the caption says so
        shares = optuna.importance.get_param_importances(study.optuna_study, params=list(varied))
    total = sum(shares.values())
    return dict(sorted(((n, s / total) for n, s in shares.items()), key=lambda item: -item[1]))


def best_mark(x: Any, y: Any) -> Points:
    """How the best trial stands out."""
    return Points(x, y, VERMILLION, size=11, symbol="diamond", outline_width=1.2)


POINT_OUTLINE: dict[str, Any] = {"outline": INK, "outline_width": 0.5}
"""Of points whose color may be as light as the paper."""
