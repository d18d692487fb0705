"""The layers of compiled networks by themselves; together they are in test_batches.py."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training.compiled.layer_kernels import draw_dropout
from hw1.training.kernels import fold_in_key
from hw1.training.keys import dropout_factors, fold_in, keys


@settings(deadline=None)
@given(
    st.integers(0, 2**62),
    st.floats(0, 1),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 2**31 - 2),
)
def test_dropout_draws_what_the_keys_draw(
    seed: int, p: float, n_rows: int, width: int, step: int
) -> None:
    key = fold_in(keys([seed])[0], step)
    expected = dropout_factors(key, torch.tensor(p, dtype=torch.float64), (n_rows, width))
    factors = np.empty((n_rows, width))
    first, second = key.numpy().view(np.uint32)
    draw_dropout((first, second), p, factors)
    np.testing.assert_allclose(factors, expected, rtol=1e-12)


def test_keys_are_folded_as_those_of_torch_are() -> None:
    key = keys([12345])[0]
    for number in (0, 1, 7, 2**20):
        first, second = key.numpy().view(np.uint32)
        folded = fold_in_key((first, second), number)
        assert [int(half) for half in folded] == fold_in(key, number).numpy().view(
            np.uint32
        ).tolist()
