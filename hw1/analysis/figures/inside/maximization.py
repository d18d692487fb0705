"""Figures of the images that outputs and hidden units are largest for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.figures.canvas import CANVAS_WIDTH, Canvas, fitted, shortened
from hw1.analysis.figures.inside.sample import (
    Layer,
    as_pictures,
    evenly,
    find_layers,
    is_image,
    most_varying,
    outputs_of,
    pixel_range,
    shown_of,
    take_sample,
    unit_activations,
)
from hw1.analysis.figures.style import MUTED, Figure
from hw1.analysis.maximization import Maximized, maximize_activations
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted, number

MOST_OUTPUTS = 10
COLUMNS = 5
N_UNITS, N_TRIED = 8, 12
"""Of a hidden layer, that are shown, and for which an image is searched."""
UNIT_ROWS = 500
"""With whose activations those for the images found are compared."""
ARROW = " → "
GAP = 16


def maximized_outputs(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """For each class, or output, the image that it is largest for; see `maximize_activations`.

    Args:
        network: any.
        dataset: its data.
        seed: of the search.

    Returns:
        None where rows are no images.
    """
    if not is_image(dataset):
        return None
    sample = take_sample(dataset, seed)
    outputs = evenly(range(dataset.n_outputs), MOST_OUTPUTS)
    is_class = dataset.task == "classification"
    if is_class:
        names = [dataset.class_names[output] for output in outputs]
    else:
        n = dataset.n_outputs
        names = [f"{dataset.target_name}{f', output {i + 1}' * (n > 1)}" for i in outputs]
    found = _maximize(network, sample, outputs, seed)
    scale, shift = (t.detach()[outputs].double() for t in (network.target_std, network.target_mean))
    scores = found.scores.double() * scale + shift
    assert found.shifted_scores is not None
    shifted = found.shifted_scores.double() * scale[:, None] + shift[:, None]
    canvas = Canvas()
    what = "logit" if is_class else "prediction"
    canvas.text(
        f"{what}{ARROW}after shifts by 1 pixel{ARROW}by 2 pixels", 0, 8, anchor="left", colour=MUTED
    )
    pictures, scale_name = canvas.pictures(_pictures(network, sample, found.inputs))
    columns = COLUMNS if len(outputs) > 4 else 4
    room = (CANVAS_WIDTH - GAP * (columns - 1)) / columns
    size = fitted(dataset.input_shape[1:], room)
    for i, name in enumerate(names):
        left, top = i % columns * (room + GAP), 68 + i // columns * (size[1] + 52)
        numbers = ARROW.join(number(float(v), 3) for v in (scores[i], *shifted[i]))
        canvas.text(shortened(name, room), left, top - 26, anchor="left")
        canvas.text(shortened(numbers, room), left, top - 10, anchor="left", colour=MUTED)
        canvas.image(pictures[i], left, top, size, scale_name)
    rows = -(-len(outputs) // columns)
    caption = _outputs_caption(network, sample, outputs, names, scores, shifted)
    caption += shown_of(len(outputs), dataset.n_outputs, "classes" if is_class else "outputs")
    plot = canvas.figure(68 + rows * (size[1] + 52) - 52)
    heading = f"Images that maximise {'the classes' if is_class else 'the prediction'}"
    return Figure("inside_maximized_outputs", heading, caption, plot)


def _maximize(
    network: Network, sample: Dataset, targets: Sequence[int], seed: int, layer: str | None = None
) -> Maximized:
    low, high = (torch.tensor(value) for value in pixel_range(sample))
    return maximize_activations(
        network.network,
        sample.input_shape,
        targets,
        low=network.normalise(low),
        high=network.normalise(high),
        seed=seed,
        layer=layer,
    )


def _pictures(network: Network, sample: Dataset, inputs: Tensor) -> np.ndarray:
    """Normalised images for the eye."""
    return as_pictures(inputs * network.input_std + network.input_mean, *pixel_range(sample))


def _outputs_caption(
    network: Network,
    sample: Dataset,
    outputs: Sequence[int],
    names: Sequence[str],
    scores: Tensor,
    shifted: Tensor,
) -> str:
    text = (
        "Images found by gradient ascent, with a penalty on differences of neighbouring pixels and "
        "random shifts. "
    )
    lost = (scores - shifted[:, 0]) / scores.abs().clamp(min=1e-12)
    worst = int(lost.nan_to_num().argmax())
    what = "logit" if sample.task == "classification" else "prediction"
    if lost[worst] > 0:
        text += (
            f"The {what} of {names[worst]} falls most when its image is shifted by a pixel: from "
            f"{number(float(scores[worst]))} to {number(float(shifted[worst, 0]))}."
        )
    else:
        text += f"No {what} falls when its image is shifted by a pixel."
    if sample.task == "regression":
        most = float(sample.targets[:, outputs[0]].max())
        return text + f" The highest {sample.target_name} of the training rows is {number(most)}."
    rows = torch.arange(len(sample))
    true = outputs_of(network, sample.inputs)[rows, sample.targets].double()
    typical = [
        float(true[sample.targets == output].mean())
        for output in outputs
        if (sample.targets == output).any()
    ]
    return text + (
        f" The training rows' own classes have a mean logit of {number(float(np.mean(typical)))}, "
        f"these images one of {number(float(scores.mean()))}."
    )


def maximized_units(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """Images that the most varying units of two hidden layers are largest for.

    Args:
        network: any.
        dataset: its data.
        seed: of the sample and of the search.

    Returns:
        None where rows are no images, or without hidden layers.
    """
    if not is_image(dataset):
        return None
    sample = take_sample(dataset, seed, UNIT_ROWS)
    # The one in the middle, and the last.
    layers = evenly(find_layers(network, sample), 3)[-2:]
    if not layers:
        return None
    activations = unit_activations(network, sample.inputs, layers)
    found = {
        layer: _maximized(network, sample, layer, activations[layer.name], seed) for layer in layers
    }
    images = [unit.image for units, _ in found.values() for unit in units]
    if not images:
        return None
    canvas = Canvas()
    pictures, scale = canvas.pictures(_pictures(network, sample, torch.stack(images)))
    side = (CANVAS_WIDTH - 12 * (N_UNITS - 1)) / N_UNITS
    size = fitted(dataset.input_shape[1:], side)
    top, n = 0.0, 0
    for layer, (units, _) in found.items():
        if not units:
            continue
        many = len(units) if len(units) == layer.n_units else f"{len(units)} of {layer.n_units}"
        title = f"{layer.title}: {many} {layer.unit}{'s' * (layer.n_units > 1)}"
        canvas.text(title, 0, top + 8, anchor="left")
        for place, unit in enumerate(units):
            left = place * (side + 12)
            text = shortened(f"{unit.number}: {number(unit.score)}", side)
            canvas.text(text, left, top + 30, anchor="left", colour=MUTED)
            said = f"{layer.unit} {unit.number}"
            canvas.image(pictures[n], left, top + 40, size, scale, said)
            n += 1
        top += 40 + size[1] + 22
    return Figure(
        "inside_maximized_units",
        "Images that maximise hidden units",
        _units_caption(found, len(sample)),
        canvas.figure(top - 22),
    )


class _Unit(NamedTuple):
    """A hidden unit and the image found for it, normalised.

    ``highest`` is its activation for the row of the sample that it is largest for.
    """

    number: int
    image: Tensor
    score: float
    highest: float


def _maximized(
    network: Network, sample: Dataset, layer: Layer, activations: np.ndarray, seed: int
) -> tuple[list[_Unit], int]:
    """Of the most varying units of a layer those for which an image was found, and how many not.

    The gradient of a unit that is zero for all images near the mean one leads nowhere.
    """
    tried = most_varying(activations, N_TRIED)
    found = _maximize(network, sample, tried.tolist(), seed, layer.name)
    highest, mean = activations.max(0), activations.mean(0)
    units = [
        _Unit(int(unit), image, value, float(highest[unit]))
        for unit, image, value in zip(tried, found.inputs, found.scores.tolist(), strict=True)
        if value > mean[unit]
    ]
    return units[:N_UNITS], len(tried) - len(units)


def _units_caption(found: dict[Layer, tuple[list[_Unit], int]], n_rows: int) -> str:
    ratios = [
        (unit.score / unit.highest, f"{layer.unit} {unit.number} of {layer.title}")
        for layer, (units, _) in found.items()
        for unit in units
        if unit.highest > 0
    ]
    text = (
        "Above each image the number of the unit and its activation"
        f"{' (of a channel the mean over its positions)' * any(la.has_maps for la in found)}. "
        "The units are those that vary most over the training rows."
    )
    if ratios:
        (least, first), (most, last) = min(ratios), max(ratios)
        text += (
            f" The activations are {number(least)} times ({first}) to {number(most)} times "
            f"({last}) the highest of {n_rows:,} training rows."
        )
    lost = sum(n for _, n in found.values())
    if lost:
        text += (
            f" For {counted(lost, 'other unit')} no image above the mean activation was found: a "
            "unit that is zero for all images near the mean one has no gradient to follow."
        )
    return text
