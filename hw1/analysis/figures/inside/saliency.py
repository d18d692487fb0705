"""A figure of which pixels predictions depend on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.attribution import integrated_gradients, smooth_grad
from hw1.analysis.figures.inside.subject import Subject, evenly, shown_of
from hw1.analysis.figures.layout import DRAWING_WIDTH, area, as_bytes, drawing, fitted
from hw1.analysis.figures.marks import Box, ColorScale, Figure, HeatMap, Image, Mark, Text
from hw1.analysis.figures.matplotlib import shortened, text_width
from hw1.analysis.figures.style import DIVERGING, GRAY, INK, MUTED, SEQUENTIAL
from hw1.words import listed, number

N_IMAGES = 6
"""Of a regression, spread over the target; or of classes with long names."""
LARGEST = 118.0
GAP = 8
LABEL_SIZE = 11
"""Ten names side by side leave room for no more."""
SHARE = 0.995
"""Of the pixels of a map that its colors tell apart; the rest are as dark as the darkest."""


def saliency(subject: Subject) -> Figure | None:
    """Which pixels the prediction depends on, for an image of each class that is predicted well.

    None where inputs are not images.
    """
    if not subject.has_images:
        return None
    network, all_outputs = subject.trained.network, subject.outputs(subject.sample.inputs)
    rows = _well_predicted(subject, all_outputs)
    inputs, outputs = subject.normalized[rows], all_outputs[rows]
    explained = outputs.argmax(1) if subject.has_classes else torch.zeros(len(rows)).long()
    sensitivity = smooth_grad(network, inputs, explained, seed=subject.seed).abs().sum(1)
    attributed = integrated_gradients(network, inputs, explained).sum(1)
    pictures = subject.pictures(subject.sample.inputs[rows])
    side = min((DRAWING_WIDTH + GAP) / len(rows) - GAP, LARGEST)
    size = fitted(subject.sample.input_shape[1:], side)
    tops = [36 + i * (size[1] + 30) for i in range(3)]
    marks: list[Mark] = [
        Text(text, 0, top - 10, "left", size=LABEL_SIZE, color=MUTED)
        for text, top in zip(("SmoothGrad", "integrated gradients"), tops[1:], strict=True)
    ]
    gray, colors = ColorScale(SEQUENTIAL, 0, 255), ColorScale(DIVERGING, 0, 255)
    for i, row in enumerate(rows):
        left = i * (side + GAP)
        said = _described(subject, outputs[i], row)
        for text, color, y in zip(said, (INK, MUTED), (8, 24), strict=True):
            text = shortened(text, side, LABEL_SIZE)
            marks.append(Text(text, left, y, "left", size=LABEL_SIZE, color=color))
        places = [area(left, top, size) for top in tops]
        marks.append(Image(pictures[i], *places[0]))
        marks.append(HeatMap(_scaled(sensitivity[i]), gray, *places[1]))
        marks.append(HeatMap(_scaled(attributed[i], signed=True), colors, *places[2]))
        marks += [Box(*place, GRAY, 0.5) for place in places]
    caption = _caption(subject, outputs, rows, attributed)
    return drawing("inside_saliency", "Saliency", caption, marks)


def _well_predicted(subject: Subject, outputs: Tensor) -> list[int]:
    """An example of each class, or of each part of the target's range, that is predicted well.

    Of the examples whose class is recognized it is one of median probability, lest all are
    extreme; if there are none, the one with the highest probability of its class.
    """
    sample = subject.sample
    if not subject.has_classes:
        order = sample.targets[:, 0].argsort(stable=True)
        wrong = (outputs[:, 0] - sample.targets[:, 0]).abs().nan_to_num(float("inf"))
        parts = np.array_split(order.numpy(), min(N_IMAGES, len(order)))
        return [int(part[int(wrong[part].argmin())]) for part in parts]
    probabilities, predicted = outputs.softmax(1).nan_to_num(), outputs.argmax(1)
    classes = subject.classes
    room = (DRAWING_WIDTH + GAP) / len(classes) - GAP
    if any(text_width(sample.class_names[c], LABEL_SIZE) > room for c in classes):
        classes = evenly(classes, N_IMAGES)
    rows = []
    for label in classes:
        those = torch.nonzero(sample.targets == label)[:, 0]
        right = those[predicted[those] == label]
        of_those = right if len(right) else those
        order = of_those[probabilities[of_those, label].argsort(stable=True)]
        rows.append(int(order[len(order) // 2 if len(right) else -1]))
    return rows


def _described(subject: Subject, outputs: Tensor, row: int) -> tuple[str, str]:
    """What is predicted, and how well."""
    sample = subject.sample
    if not subject.has_classes:
        return number(float(outputs[0])), f"true {number(float(sample.targets[row, 0]))}"
    predicted, true = int(outputs.argmax()), int(sample.targets[row])
    probability = f"{float(outputs.softmax(0)[predicted]):.0%}"
    if predicted != true:
        probability += f", is {sample.class_names[true]}"
    return sample.class_names[predicted], probability


def _scaled(values: Tensor, *, signed: bool = False) -> np.ndarray:
    """From zero, or from minus the largest size, to the largest; as 0 to 255."""
    sizes = values.double().nan_to_num().abs()
    largest = float(sizes.flatten().quantile(SHARE, interpolation="higher") or sizes.max()) or 1.0
    return as_bytes(values, -largest if signed else 0.0, largest)


def _caption(subject: Subject, outputs: Tensor, rows: Sequence[int], attributed: Tensor) -> str:
    sample = subject.sample
    ordered = attributed.abs().flatten(1).double().nan_to_num().sort(descending=True)[0]
    held = ordered.cumsum(1) < ordered.sum(1, keepdim=True) / 2
    share = float(((held.sum(1) + 1) / ordered.shape[1]).median())
    is_class = subject.has_classes
    what = "predicted class's logit" if is_class else f"predicted {sample.target_name}"
    text = (
        f"SmoothGrad: the pixels to which the {what} is most sensitive (dark). Integrated "
        "gradients: what each pixel adds to it (orange) or takes from it (blue), compared with the "
        f"mean image. Half of that lies in {share:.0%} of the pixels (median). "
    )
    targets = sample.targets[rows]
    if not is_class:
        wrong = (outputs[:, 0] - targets[:, 0]).abs()
        return text + f"The predictions are off by {number(float(wrong.max()))} at most."
    probability, predicted = outputs.softmax(1).nan_to_num().max(1)
    low, high = (
        f"{probability[i]:.0%} for {sample.class_names[predicted[i]]}"
        for i in (probability.argmin(), probability.argmax())
    )
    text += f"Of each class an image of median probability is shown: {low} to {high}."
    missed = [sample.class_names[int(c)] for c in targets[predicted != targets]]
    if missed:
        text += f" No image of {listed(missed)} is recognized."
    return text + shown_of(len(rows), len(sample.class_names), "classes")
