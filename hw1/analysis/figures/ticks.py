"""Where axes end, and where their ticks lie."""

import math

import numpy as np

from hw1.analysis.figures.marks import Axis, Numbers, Pair, Ticks
from hw1.words import tick_label


def linear_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten: as many as wanted at most, but two at least."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / wanted))
    slack = 1e-9 * (high - low)
    ticks: list[float] = []
    for step in sorted((factor * power for factor in (1, 2, 5, 10, 20)), reverse=True):
        first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
        finer = [step * i for i in range(first, last + 1)]
        if len(finer) > wanted and len(ticks) > 1:
            break
        ticks = finer
    return ticks


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Powers of ten; between them 2 and 5 where there is room, or only some where there isn't.

    Within a factor of five there are hardly any: there the ticks are those of a linear axis.
    """
    if high < 5 * low:
        return linear_ticks(low, high, wanted)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    n_decades = math.log10(high) - math.log10(low)
    factors = (1, 2, 5) if 3 * n_decades <= wanted else (1, 3) if n_decades < 2 else (1,)
    every = max(1, math.ceil(n_decades / wanted))
    powers = range(math.ceil(first / every) * every, last + 1, every)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def around(numbers: Numbers, *, space: float = 0.05, log: bool = False) -> Pair:
    """The ends of an axis that holds all these numbers, with a share of their extent beside."""
    array = np.asarray(numbers, dtype=float)
    array = array[np.isfinite(array)]
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    if log:
        first, last = math.log10(low), math.log10(high)
        beside = max(space * (last - first), 0.02)
        return 10.0 ** max(first - beside, -300), 10.0 ** min(last + beside, 300)
    beside = space * (high - low) or 0.05 * abs(high) or 0.5
    return low - beside, high + beside


def ticks_of(axis: Axis, wanted: int) -> Ticks:
    """The ticks of an axis and what they say; unless it has its own, as many as wanted at most."""
    low, high = sorted(axis.range)
    if axis.ticks is not None:
        return tuple(tick for tick in axis.ticks if low <= tick[0] <= high)
    wanted = max(axis.n_ticks or wanted, 2)
    if axis.log:
        return tuple((tick, tick_label(tick)) for tick in log_ticks(low, high, wanted))
    if axis.whole:
        wanted = max(min(wanted, int(high - low) + 1), 2)
    places = linear_ticks(low, high, wanted)
    if axis.whole:
        places = [place for place in places if float(place).is_integer()]
    step = places[1] - places[0] if len(places) > 1 else None
    if axis.percent:
        return tuple(
            (place, f"{tick_label(100 * place, step and 100 * step)}%") for place in places
        )
    return tuple((place, tick_label(place, step)) for place in places)
