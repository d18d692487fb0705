"""How an epoch's examples are cut into batches."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw1.training.plan import cut

N_ROWS, BATCH_SIZES = st.integers(1, 10_000), st.integers(1, 1_000)


@given(N_ROWS, BATCH_SIZES)
def test_the_steps_are_those_of_whole_batches_rounded(n_rows: int, batch_size: int) -> None:
    steps, batch = cut(n_rows, batch_size)
    assert steps == 1 or abs(steps - Fraction(n_rows, batch_size)) <= Fraction(1, 2)
    # The largest batch that the rows suffice for.
    assert steps * batch <= n_rows
    assert batch == batch_size or (batch < batch_size and steps * (batch + 1) > n_rows)


@given(st.integers(2, 10_000), st.integers(2, 1_000))
def test_no_batch_is_a_single_row(n_rows: int, batch_size: int) -> None:
    assert cut(n_rows, batch_size)[1] >= 2


@given(st.integers(2, 2_000), st.integers(8, 256), st.integers(2, 20))
def test_a_retraining_has_nearly_the_batch_that_was_tuned(
    of_a_fold: int, batch_size: int, n_splits: int
) -> None:
    n_rows = of_a_fold + -(-of_a_fold // (n_splits - 1))
    tuned, retrained = cut(of_a_fold, batch_size)[1], cut(n_rows, batch_size)[1]
    if n_rows <= batch_size:
        assert (tuned, retrained) == (of_a_fold, n_rows)
    elif of_a_fold <= batch_size:
        # As many as there are; then no more than it was meant to be.
        assert tuned == of_a_fold
        assert Fraction(3, 4) * batch_size < retrained + 1 <= batch_size + 1
    else:
        # Within a factor of 4/3, but for the rounding to whole rows.
        assert 3 * tuned < 4 * (retrained + 1)
        assert 3 * retrained < 4 * (tuned + 1)


@pytest.mark.parametrize(
    ("batch_size", "of_a_fold", "of_all"),
    [
        (20, (4, 20), (5, 20)),
        (40, (2, 40), (2, 40)),
        (64, (1, 64), (2, 50)),
        (80, (1, 80), (1, 80)),
        (100, (1, 80), (1, 100)),
        (256, (1, 80), (1, 100)),
    ],
)
def test_batches_of_80_rows_and_of_100(
    batch_size: int, of_a_fold: tuple[int, int], of_all: tuple[int, int]
) -> None:
    assert (cut(80, batch_size), cut(100, batch_size)) == (of_a_fold, of_all)
