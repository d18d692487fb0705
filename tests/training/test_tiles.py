"""Products of tiles: against NumPy, in all shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training.compiled.tiles import VECTOR, is_worth_tiles, multiply, transpose

NO_START = {dtype: np.zeros(0, dtype) for dtype in (np.float32, np.float64)}


@given(
    height=st.integers(1, 40),
    more=st.integers(0, 60),
    n=st.integers(1, 40),
    dtype=st.sampled_from([np.float32, np.float64]),
    transposes=st.booleans(),
    starts=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_products_are_those_of_numpy(
    height: int, more: int, n: int, dtype: type, transposes: bool, starts: bool, seed: int
) -> None:
    width = VECTOR // np.dtype(dtype).itemsize + more
    generator = np.random.default_rng(seed)
    a, b, start = (
        generator.standard_normal(shape).astype(dtype)
        for shape in ((n, height) if transposes else (height, n), (n, width), width)
    )
    # What lies behind the result stays as it is.
    room = np.full(height * width + 8, 7, dtype)
    out = room[: height * width].reshape(height, width)
    multiply(a, transposes, b, out, start if starts else NO_START[dtype])
    expected = (a.T if transposes else a).astype(np.float64) @ b + (start if starts else 0)
    assert np.allclose(out, expected, atol=1e-4 if dtype is np.float32 else 1e-12)
    assert (room[height * width :] == 7).all()


@given(more=st.tuples(st.integers(0, 40), st.integers(0, 40)), double=st.booleans())
@settings(max_examples=60, deadline=None)
def test_transposition_moves_every_number(more: tuple[int, int], double: bool) -> None:
    dtype = np.dtype(np.float64 if double else np.float32)
    height, width = (VECTOR // dtype.itemsize + m for m in more)
    a = np.arange(height * width, dtype=dtype).reshape(height, width)
    out = np.zeros((width, height), dtype)
    transpose(a, out)
    assert (out == a.T).all()


def test_what_is_not_finite_stays_so() -> None:
    a, b = np.ones((8, 20), np.float32), np.ones((20, 32), np.float32)
    a[3, 5] = np.nan
    out = np.zeros((8, 32), np.float32)
    multiply(a, False, b, out, NO_START[np.float32])
    assert np.isnan(out[3]).all()
    assert np.isfinite(np.delete(out, 3, 0)).all()


@pytest.mark.parametrize(
    ("n_in", "n_out", "worth"), [(1, 32, False), (32, 1, False), (32, 32, True), (784, 512, False)]
)
def test_tiles_are_for_small_matrices(n_in: int, n_out: int, worth: bool) -> None:
    assert is_worth_tiles(n_in, n_out, 4) == worth
