"""Figures of what outputs and units respond to: images that maximise them, and saliency."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.attribution import integrated_gradients, smooth_grad
from hw1.analysis.figures.canvas import CANVAS_WIDTH, Canvas, fitted, shortened
from hw1.analysis.figures.inside_sample import (
    as_pictures,
    evenly,
    find_layers,
    is_image,
    most_varying,
    pixel_range,
    score,
    take_sample,
    unit_activations,
)
from hw1.analysis.figures.style import DIVERGING, GREY, MUTED, SEQUENTIAL, Figure
from hw1.analysis.maximization import Maximized, maximize_activations
from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset

MOST_OUTPUTS = 10
COLUMNS = 5
N_UNITS = 8
"""Of a hidden layer."""
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
        numbers = ARROW.join(score(float(v)) for v in (scores[i], *shifted[i]))
        canvas.text(shortened(name, room), left, top - 26, anchor="left")
        canvas.text(shortened(numbers, room), left, top - 10, anchor="left", colour=MUTED)
        canvas.image(pictures[i], left, top, size, scale_name)
    rows = -(-len(outputs) // columns)
    caption = _outputs_caption(network, sample, outputs, names, scores, shifted)
    if len(outputs) < dataset.n_outputs:
        kind = "classes" if is_class else "outputs"
        caption += f" Shown are {len(outputs)} of {dataset.n_outputs} {kind}."
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
    text += (
        f"The {what} of {names[worst]} falls most when its image is shifted by a pixel: from "
        f"{score(float(scores[worst]))} to {score(float(shifted[worst, 0]))}."
    )
    if sample.task == "regression":
        most = float(sample.targets[:, outputs[0]].max())
        return text + f" The highest {sample.target_name} of the training rows is {score(most)}."
    rows = torch.arange(len(sample))
    true = predict(network, sample.inputs)[rows, sample.targets].double()
    typical = [
        float(true[sample.targets == output].mean()) for output in outputs
        if (sample.targets == output).any()
    ]
    return text + (
        f" The training rows' own classes have a mean logit of {score(float(np.mean(typical)))}, "
        f"these images one of {score(float(scores.mean()))}."
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
    sample = take_sample(dataset, seed)
    # The one in the middle, and the last.
    layers = find_layers(network, sample, 3)[-2:]
    if not layers:
        return None
    activations = unit_activations(network, sample.inputs, layers)
    chosen = [most_varying(activations[layer.name], N_UNITS).tolist() for layer in layers]
    found = [
        _maximize(network, sample, units, seed, layer.name)
        for layer, units in zip(layers, chosen, strict=True)
    ]
    canvas = Canvas()
    images = torch.cat([some.inputs for some in found])
    pictures, scale = canvas.pictures(_pictures(network, sample, images))
    side = (CANVAS_WIDTH - 12 * (N_UNITS - 1)) / N_UNITS
    size = fitted(dataset.input_shape[1:], side)
    top, ratios, n = 0.0, [], 0
    for layer, units, some in zip(layers, chosen, found, strict=True):
        of = f"{len(units)} of {layer.n_units}" if len(units) < layer.n_units else f"{len(units)}"
        canvas.text(f"{layer.title}, {of} {layer.unit}{'s' * (layer.n_units > 1)}", 0, top + 8,
                    anchor="left")
        for place, unit in enumerate(units):
            left = place * (side + 12)
            value = float(some.scores[place])
            text = shortened(f"{unit}: {score(value)}", side)
            canvas.text(text, left, top + 30, anchor="left", colour=MUTED)
            canvas.image(pictures[n], left, top + 40, size, scale, f"{layer.unit} {unit}")
            ratios.append((value / max(float(activations[layer.name][:, unit].max()), 1e-12),
                           f"{layer.unit} {unit} of {layer.title}"))
            n += 1
        top += 40 + size[1] + 22
    most, least = max(ratios), min(ratios)
    caption = (
        "Above each image the number of the unit and its activation (of channels the mean over "
        "their positions). The units are those that vary most over the training rows. "
        f"The images exceed the highest activation of {len(sample):,} rows {score(least[0])} times "
        f"({least[1]}) to {score(most[0])} times ({most[1]})."
    )
    return Figure(
        "inside_maximized_units",
        "Images that maximise hidden units",
        caption,
        canvas.figure(top - 22),
    )


def saliency(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """Which pixels the prediction rests on, for an image of each class that is predicted well.

    Args:
        network: any.
        dataset: its data.
        seed: of the sample and of SmoothGrad's noise.

    Returns:
        None where rows are no images.
    """
    if not is_image(dataset):
        return None
    sample = take_sample(dataset, seed)
    outputs = predict(network, sample.inputs)
    rows = _well_predicted(sample, outputs)
    inputs = network.normalise(sample.inputs[rows])
    explained = outputs[rows].argmax(1)
    if sample.task == "regression":
        explained = torch.zeros_like(explained)
    sensitivity = smooth_grad(network.network, inputs, explained, seed=seed).abs().sum(1)
    attributed = integrated_gradients(network.network, inputs, explained).sum(1)
    canvas = Canvas()
    pictures, picture_scale = canvas.pictures(as_pictures(sample.inputs[rows], *pixel_range(sample)))
    little_to_much = canvas.scale(SEQUENTIAL, 0, 255)
    signed = canvas.scale(DIVERGING, 0, 255)
    gap = 8
    side = min((CANVAS_WIDTH + gap) / len(rows) - gap, 120.0)
    size = fitted(dataset.input_shape[1:], side)
    for i, row in enumerate(rows):
        left = i * (side + gap)
        for line, text in enumerate(_described(sample, outputs[row], row)):
            colour = MUTED if line else None
            canvas.text(shortened(text, side + gap - 2, 11), left, 8 + 15 * line, anchor="left", size=11, **({"colour": colour} if colour else {}))
        top = 34.0
        for values, scale in (
            (pictures[i], picture_scale),
            (_as_bytes(sensitivity[i], low=0.0), little_to_much),
            (_as_bytes(attributed[i], low=-1.0), signed),
        ):
            canvas.image(values, left, top, size, scale)
            canvas.box(left, top, left + size[0], top + size[1], colour=GREY, width=0.5)
            top += size[1] + 26
    ...
