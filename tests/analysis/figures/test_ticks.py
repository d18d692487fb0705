import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw1.analysis.figures.marks import Axis
from hw1.analysis.figures.ticks import around, linear_ticks, log_ticks, ticks_of

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("low", "high", "wanted", "ticks"),
    [
        (0, 10, 6, [0, 2, 4, 6, 8, 10]),
        (0, 10, 11, list(range(11))),
        (-1, 1, 5, [-1, -0.5, 0, 0.5, 1]),
        (0.13, 0.31, 4, [0.15, 0.2, 0.25, 0.3]),
        (97, 103, 3, [98, 100, 102]),
        (5, 5, 4, [5]),
    ],
)
def test_linear_ticks(low: float, high: float, wanted: int, ticks: list[float]) -> None:
    assert linear_ticks(low, high, wanted) == pytest.approx(ticks)


@given(NUMBERS, st.floats(1e-3, 1e6), st.integers(2, 20))
def test_linear_ticks_are_even_within_and_not_too_many(low: float, span: float, n: int) -> None:
    ticks = linear_ticks(low, low + span, n)
    slack = 1e-6 * span + 1e-9 * abs(low)
    assert 2 <= len(ticks) <= max(n, 5)
    assert low - slack <= ticks[0] < ticks[-1] <= low + span + slack
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-3


@pytest.mark.parametrize(
    ("low", "high", "wanted", "ticks"),
    [
        (1, 1000, 4, [1, 10, 100, 1000]),
        (1e-8, 1, 4, [1e-8, 1e-6, 1e-4, 1e-2, 1]),
        (0.5, 30, 6, [0.5, 1, 2, 5, 10, 20]),
        (0.5, 30, 3, [1, 3, 10, 30]),
        (0.21, 0.39, 4, [0.25, 0.3, 0.35]),
    ],
)
def test_log_ticks(low: float, high: float, wanted: int, ticks: list[float]) -> None:
    assert log_ticks(low, high, wanted) == pytest.approx(ticks)


@given(st.floats(1e-9, 1e6), st.floats(1, 1e9), st.integers(2, 9))
def test_a_log_axis_holds_its_ends_and_labels_its_ticks(low: float, ratio: float, n: int) -> None:
    ends = around([low, low * ratio], log=True)
    assert ends[0] < low <= low * ratio < ends[1]
    ticks = ticks_of(Axis("", ends, log=True), n)
    assert len(ticks) <= max(3 * n, 5)
    assert all(ends[0] * (1 - 1e-8) <= place <= ends[1] * (1 + 1e-8) for place, _ in ticks)


@given(st.integers(0, 50), st.integers(1, 2000), st.integers(2, 12))
def test_an_axis_of_whole_numbers_has_no_fractions(low: int, span: int, n: int) -> None:
    ticks = ticks_of(Axis("epoch", (low - 0.5, low + span + 0.5), whole=True), n)
    assert ticks and all(place.is_integer() and "." not in text for place, text in ticks)


def test_ticks_of_ones_own_shares_and_an_axis_upside_down() -> None:
    assert ticks_of(Axis("", (0.0, 1.0), ticks=((0.5, "a"), (2.0, "beyond"))), 9) == ((0.5, "a"),)
    texts = [text for _, text in ticks_of(Axis("", (1.0, 0.0), percent=True), 3)]
    assert texts == ["0%", "50%", "100%"]


@given(st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), max_size=9))
def test_the_ends_of_an_axis_lie_around_its_numbers(numbers: list[float]) -> None:
    low, high = around(numbers)
    assert low < high and all(low < number < high for number in numbers if math.isfinite(number))
