from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hw1.analysis.report.wording import Code, clean, distribution_text, listed, shortened
from hw1.words import value_text


def test_lists_are_cut() -> None:
    assert "".join(map(str, listed(["a"]))) == "a"
    assert "".join(map(str, listed(["a", "b", "c"]))) == "a, b and c"
    assert "".join(map(str, listed(list("abcdef"), 3))) == "a, b and 4 more"
    assert listed([("x", Code("y")), "z"]) == ("x", Code("y"), " and ", "z")


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
