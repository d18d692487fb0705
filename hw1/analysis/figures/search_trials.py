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

from hw1.analysis.figures.style import INK
from hw1.analysis.figures.ticks import linear_ticks, log_axis, log_ticks
from hw1.study import Study
from hw1.words import number, tick_label

N_SHOWN = 6
"""The parameters that figures show at most: the most important ones."""
FAR_OUT = 3.0
"""Values so many interquartile ranges worse than the worst quartile are drawn at the edge; on a
logarithmic axis only if that is a factor of a hundred, too."""
OUT = 1.5
"""The same for colours, of which the best trials are to have most."""


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
    return f"{metric_name(study)} (fold mean, {study.metric.preference})"


def metric_name(study: Study) -> str:
    """The name of the metric in words."""
    return study.metric.words


def name_trial(trial: FrozenTrial) -> str:
    """A trial's number and its score, for the pointer that rests on it."""
    if trial.state != TrialState.COMPLETE:
        return f"<b>trial {trial.number}</b>"
    spread = trial.user_attrs.get("std")
    more = f" ± {number(spread)}" if isinstance(spread, float) else ""
    return f"<b>trial {trial.number}</b><br>{number(trial.values[0])}{more}"


def describe_trial(trial: FrozenTrial) -> str:
    """The same with all its parameters."""
    lines = [name_trial(trial)]
    for name, value in trial.params.items():
        lines.append(f"{name} = {number(value) if isinstance(value, float) else value}")
    return "<br>".join(lines)


@dataclass(frozen=True)
class Values:
    """The axis, or the colours, on which values of a metric are shown.

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
    def of(cls, values: Iterable[float], maximize: bool, *, colours: bool = False) -> "Values":
        """An axis or colours for these values; those that are not finite count for nothing."""
        array = np.array([value for value in values if math.isfinite(value)])
        if not array.size:
            return cls(False, 0.0, 1.0, maximize)
        low, high = float(array.min()), float(array.max())
        log = bool(not maximize and low > 0 and high > 10 * low)
        first, third = np.percentile(np.log10(array) if log else array, [25, 75])
        reach = (OUT if colours else FAR_OUT) * float(third - first)
        if log and not colours:
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

    def axis(self, n_ticks: int = 6) -> dict[str, Any]:
        """Plotly's properties of the axis."""
        if self.log:
            return log_axis(self.low, self.high, n_ticks)
        space = 0.05 * (self.high - self.low) or 0.05 * abs(self.high) or 0.5
        return {"range": [self.low - space, self.high + space]}

    def shades(self, values: Any) -> np.ndarray:
        """Values as numbers for a colour scale that ends at the two `ends`."""
        inside = self.within(values)
        return np.log10(inside) if self.log else inside

    @property
    def ends(self) -> tuple[float, float]:
        """The two ends of the colours."""
        low, high = self.shades([self.low, self.high]).tolist()
        beside = 0.05 * abs(low) or 0.5
        return (low, high) if high > low else (low - beside, high + beside)

    def colour_bar(self, title: str) -> dict[str, Any]:
        """Plotly's properties of a bar for these colours."""
        ticks = (log_ticks if self.log else linear_ticks)(self.low, self.high, 6)
        step = None if self.log or len(ticks) < 2 else ticks[1] - ticks[0]
        return {
            "title": {"text": title},
            "tickvals": np.log10(ticks) if self.log else ticks,
            "ticktext": [tick_label(tick, step) for tick in ticks],
        }


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

    def ticks(self, n_ticks: int = 4) -> tuple[list[float], list[str]] | None:
        """Positions and labels of ticks; None where plotly is to choose them."""
        if self.choices:
            return [float(i) for i in range(len(self.choices))], list(self.choices)
        if self.log:
            ticks = log_ticks(self.low, self.high, n_ticks)
            return ticks, [tick_label(tick) for tick in ticks]
        if self.integer and self.high - self.low <= n_ticks:
            whole = list(range(int(self.low), int(self.high) + 1))
            return [float(i) for i in whole], [str(i) for i in whole]
        return None

    def axis(self, n_ticks: int = 4) -> dict[str, Any]:
        """Plotly's properties of the axis, its whole range with some space beside."""
        properties: dict[str, Any] = {"nticks": n_ticks}
        if self.log:
            properties |= log_axis(self.low, self.high, n_ticks)
        else:
            space = 0.5 if self.coarse else 0.06 * (self.high - self.low) or 0.5
            properties["range"] = [self.low - space, self.high + space]
        ticks = self.ticks(n_ticks)
        if ticks is not None:
            properties |= {"tickvals": ticks[0], "ticktext": ticks[1]}
        return properties


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


def whole(last: int) -> dict[str, Any]:
    """Plotly's properties of an axis of numbers, such as epochs, up to ``last``: no fractions."""
    return {"dtick": 1} if last < 10 else {}


BEST_MARK: dict[str, Any] = {
    "symbol": "diamond",
    "size": 11,
    "line": {"color": "white", "width": 1.2},
}
"""How the best trial stands out, in vermillion."""
POINT_OUTLINE = {"color": INK, "width": 0.5}
"""Of points whose colour may be as light as the paper."""
