import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw1.words import (
    between,
    copyable,
    counted,
    duration,
    in_words,
    listed,
    natural,
    number,
    p_value,
    plus_minus,
    range_text,
    tick_label,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.30884, "0.3088"),
        (1.1177e-5, "1.118 × 10⁻⁵"),
        (-2e10, "−2 × 10¹⁰"),
        (3.0, "3"),
        (12345.6, "12,346"),
        (999.96, "1,000"),
        (1234567.0, "1.235 × 10⁶"),
        (0.0003, "0.0003"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_four_digits_and_powers_of_ten(value: float | None, text: str) -> None:
    assert number(value) == text


def test_numbers_in_a_terminal_can_be_copied() -> None:
    values = [8.0142e-5, -0.25, 12345.6, 1.5e7, None]
    assert list(map(copyable, values)) == ["8.014e-05", "-0.25", "12346", "1.5e+07", "–"]


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [
        (0.30884, 0.198, "0.309 ± 0.198"),
        (0.83942, 0.003938, "0.8394 ± 0.0039"),
        (0.83942, 0.0996, "0.839 ± 0.100"),
        (12345.6, 1234.5, "12,346 ± 1,234"),
        (-0.0173, 0.0526, "−0.0173 ± 0.0526"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.1, 1.4e-17, "0.1 ± 0"),
        (1.5e-9, 2e-10, "1.5 × 10⁻⁹ ± 2 × 10⁻¹⁰"),
        (0.5, math.nan, "0.5"),
        (0.5, None, "0.5"),
        (0.0, 0.5, "0.00 ± 0.50"),
    ],
)
def test_a_mean_and_its_deviation_end_at_the_same_place(
    mean: float, spread: float | None, text: str
) -> None:
    assert plus_minus(mean, spread) == text


@given(st.floats(-1e5, 1e5).filter(lambda x: abs(x) > 1e-3), st.floats(1e-4, 1e4))
def test_what_is_rounded_is_near(mean: float, spread: float) -> None:
    left, right = plus_minus(mean, spread).replace("−", "-").replace(",", "").split(" ± ")
    assert float(left) == pytest.approx(mean, abs=spread / 18)
    assert float(right) == pytest.approx(spread, rel=0.06)
    assert len(left.partition(".")[2]) == len(right.partition(".")[2])


def test_intervals_without_ends_are_dashes() -> None:
    assert between(0.1, 0.25, 2) == "0.10 to 0.25"
    assert between(math.nan, math.nan, None) == "–"


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0, 0.1, "0"),
        (0.5, 0.25, "0.50"),
        (-2, 1, "−2"),
        (12345, 5, "12,345"),
        (0.30000000000000004, 0.1, "0.3"),
        (1.5e7, 5e6, "1.5×10⁷"),
        (1e-4, None, "10⁻⁴"),
        (0.02, None, "0.02"),
        (1000, None, "1,000"),
    ],
)
def test_format_tick(value: float, step: float | None, text: str) -> None:
    assert tick_label(value, step) == text


def test_lists_are_cut() -> None:
    assert [listed(list("abcdef")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed(list("abcdef"), 3) == "a, b and 4 more"
    assert listed(["a", "b"], last="or") == "a or b"


def test_counts_and_durations_have_their_unit() -> None:
    assert counted(1, "study", "studies") == "1 study"
    assert counted(12_000, "trial") == "12,000 trials"
    assert counted(2, "class") == "2 classes"
    assert [duration(s) for s in (0.25, 59.4, 59.7, 169, 3599.7)] == [
        *("0.25 s", "59.4 s", "1 min", "2 min 49 s", "1 h"),
    ]
    assert [duration(s) for s in (27_000, 36_000, 1e7)] == ["7 h 30 min", "10 h", "2,777 h 47 min"]
    assert [duration(s) for s in (math.nan, math.inf)] == ["–", "–"]


def test_p_values_have_two_digits() -> None:
    assert [p_value(p) for p in (0.0009, 0.0314, 1.0)] == ["< 0.001", "0.031", "1"]


def test_values_and_ranges_of_hyperparameters() -> None:
    values = [None, True, False, 1.5, 3, "relu", [8, 16], []]
    texts = ["none", "yes", "no", "1.5", "3", "relu", "8 – 16", "none"]
    assert list(map(value_text, values)) == texts
    assert range_text(1e-5, 0.1, log=True) == "1 × 10⁻⁵ to 0.1, log"
    assert range_text(2, 8, step=2) == "2 to 8, step 2"
    assert range_text(1, 4, step=1) == "1 to 4"


def test_names_are_words_sorted_with_their_numbers() -> None:
    assert in_words("mean_squared_error") == "mean squared error"
    assert sorted(["b", "a10", "a2", "a"], key=natural) == ["a", "a2", "a10", "b"]
