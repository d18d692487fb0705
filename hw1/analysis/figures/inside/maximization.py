"""Figures of the images that outputs and hidden units are largest for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.figures.inside.subject import Layer, Subject, evenly, most_varying, shown_of
from hw1.analysis.figures.layout import DRAWING_WIDTH, area, drawing, fitted, tiles
from hw1.analysis.figures.marks import Figure, Image, Mark, Text
from hw1.analysis.figures.matplotlib import shortened
from hw1.analysis.figures.style import MUTED
from hw1.analysis.maximization import Maximized, maximize_activations
from hw1.words import counted, number

MOST_OUTPUTS = 10
COLUMNS = 5
N_UNITS, N_TRIED = 8, 12
"""Of a hidden layer, that are shown, and for which an image is searched."""
UNIT_IMAGES = 500
"""With whose activations those for the images found are compared."""
ARROW = " → "
GAP, UNIT_GAP = 16, 12
"""Pixels between images of outputs, and of units."""


def maximized_outputs(subject: Subject) -> Figure | None:
    """For each class, or output, the image that it is largest for; see `maximize_activations`.

    None where inputs are not images.
    """
    if not subject.has_images:
        return None
    sample, network, is_class = subject.sample, subject.trained, subject.has_classes
    n = sample.n_outputs
    outputs = evenly(range(n), MOST_OUTPUTS)
    names = [sample.class_names[output] for output in outputs if is_class] or [
        f"{sample.target_name}{f', output {i + 1}' * (n > 1)}" for i in outputs
    ]
    found = _maximize(subject, outputs)
    pictures = _pictures(subject, found.inputs)
    assert found.shifted_scores is not None
    scores = torch.cat([found.scores[:, None], found.shifted_scores], 1).double()
    std, mean = (
        t.detach()[outputs, None].double() for t in (network.target_std, network.target_mean)
    )
    scores = scores * std + mean
    what = "logit" if is_class else "prediction"
    heading = f"{what}{ARROW}after shifts by 1 pixel{ARROW}by 2 pixels"
    marks: list[Mark] = [Text(heading, 0, 8, "left", color=MUTED)]
    columns = COLUMNS if len(outputs) > 4 else 4
    room = (DRAWING_WIDTH - GAP * (columns - 1)) / columns
    size = fitted(sample.input_shape[1:], room)
    places = tiles(len(outputs), columns, (room + GAP, size[1] + 52), (0.0, 68.0))
    for (left, top), name, picture, of_it in zip(places, names, pictures, scores, strict=True):
        numbers = ARROW.join(number(float(score), 3) for score in of_it)
        marks.append(Text(shortened(name, room), left, top - 26, "left"))
        marks.append(Text(shortened(numbers, room), left, top - 10, "left", color=MUTED))
        marks.append(Image(picture, *area(left, top, size)))
    caption = _outputs_caption(subject, outputs, names, scores)
    caption += shown_of(len(outputs), n, "classes" if is_class else "outputs")
    return drawing("inside_maximized_outputs", "Activation maximization", caption, marks)


def _maximize(subject: Subject, targets: Sequence[int], layer: str | None = None) -> Maximized:
    low, high = (subject.trained.normalize(torch.tensor(end)) for end in subject.pixel_range)
    network, shape = subject.trained.network, subject.sample.input_shape
    return maximize_activations(
        network, shape, targets, low=low, high=high, seed=subject.seed, layer=layer
    )


def _pictures(subject: Subject, inputs: Tensor) -> np.ndarray:
    """Normalized images for the eye."""
    return subject.pictures(inputs * subject.trained.input_std + subject.trained.input_mean)


def _outputs_caption(
    subject: Subject, outputs: Sequence[int], names: Sequence[str], scores: Tensor
) -> str:
    """What shifts cost of the scores ``(outputs, 3)``, and what those of the examples are."""
    sample = subject.sample
    text = (
        "Images found by gradient ascent, with a penalty on differences of neighboring pixels and "
        "random shifts. "
    )
    plain, shifted = scores[:, 0], scores[:, 1]
    lost = (plain - shifted) / plain.abs().clamp(min=1e-12)
    worst = int(lost.nan_to_num().argmax())
    what = "logit" if subject.has_classes else "prediction"
    if lost[worst] > 0:
        text += (
            f"The {what} of {names[worst]} falls most when its image is shifted by a pixel: from "
            f"{number(float(plain[worst]))} to {number(float(shifted[worst]))}."
        )
    else:
        text += f"No {what} falls when its image is shifted by a pixel."
    if not subject.has_classes:
        most = number(float(sample.targets[:, outputs[0]].max()))
        return text + f" The highest {sample.target_name} of the training examples is {most}."
    true = subject.outputs(sample.inputs).gather(1, sample.targets[:, None])[:, 0].double()
    those = [sample.targets == output for output in outputs]
    typical = float(np.mean([float(true[t].mean()) for t in those if t.any()]))
    return text + (
        f" The training examples have a mean logit of {number(typical)} for their own class, these "
        f"images one of {number(float(plain.mean()))}."
    )


class _Unit(NamedTuple):
    """A hidden unit and the image found for it, normalized.

    ``highest`` is its activation for the example that it is largest for.
    """

    number: int
    image: Tensor
    score: float
    highest: float


def maximized_units(subject: Subject) -> Figure | None:
    """Images that the most varying units of two hidden layers are largest for.

    None where inputs are not images, without hidden layers, and where no image is found.
    """
    # The layer in the middle, and the last.
    layers = evenly(subject.layers, 3)[-2:] if subject.has_images else []
    if not layers:
        return None
    sample = subject.fewer(UNIT_IMAGES).sample
    activations = subject.activations(layers, sample.inputs)
    found = {layer: _maximized(subject, layer, activations[layer.name]) for layer in layers}
    side = (DRAWING_WIDTH - UNIT_GAP * (N_UNITS - 1)) / N_UNITS
    size = fitted(sample.input_shape[1:], side)
    marks: list[Mark] = []
    top = 0.0
    for layer, (units, _) in found.items():
        if not units:
            continue
        marks.append(Text(layer.heading(len(units)), 0, top + 8, "left"))
        pictures = _pictures(subject, torch.stack([unit.image for unit in units]))
        for place, (unit, picture) in enumerate(zip(units, pictures, strict=True)):
            left = place * (side + UNIT_GAP)
            text = shortened(f"{unit.number}: {number(unit.score, 3)}", side)
            marks.append(Text(text, left, top + 30, "left", color=MUTED))
            marks.append(Image(picture, *area(left, top + 40, size)))
        top += 40 + size[1] + 22
    if not marks:
        return None
    return drawing(
        "inside_maximized_units",
        "Activation maximization of hidden units",
        _units_caption(found, len(sample)),
        marks,
    )


def _maximized(subject: Subject, layer: Layer, activations: np.ndarray) -> tuple[list[_Unit], int]:
    """Of the most varying units of a layer those for which an image was found, and how many not.

    The gradient of a unit that is zero for all images near the mean one leads nowhere.
    """
    tried = most_varying(activations, N_TRIED)
    found = _maximize(subject, tried.tolist(), layer.name)
    highest, mean = activations.max(0), activations.mean(0)
    units = [
        _Unit(int(unit), image, value, float(highest[unit]))
        for unit, image, value in zip(tried, found.inputs, found.scores.tolist(), strict=True)
        if value > mean[unit]
    ]
    return units[:N_UNITS], len(tried) - len(units)


def _units_caption(found: dict[Layer, tuple[list[_Unit], int]], n_images: int) -> str:
    ratios = [
        (unit.score / unit.highest, f"{layer.unit} {unit.number} of {layer.title}")
        for layer, (units, _) in found.items()
        for unit in units
        if unit.highest > 0
    ]
    text = (
        "Above each image the number of the unit and its activation"
        f"{' (of a channel the mean over its positions)' * any(la.has_maps for la in found)}. "
        "The units are those that vary most over the training examples."
    )
    if ratios:
        (least, first), (most, last) = min(ratios), max(ratios)
        text += (
            f" The activations are {number(least)} times ({first}) to {number(most)} times "
            f"({last}) the highest of {n_images:,} training examples."
        )
    lost = sum(n for _, n in found.values())
    if lost:
        text += (
            f" For {counted(lost, 'other unit')} no image above the mean activation was found: a "
            "unit that is zero for all images near the mean one has no gradient to follow."
        )
    return text
