import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hw1.analysis.report.wording import (
    Code,
    between,
    clean,
    counted,
    distribution_text,
    duration,
    listed,
    natural,
    number,
    plus_minus,
    shortened,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.30884, "0.3088"),
        (1.1177e-5, "1.118 × 10⁻⁵"),
        (-2e10, "−2 × 10¹⁰"),
        (3.0, "3"),
        (0.0003, "0.0003"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_four_digits_and_powers_of_ten(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [
        (0.30884, 0.198, "0.309 ± 0.198"),
        (0.83942, 0.003938, "0.8394 ± 0.0039"),
        (0.83942, 0.0996, "0.839 ± 0.100"),
        (12345.6, 1234.5, "12346 ± 1234"),
        (-0.0173, 0.0526, "−0.0173 ± 0.0526"),
        (0.5, 0.0, "0.5 ± 0"),
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


@given(
    st.floats(-1e5, 1e5).filter(lambda x: abs(x) > 1e-3),
    st.floats(1e-4, 1e4),
)
def test_what_is_rounded_is_near(mean: float, spread: float) -> None:
    left, right = plus_minus(mean, spread).replace("−", "-").split(" ± ")
    assert float(left) == pytest.approx(mean, abs=spread / 18)
    assert float(right) == pytest.approx(spread, rel=0.06)
    assert len(left.partition(".")[2]) == len(right.partition(".")[2])


def test_intervals_without_ends_are_dashes() -> None:
    assert between(0.1, 0.25, 2) == "0.10 to 0.25"
    assert between(math.nan, math.nan, None) == "–"


def test_lists_are_cut() -> None:
    assert "".join(map(str, listed(["a"]))) == "a"
    assert "".join(map(str, listed(["a", "b", "c"]))) == "a, b and c"
    assert "".join(map(str, listed(list("abcdef"), 3))) == "a, b and 4 more"
    assert listed([("x", Code("y")), "z"]) == ("x", Code("y"), " and ", "z")


def test_counts_and_durations_have_their_unit() -> None:
    assert counted(1, "study", "studies") == "1 study"
    assert counted(12_000, "trial") == "12,000 trials"
    assert [duration(s) for s in (0.25, 99, 100, 36_000)] == ["0.25 s", "99 s", "1.67 min", "10 h"]


@given(st.text(max_size=80), st.integers(8, 40))
def test_shortened_names_are_short_and_begin_and_end_alike(name: str, longest: int) -> None:
    short = shortened(name, longest)
    assert len(short) <= longest
    assert short == name or (name.startswith(short[:3]) and name.endswith(short[-3:]))


@given(st.text())
def test_clean_text_is_one_line_that_xml_and_utf8_can_hold(text: str) -> None:
    found = clean(text)
    found.encode()
    assert len(found) == len(text)
    assert not any(ord(c) < 32 or c in "\ufffe\uffff\u202e\u2028\x7f" for c in found)
    assert clean(found) == found


def test_distributions_are_told_with_range_scale_and_step() -> None:
    assert distribution_text(FloatDistribution(1e-5, 0.1, log=True)) == "1 × 10⁻⁵ to 0.1, log"
    assert distribution_text(FloatDistribution(0, 0.5, step=0.25)) == "0 to 0.5, step 0.25"
    assert distribution_text(IntDistribution(1, 4)) == "1 to 4"
    assert distribution_text(IntDistribution(2, 8, step=2)) == "2 to 8, step 2"
    choices = CategoricalDistribution([None, True, False, 1.5, "relu"])
    assert distribution_text(choices) == "none, yes, no, 1.5, relu"
    assert value_text([8, 16]) == "8 – 16"


def test_names_are_sorted_with_their_numbers() -> None:
    assert sorted(["b", "a10", "a2", "a"], key=natural) == ["a", "a2", "a10", "b"]
