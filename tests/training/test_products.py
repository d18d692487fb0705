import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training.compiled import products
from hw1.training.compiled.products import SCRATCH, multiply, round_all


def rounded(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix in bfloat16, as its bits and as exact numbers."""
    bits = np.empty(matrix.size, np.uint16)
    round_all(matrix.ravel(), bits)
    exact = torch.from_numpy(matrix).to(torch.bfloat16).double().numpy()
    return bits.reshape(matrix.shape), exact


def test_what_is_not_finite_stays_so() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1.0, -np.nan, 3.4e38], np.float32)
    bits = np.empty(len(values), np.uint16)
    round_all(values, bits)
    back = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float()
    expected = torch.from_numpy(values).to(torch.bfloat16).float()
    torch.testing.assert_close(back, expected, equal_nan=True, rtol=0, atol=0)


@pytest.mark.skipif(not products.available, reason="torch brings no MKL here")
@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40), st.integers(0, 2**31))
def test_products_are_those_of_the_rounded_matrices(
    n_rows: int, n_in: int, n_out: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shapes = (n_rows, n_in), (n_in, n_out), (n_rows, n_out)
    (x16, x), (w16, w), (g16, g) = (
        rounded(random.normal(size=shape).astype(np.float32)) for shape in shapes
    )
    for (a16, a, transposes_a), (b16, b, transposes_b) in (
        ((x16, x, False), (w16, w, False)),
        ((x16, x, True), (g16, g, False)),
        ((g16, g, False), (w16, w, True)),
    ):
        expected = (a.T if transposes_a else a) @ (b.T if transposes_b else b)
        found = np.empty(expected.shape, np.float32)
        multiply(a16, transposes_a, b16, transposes_b, found, SCRATCH.copy())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
