import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw1.analysis.figures.canvas import Canvas, fitted, shortened, text_width
from hw1.analysis.figures.style import GREYS, INK, SEQUENTIAL
from hw1.analysis.figures.svg import to_svg


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 500), st.floats(1, 200))
def test_an_image_has_its_place_its_size_and_its_pixels(
    height: int, width: int, left: float, across: float
) -> None:
    values = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    canvas = Canvas()
    canvas.image(values, left, 7, (across, 50), canvas.scale(SEQUENTIAL, 0, 255))
    (drawn,) = canvas.figure(100).data
    rows, columns = drawn.z.shape
    assert rows * columns >= 400
    assert (drawn.z[:: rows // height, :: columns // width] == values).all()
    assert drawn.x0 - drawn.dx / 2 == pytest.approx(left)
    assert drawn.dx * columns == pytest.approx(across)
    assert (drawn.y0 - drawn.dy / 2, drawn.dy * rows) == pytest.approx((7, 50))


def test_a_pixel_of_the_canvas_is_one_of_the_figure() -> None:
    canvas = Canvas()
    canvas.image(np.eye(3), 0, 0, (30, 30), canvas.scale(GREYS, 0, 1))
    layout = canvas.figure(200, 300).layout
    margin = layout.margin
    assert layout.width - margin.l - margin.r == layout.xaxis.range[1] == 300
    assert layout.height - margin.t - margin.b == layout.yaxis.range[0] == 200
    assert layout.yaxis.range[1] == 0


def decoded(canvas: Canvas, numbers: np.ndarray, scale: str) -> np.ndarray:
    """The colours that a discrete scale gives numbers, ``(..., 3)``."""
    axis = canvas.figure(10).layout[scale]
    places = (numbers - axis.cmin) / (axis.cmax - axis.cmin)
    starts = np.array([step[0] for step in axis.colorscale[::2]])
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in axis.colorscale])
    which = np.searchsorted(starts, places, "right") - 1
    assert (colours[2 * which] == colours[2 * which + 1]).all()
    return colours[2 * which]


def test_colour_images_keep_their_colours_if_they_are_few() -> None:
    palette = np.array([[0, 0, 0], [255, 0, 0], [10, 200, 30], [7, 7, 250]], dtype=np.uint8)
    images = palette[np.random.default_rng(0).integers(0, 4, (3, 6, 5))]
    canvas = Canvas()
    numbers, scale = canvas.pictures(images)
    assert numbers.shape == (3, 6, 5)
    assert (decoded(canvas, numbers, scale) == images).all()


def test_colour_images_nearly_keep_them_if_they_are_many() -> None:
    ramp = np.linspace(0, 255, 40).astype(np.uint8)
    images = np.stack(np.broadcast_arrays(ramp[:, None], ramp, np.uint8(90)), -1)[None]
    canvas = Canvas()
    off = decoded(canvas, *canvas.pictures(images)) - images.astype(int)
    assert np.abs(off).mean() < 10


def test_grey_images_stay_as_they_are() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4), dtype=np.uint8)
    canvas = Canvas()
    numbers, scale = canvas.pictures(images)
    axis = canvas.figure(10).layout[scale]
    assert (numbers == images).all()
    assert (axis.cmin, axis.cmax, axis.showscale) == (0, 255, False)


def test_scales_are_kept_apart_and_those_with_a_title_have_a_bar() -> None:
    canvas = Canvas()
    first, second = canvas.scale(GREYS, 0, 1), canvas.scale(SEQUENTIAL, -2, 2, "weight")
    layout = canvas.figure(300).layout
    assert layout[first].colorscale[0][1] == GREYS[0][1]
    assert (layout[second].cmin, layout[second].colorbar.title.text) == (-2, "weight")
    assert not layout[first].showscale and layout[second].showscale


def test_what_is_drawn_is_in_the_svg() -> None:
    canvas = Canvas()
    canvas.image(np.eye(30), 0, 20, (60, 60), canvas.scale(GREYS, 0, 1), "unit 3: %{z}")
    canvas.text("a heading", 0, 8, anchor="left")
    canvas.box(5, 5, 50, 50, colour=INK, dash="dot")
    canvas.box(5, 5, 50, 5, colour=INK)
    plot = canvas.figure(100)
    assert [shape.type for shape in plot.layout.shapes] == ["rect", "line"]
    assert plot.data[0].hovertemplate == "unit 3: %{z}<extra></extra>"
    svg = to_svg(plot)
    assert "a heading" in svg and "<image" in svg


@given(
    st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=40),
    st.integers(30, 200),
)
def test_text_is_shortened_to_its_room(text: str, width: int) -> None:
    short = shortened(text, width)
    assert text_width(short) <= width
    assert short == text or text.startswith(short.removesuffix("…"))
    assert (short == text) == (text_width(text) <= width)


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_fitted_image_has_square_pixels(height: int, width: int) -> None:
    across, down = fitted((height, width), 60)
    assert max(across, down) == pytest.approx(60)
    assert across / width == pytest.approx(down / height)
