"""Figures of convolutional layers: what they put out for some images, and what they see."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hw1.analysis.figures.inside.subject import (
    Layer,
    Subject,
    arranged,
    evenly,
    most_varying,
    shown_of,
)
from hw1.analysis.figures.layout import DRAWING_WIDTH, area, as_bytes, drawing, fitted, tiles
from hw1.analysis.figures.marks import (
    Box,
    ColorScale,
    Dash,
    Figure,
    HeatMap,
    Image,
    Line,
    Mark,
    Pair,
    Text,
)
from hw1.analysis.figures.matplotlib import shortened, text_width
from hw1.analysis.figures.style import GRAY, INK, MUTED, SEQUENTIAL, VERMILLION
from hw1.analysis.layers import activations
from hw1.analysis.receptive_fields import effective_receptive_field, extent, receptive_field
from hw1.words import listed, number

MOST_LAYERS = 4
"""Whose maps are shown."""
MOST_FIELDS = 8
"""Layers whose receptive fields are shown."""
N_IMAGES = 5
FIELD_IMAGES = 64
"""Images over which gradients are averaged."""
SHARE = 0.95
IMAGE_SIDE, ROW = 92, 122
"""Pixels of a figure: an input image, and from one to the next below it."""
TILE, TILE_GAP, BLOCK_GAP = 44, 4, 18
MOST_COLUMNS = 6
"""Of maps, for a layer."""
FIELD_SIDE, FIELD_GAP = 190, 20
Look = tuple[str, float, Dash]
SEEN: Look = (VERMILLION, 2, "solid")
SQUARE: Look = (INK, 2, "dot")
"""How receptive fields, and the squares with most of the gradient, are drawn."""


def _layers_with_maps(subject: Subject) -> list[Layer]:
    return [layer for layer in subject.layers if layer.has_maps] if subject.has_images else []


def feature_maps(subject: Subject) -> Figure | None:
    """The most active channels of each layer for images of different classes, or targets.

    None where inputs are not images, or no hidden layer has maps.
    """
    all_layers = _layers_with_maps(subject)
    layers = evenly(all_layers, MOST_LAYERS)
    if not layers:
        return None
    examples, labels = _examples(subject)
    names = [layer.name for layer in layers]
    found = activations(subject.trained.network, subject.normalized[examples], names)
    pictures = subject.pictures(subject.sample.inputs[examples])
    block = (DRAWING_WIDTH - IMAGE_SIDE - BLOCK_GAP * len(layers)) / len(layers)
    columns = min(int((block + TILE_GAP) / (TILE + TILE_GAP)), MOST_COLUMNS)
    width = columns * (TILE + TILE_GAP) - TILE_GAP + BLOCK_GAP
    marks: list[Mark] = []
    for i, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        top = 36 + i * ROW
        text = shortened(label, IMAGE_SIDE + BLOCK_GAP)
        marks.append(Text(text, 0, top - 9, "left", color=MUTED))
        marks.append(Image(picture, *area(0, top, fitted(picture.shape, IMAGE_SIDE))))
    shown: list[list[int]] = [[] for _ in layers]
    for layer, channels, n in zip(layers, shown, range(len(layers)), strict=True):
        left = IMAGE_SIDE + BLOCK_GAP + n * width
        heading = f"{layer.title}: {_size(layer.shape[1:])}"
        marks.append(Text(shortened(heading, width), left, 8, "left"))
        for i, maps in enumerate(found[layer.name]):
            chosen, drawn = _most_active(maps.double().nan_to_num(), left, 36 + i * ROW, columns)
            channels += chosen
            marks += drawn
    ends = list(zip(layers, shown, strict=True))[:: max(len(layers) - 1, 1)]
    parts = [f"{len(c)} maps of {la.title} are of {len(set(c))}" for la, c in ends]
    caption = (
        f"For each image the channels of each layer ({2 * columns} at most) whose mean activation "
        "is highest, each on its own scale from light, little, to dark, much. "
        f"The {listed(parts, last='and the')} different channels."
    )
    return drawing(
        "inside_maps",
        "Feature maps",
        caption + shown_of(len(layers), len(all_layers), "layers"),
        marks,
    )


def _most_active(
    maps: Tensor, left: float, top: float, columns: int
) -> tuple[list[int], list[Mark]]:
    """The most active of the maps ``(channels, height, width)``: numbers, and two rows of marks."""
    order = maps.mean((1, 2)).argsort(descending=True, stable=True)
    chosen: list[int] = order[: 2 * columns].tolist()
    marks: list[Mark] = []
    places = tiles(len(chosen), columns, (TILE + TILE_GAP, TILE + TILE_GAP), (left, top))
    for place, channel in zip(places, chosen, strict=True):
        values = maps[channel]
        x, y = area(*place, fitted(values.shape, TILE))
        pixels = as_bytes(values, min(float(values.min()), 0.0), float(values.max()))
        scale = ColorScale(SEQUENTIAL, 0, 255)
        marks += [HeatMap(pixels, scale, x, y, hover=f"channel {channel}"), Box(x, y, GRAY, 0.5)]
    return chosen, marks


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def _examples(subject: Subject) -> tuple[list[int], list[str]]:
    """Examples, each the first of its class or spread over the target, and what they are called."""
    sample = subject.sample
    if subject.has_classes:
        classes = evenly(subject.classes, N_IMAGES)
        firsts = [int(torch.nonzero(sample.targets == c)[0]) for c in classes]
        return firsts, [sample.class_names[c] for c in classes]
    target = sample.targets[:, 0]
    chosen = evenly(target.argsort(stable=True).tolist(), N_IMAGES)
    return chosen, [f"{sample.target_name} {number(float(target[i]))}" for i in chosen]


def effective_receptive_fields(subject: Subject) -> Figure | None:
    """How much the unit in the middle of each layer's maps depends on each pixel.

    None where inputs are not images, or no layer has maps.
    """
    subject = subject.fewer(FIELD_IMAGES)
    shape = subject.sample.input_shape
    all_layers = _layers_with_maps(subject)
    layers = evenly(all_layers, MOST_FIELDS)
    if not layers:
        return None
    found = subject.activations(layers, subject.sample.inputs)
    _, columns = arranged(len(layers))
    side = min((DRAWING_WIDTH - FIELD_GAP * (columns - 1)) / columns, FIELD_SIDE)
    size = fitted(shape[1:], side)
    marks = _legend()
    sizes = []
    places = tiles(len(layers), columns, (side + FIELD_GAP, size[1] + 58), (0.0, 66.0))
    for layer, place in zip(layers, places, strict=True):
        channel = int(most_varying(found[layer.name], 1)[0])
        drawn, *both = _field(subject, layer, channel, place, size)
        marks += drawn
        sizes.append(both)
    caption = (
        "The mean absolute gradient of the unit in the middle of a channel with respect to each "
        f"pixel, over {len(subject.sample)} images, relative to its largest: what a unit can see, "
        f"and what it looks at. A unit of {layers[-1].title} can see {sizes[-1][0]} pixels (the "
        f"image has {_size(shape[1:])}), and {SHARE:.0%} of its gradient lies in {sizes[-1][1]}"
    )
    if len(layers) > 1:
        caption += f"; for {layers[0].title} these are {sizes[0][0]} and {sizes[0][1]}"
    return drawing(
        "inside_receptive_fields",
        "Receptive fields",
        f"{caption}.{shown_of(len(layers), len(all_layers), 'layers')}",
        marks,
    )


def _field(
    subject: Subject, layer: Layer, channel: int, place: Pair, size: Pair
) -> tuple[list[Mark], str, str]:
    """The marks of a layer's field, what its units can see, and the square of most of that."""
    network, shape = subject.trained.network, subject.sample.input_shape
    field = effective_receptive_field(network, subject.normalized, layer.name, channel, SHARE)
    window = extent(receptive_field(network, shape, layer.name))
    seen, square = _size([s.stop - s.start for s in window]), _size([field.side] * 2)
    (left, top), (x, y), pixel = place, area(*place, size), size[0] / shape[2]
    values = (field.map / field.map.max().clamp(min=1e-300)).numpy()
    scale = ColorScale(SEQUENTIAL, 0, 1)
    marks: list[Mark] = [
        Text(f"{layer.title}, channel {channel}", left, top - 27, "left"),
        Text(f"{seen}; {SHARE:.0%} in {square}", left, top - 10, "left", color=MUTED),
        HeatMap(values, scale, x, y, hover="{z:.0%} of the largest"),
        Box(x, y, GRAY, 0.7),
    ]
    for (down, across), look in ((window, SEEN), (field.square, SQUARE)):
        ends = left + across.start * pixel, left + across.stop * pixel
        marks.append(Box(ends, (top + down.start * pixel, top + down.stop * pixel), *look))
    return marks, seen, square


def _legend() -> list[Mark]:
    marks: list[Mark] = []
    x = 0.0
    for text, (color, width, dash) in (
        ("receptive field", SEEN),
        (f"smallest square with {SHARE:.0%} of the gradient", SQUARE),
    ):
        marks.append(Line((x, x + 26), (8, 8), color, width=width, dash=dash))
        marks.append(Text(text, x + 34, 8, "left"))
        x += 34 + text_width(text) + 32
    return marks
