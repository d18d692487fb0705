import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from hw1.dashboard.pictures import BLUE, VERMILLION, curves_png


def pixels(png: bytes, colour: str) -> np.ndarray:
    """Rows and columns of the pixels of a colour."""
    image = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    return np.argwhere((image == ImageColor.getrgb(colour)).all(2))


def test_the_mean_falls_from_left_to_right_and_the_best_epoch_is_marked() -> None:
    curves = np.array([[8.0, 12.0], [4.0, 6.0], [2.0, 2.0], [3.0, 3.0]])
    png = curves_png(curves, 3, "error", "trial 1")
    mean = pixels(png, BLUE)
    left, right = mean[mean[:, 1].argmin()], mean[mean[:, 1].argmax()]
    assert left[0] < right[0]  # rows count downwards
    marked = pixels(png, VERMILLION).mean(0)
    # Epoch 3 of 4 is two thirds along.
    along = (marked[1] - mean[:, 1].min()) / (mean[:, 1].max() - mean[:, 1].min())
    assert along == pytest.approx(2 / 3, abs=0.02)
    assert marked[0] > right[0]


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), min_size=n, max_size=n
        )
    )
)
def test_any_curves_are_drawn(rows: list[list[float]]) -> None:
    png = curves_png(np.array(rows), len(rows), "score", "trial 0")
    assert Image.open(io.BytesIO(png)).size == (640, 360)
