"""A figure of which pixels predictions rest on."""

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.attribution import integrated_gradients, smooth_grad
from hw1.analysis.figures.canvas import CANVAS_WIDTH, Canvas, fitted, shortened, text_width
from hw1.analysis.figures.inside.sample import (
    as_pictures,
    evenly,
    is_image,
    outputs_of,
    pixel_range,
    shown_classes,
    shown_of,
    take_sample,
)
from hw1.analysis.figures.style import DIVERGING, GREY, INK, MUTED, SEQUENTIAL, Figure
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import listed, number

N_IMAGES = 6
"""Of a regression, spread over the target; or of classes with long names."""
LARGEST = 118.0
GAP = 8
LABEL_SIZE = 11
"""Ten names side by side leave room for no more."""
SHARE = 0.995
"""Of the pixels of a map that its colours tell apart; the rest are as dark as the darkest."""


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
    outputs = outputs_of(network, sample.inputs)
    rows = _well_predicted(sample, outputs)
    inputs = network.normalise(sample.inputs[rows])
    explained = outputs[rows].argmax(1)
    if sample.task == "regression":
        explained = torch.zeros_like(explained)
    sensitivity = smooth_grad(network.network, inputs, explained, seed=seed).abs().sum(1)
    attributed = integrated_gradients(network.network, inputs, explained).sum(1)
    canvas = Canvas()
    low, high = pixel_range(sample)
    pictures, picture_scale = canvas.pictures(as_pictures(sample.inputs[rows], low, high))
    sequential = canvas.scale(SEQUENTIAL, 0, 255)
    diverging = canvas.scale(DIVERGING, 0, 255)
    side = min((CANVAS_WIDTH + GAP) / len(rows) - GAP, LARGEST)
    size = fitted(dataset.input_shape[1:], side)
    tops = [36 + i * (size[1] + 30) for i in range(3)]
    for top, text in zip(tops[1:], ("SmoothGrad", "integrated gradients"), strict=True):
        canvas.text(text, 0, top - 10, anchor="left", size=LABEL_SIZE, colour=MUTED)
    for i, row in enumerate(rows):
        left = i * (side + GAP)
        lines = zip(_described(sample, outputs[row], row), (INK, MUTED), (8, 24), strict=True)
        for text, colour, y in lines:
            text = shortened(text, side, LABEL_SIZE)
            canvas.text(text, left, y, anchor="left", size=LABEL_SIZE, colour=colour)
        for top, values, scale in zip(
            tops,
            (pictures[i], _as_bytes(sensitivity[i]), _as_bytes(attributed[i], signed=True)),
            (picture_scale, sequential, diverging),
            strict=True,
        ):
            canvas.image(values, left, top, size, scale)
            canvas.box(left, top, left + size[0], top + size[1], colour=GREY, width=0.5)
    return Figure(
        "inside_saliency",
        "What the predictions rest on",
        _caption(sample, outputs[rows], rows, attributed),
        canvas.figure(tops[2] + size[1]),
    )


def _well_predicted(sample: Dataset, outputs: Tensor) -> list[int]:
    """A row of each class, or of each part of the target's range, that is predicted well.

    Of the rows whose class is recognised it is one of median probability, lest all are extreme;
    if there are none, the one with the highest probability of its class.
    """
    if sample.task == "regression":
        order = sample.targets[:, 0].argsort(stable=True)
        wrong = (outputs[:, 0] - sample.targets[:, 0]).abs().nan_to_num(float("inf"))
        parts = np.array_split(order.numpy(), min(N_IMAGES, len(order)))
        return [int(part[int(wrong[part].argmin())]) for part in parts]
    probabilities, predicted = outputs.softmax(1).nan_to_num(), outputs.argmax(1)
    rows = []
    classes = shown_classes(sample)
    room = (CANVAS_WIDTH + GAP) / len(classes) - GAP
    if any(text_width(sample.class_names[c], LABEL_SIZE) > room for c in classes):
        classes = evenly(classes, N_IMAGES)
    for label in classes:
        those = torch.nonzero(sample.targets == label)[:, 0]
        right = those[predicted[those] == label]
        of_those = right if len(right) else those
        order = of_those[probabilities[of_those, label].argsort(stable=True)]
        rows.append(int(order[len(order) // 2 if len(right) else -1]))
    return rows


def _described(sample: Dataset, outputs: Tensor, row: int) -> tuple[str, str]:
    """What is predicted, and how well."""
    if sample.task == "regression":
        return number(float(outputs[0])), f"true {number(float(sample.targets[row, 0]))}"
    predicted, true = int(outputs.argmax()), int(sample.targets[row])
    probability = f"{float(outputs.softmax(0)[predicted]):.0%}"
    if predicted != true:
        probability += f", is {sample.class_names[true]}"
    return sample.class_names[predicted], probability


def _as_bytes(values: Tensor, *, signed: bool = False) -> np.ndarray:
    """From zero, or from minus the largest size, to the largest; as 0 to 255."""
    values = values.double().nan_to_num()
    largest = (
        float(values.abs().flatten().quantile(SHARE, interpolation="higher"))
        or float(values.abs().max())
        or 1.0
    )
    scaled = (values / largest).clamp(-1, 1)
    if signed:
        scaled = (scaled + 1) / 2
    return (255 * scaled).round().to(torch.uint8).numpy()


def _caption(sample: Dataset, outputs: Tensor, rows: list[int], attributed: Tensor) -> str:
    ordered = attributed.abs().flatten(1).double().nan_to_num().sort(descending=True)[0]
    held = ordered.cumsum(1) < ordered.sum(1, keepdim=True) / 2
    share = float(((held.sum(1) + 1) / ordered.shape[1]).median())
    is_class = sample.task == "classification"
    what = "predicted class's logit" if is_class else f"predicted {sample.target_name}"
    text = (
        f"SmoothGrad: the pixels to which the {what} is most sensitive (dark). Integrated "
        "gradients: what each pixel adds to it (orange) or takes from it (blue), compared with the "
        f"mean image. Half of that lies in {share:.0%} of the pixels (median). "
    )
    if not is_class:
        wrong = (outputs[:, 0] - sample.targets[rows, 0]).abs()
        return text + f"The predictions are off by {number(float(wrong.max()))} at most."
    predicted = outputs.argmax(1)
    probability = outputs.softmax(1).gather(1, predicted[:, None])[:, 0].nan_to_num()
    names = [sample.class_names[i] for i in predicted]
    low, high = int(probability.argmin()), int(probability.argmax())
    text += (
        f"Of each class a row of median probability is shown: {probability[low]:.0%} for "
        f"{names[low]} to {probability[high]:.0%} for {names[high]}."
    )
    missed = predicted != sample.targets[rows]
    if missed.any():
        classes = [
            sample.class_names[int(sample.targets[row])]
            for row, m in zip(rows, missed, strict=True)
            if m
        ]
        text += f" No row looked at is recognised of {listed(classes)}."
    return text + shown_of(len(rows), len(sample.class_names), "classes")
