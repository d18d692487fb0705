"""Figures of convolutional layers: what they put out for some images, and what they see."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.figures.canvas import CANVAS_WIDTH, Canvas, fitted, shortened, text_width
from hw1.analysis.figures.inside.sample import (
    Layer,
    as_pictures,
    evenly,
    find_layers,
    is_image,
    most_varying,
    pixel_range,
    shown_classes,
    shown_of,
    take_sample,
    unit_activations,
)
from hw1.analysis.figures.style import (
    GREY,
    INK,
    MUTED,
    SEQUENTIAL,
    VERMILLION,
    Figure,
)
from hw1.analysis.layers import activations
from hw1.analysis.network import Network
from hw1.analysis.receptive_fields import (
    EffectiveReceptiveField,
    effective_receptive_field,
    extent,
    receptive_field,
)
from hw1.datasets import Dataset
from hw1.words import listed, number

Pair = tuple[int, int]

MOST_LAYERS = 4
"""Whose maps are shown."""
MOST_FIELDS = 8
"""Layers whose receptive fields are shown."""
N_IMAGES = 5
FIELD_ROWS = 64
"""Images over which gradients are averaged."""
SHARE = 0.95
IMAGE_SIDE, ROW = 92, 122
"""Pixels of a figure: an input image, and from one to the next below it."""
TILE, TILE_GAP, BLOCK_GAP = 44, 4, 18
MOST_COLUMNS = 6
"""Of maps, for a layer."""


def feature_maps(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """The most active channels of each layer for a few images.

    Args:
        network: any.
        dataset: its data; the images are of different classes, or of different targets.
        seed: of the choice.

    Returns:
        None where rows are no images, or no hidden layer has maps.
    """
    if not is_image(dataset):
        return None
    sample = take_sample(dataset, seed)
    all_layers = [layer for layer in find_layers(network, sample) if layer.has_maps]
    layers = evenly(all_layers, MOST_LAYERS)
    if not layers:
        return None
    rows, labels = _examples(sample, N_IMAGES)
    inputs = sample.inputs[rows]
    names = [layer.name for layer in layers]
    found = activations(network.network, network.normalise(inputs), names)
    canvas = Canvas()
    pictures, picture_scale = canvas.pictures(as_pictures(inputs, *pixel_range(sample)))
    map_scale = canvas.scale(SEQUENTIAL, 0, 255)
    block = (CANVAS_WIDTH - IMAGE_SIDE - BLOCK_GAP * len(layers)) / len(layers)
    columns = min(int((block + TILE_GAP) / (TILE + TILE_GAP)), MOST_COLUMNS)
    lefts = [
        IMAGE_SIDE + BLOCK_GAP + i * (columns * (TILE + TILE_GAP) - TILE_GAP + BLOCK_GAP)
        for i in range(len(layers))
    ]
    for layer, left in zip(layers, lefts, strict=True):
        width = columns * (TILE + TILE_GAP) + BLOCK_GAP - TILE_GAP
        canvas.text(
            shortened(f"{layer.title}: {_size(layer.shape[1:])}", width), left, 8, anchor="left"
        )
    shown: dict[str, list[list[int]]] = {name: [] for name in names}
    for i, label in enumerate(labels):
        top = 36 + i * ROW
        canvas.text(
            shortened(label, IMAGE_SIDE + BLOCK_GAP), 0, top - 9, anchor="left", colour=MUTED
        )
        canvas.image(pictures[i], 0, top, fitted(pictures[i].shape, IMAGE_SIDE), picture_scale)
        for layer, left in zip(layers, lefts, strict=True):
            maps = found[layer.name][i].double().nan_to_num()
            shown[layer.name].append(_draw_maps(canvas, maps, left, top, columns, map_scale))
    caption = (
        f"For each image the channels of each layer ({2 * columns} at most) whose mean activation "
        "is highest, each on its own scale from light, little, to dark, much. "
    )
    caption += _maps_caption(layers, shown) + shown_of(len(layers), len(all_layers), "layers")
    plot = canvas.figure(36 + ROW * len(rows) - (ROW - IMAGE_SIDE))
    return Figure("inside_maps", "Feature maps", caption, plot)


def _draw_maps(
    canvas: Canvas, maps: Tensor, left: float, top: float, columns: int, scale: str
) -> list[int]:
    """Draw the most active of the maps ``(channels, height, width)`` in two rows; their numbers."""
    order = maps.mean((1, 2)).argsort(descending=True, stable=True)
    chosen: list[int] = order[: 2 * columns].tolist()
    for place, channel in enumerate(chosen):
        x = left + place % columns * (TILE + TILE_GAP)
        y = top + place // columns * (TILE + TILE_GAP)
        values = _as_bytes(maps[channel])
        size = fitted(values.shape, TILE)
        canvas.image(values, x, y, size, scale, f"channel {channel}")
        canvas.box(x, y, x + size[0], y + size[1], colour=GREY, width=0.5)
    return chosen


def _maps_caption(layers: Sequence[Layer], shown: dict[str, list[list[int]]]) -> str:
    parts = []
    for layer in (layers[0], *layers[1:][-1:]):
        channels = [channel for row in shown[layer.name] for channel in row]
        parts.append(f"the {len(channels)} maps of {layer.title} are of {len(set(channels))}")
    return f"{listed(parts).capitalize()} different channels."


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def _as_bytes(values: Tensor) -> np.ndarray:
    """From the lowest to the highest value, 0 to 255; the lowest is zero if none is negative."""
    low, high = min(float(values.min()), 0.0), float(values.max())
    scaled = (values - low) / (high - low if high > low else 1.0) * 255
    return scaled.round().to(torch.uint8).numpy()


def _examples(sample: Dataset, n: int) -> tuple[list[int], list[str]]:
    """Row numbers, each the first of its class or spread over the target, and their names."""
    if sample.task == "classification":
        classes = evenly(shown_classes(sample), n)
        firsts = [int(torch.nonzero(sample.targets == c)[0]) for c in classes]
        return firsts, [sample.class_names[c] for c in classes]
    order = sample.targets[:, 0].argsort(stable=True).tolist()
    rows = evenly(order, n)
    return rows, [f"{sample.target_name} {number(float(sample.targets[row, 0]))}" for row in rows]


def effective_receptive_fields(
    network: Network, dataset: Dataset, *, seed: int = 0
) -> Figure | None:
    """How much a unit in the middle of each layer's maps answers to each pixel.

    Args:
        network: any.
        dataset: its data; gradients are averaged over a sample.
        seed: of the sample.

    Returns:
        None where rows are no images, or no layer has maps.
    """
    if not is_image(dataset):
        return None
    sample = take_sample(dataset, seed, FIELD_ROWS)
    all_layers = [layer for layer in find_layers(network, sample) if layer.has_maps]
    layers = evenly(all_layers, MOST_FIELDS)
    if not layers:
        return None
    inputs = network.normalise(sample.inputs)
    found = unit_activations(network, sample.inputs, layers)
    canvas = Canvas()
    scale = canvas.scale(SEQUENTIAL, 0, 1)
    columns = min(len(layers), 4)
    side = min((CANVAS_WIDTH - 20 * (columns - 1)) / columns, 190.0)
    size = fitted(dataset.input_shape[1:], side)
    sizes = []
    for i, layer in enumerate(layers):
        channel = int(most_varying(found[layer.name], 1)[0])
        field = effective_receptive_field(network.network, inputs, layer.name, channel, SHARE)
        window = extent(receptive_field(network.network, dataset.input_shape, layer.name))
        theory = window[0].stop - window[0].start, window[1].stop - window[1].start
        sizes.append((layer.title, theory, field.side))
        place = i % columns * (side + 20), 66 + i // columns * (size[1] + 58)
        heading = f"{layer.title}, channel {channel}"
        _draw_field(canvas, field, (heading, theory, window), place, size, scale)
    _legend(canvas)
    rows = -(-len(layers) // columns)
    return Figure(
        "inside_receptive_fields",
        "Receptive fields",
        _fields_caption(sizes, dataset.input_shape[1:], len(sample))
        + shown_of(len(layers), len(all_layers), "layers"),
        canvas.figure(66 + rows * (size[1] + 58) - 58),
    )


def _draw_field(
    canvas: Canvas,
    field: EffectiveReceptiveField,
    said: tuple[str, Pair, tuple[slice, slice]],
    place: tuple[float, float],
    size: tuple[float, float],
    scale: str,
) -> None:
    """A field below its heading, with both squares; ``said``: heading, theoretical size, window."""
    (heading, theory, window), (left, top) = said, place
    numbers = f"{_size(theory)}; {SHARE:.0%} in {_size((field.side, field.side))}"
    canvas.text(heading, left, top - 27, anchor="left")
    canvas.text(numbers, left, top - 10, anchor="left", colour=MUTED)
    values = (field.map / field.map.max().clamp(min=1e-300)).numpy()
    canvas.image(values, left, top, size, scale, "%{z:.0%} of the largest")
    canvas.box(left, top, left + size[0], top + size[1], colour=GREY, width=0.7)
    pixel = size[0] / values.shape[1]
    for (down, across), colour, dash in (
        (window, VERMILLION, "solid"),
        (field.square, INK, "dot"),
    ):
        canvas.box(
            left + across.start * pixel,
            top + down.start * pixel,
            left + across.stop * pixel,
            top + down.stop * pixel,
            colour=colour,
            dash=dash,
            width=2,
        )


def _legend(canvas: Canvas) -> None:
    x = 0.0
    for text, colour, dash in (
        ("can be seen", VERMILLION, "solid"),
        (f"smallest square with {SHARE:.0%} of the gradient", INK, "dot"),
    ):
        canvas.box(x, 8, x + 26, 8, colour=colour, dash=dash, width=2)
        canvas.text(text, x + 34, 8, anchor="left")
        x += 34 + text_width(text) + 32


def _fields_caption(
    sizes: Sequence[tuple[str, Pair, int]], image: Sequence[int], n_rows: int
) -> str:
    text = (
        f"The mean absolute gradient of the unit in the middle of a channel by each pixel, over "
        f"{n_rows} images, relative to its largest: what a unit can see, and what it looks at. "
    )
    title, theory, side = sizes[-1]
    text += (
        f"A unit of {title} can see {_size(theory)} pixels (the image has {_size(image)}), and "
        f"{SHARE:.0%} of its gradient lies in {_size((side, side))}"
    )
    if len(sizes) > 1:
        title, theory, side = sizes[0]
        text += f"; for {title} these are {_size(theory)} and {_size((side, side))}"
    return text + "."
