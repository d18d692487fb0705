"""The inputs that a unit answers to most strongly."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from hw1.analysis.layers import evaluating, layer_outputs
from hw1.errors import InputError


@dataclass(frozen=True, eq=False)
class Maximized:
    """Inputs that maximize the scores of units.

    Attributes:
        inputs: ``(n_targets, *input_shape)``, in normalized units.
        scores: ``(n_targets,)``, the output of each unit for its input.
        shifted_scores: ``(n_targets, 2)``, the mean output for the 8 shifts of the image by one
            pixel, diagonals included, and for the 16 by two; None for inputs that are not images.
            The pixels that come in repeat those of the border.
    """

    inputs: Tensor
    scores: Tensor
    shifted_scores: Tensor | None


def maximize_activations(
    model: nn.Module,
    input_shape: Sequence[int],
    targets: Sequence[int],
    *,
    low: Tensor | float,
    high: Tensor | float,
    seed: int,
    layer: str | None = None,
    steps: int = 256,
    lr: float = 0.05,
    fourier: bool = True,
    jitter: int = 2,
    total_variation: float = 0.5,
    l2: float = 0.1,
) -> Maximized:
    """Find an input that makes each of several units as large as can be, by gradient ascent.

    Images are made of their Fourier coefficients, scaled by 1 / frequency, and moved by a few
    pixels in each step (Olah et al., 2017, https://distill.pub/2017/feature-visualization/).
    Without these and the penalties the result is a pattern of high frequencies, whose score is
    lost when it is shifted by a pixel or two. A sigmoid keeps the values between ``low`` and
    ``high``; the optimizer is Adam. What is found for a target does not depend on the others.

    Args:
        model: any network that takes normalized inputs; it is run in evaluation mode.
        input_shape: of one example; three dimensions are those of an image (channels, height,
            width), of which alone ``fourier``, ``jitter`` and ``total_variation`` are used.
        targets: numbers of outputs, or of units of ``layer``; of a channel all positions count.
        low, high: what the data can have, in normalized units; a number, or a tensor that
            broadcasts with one example, such as ``(channels, 1, 1)``.
        seed: of the initial noise and the shifts.
        layer: a name; see `hw1.analysis.layers`. None for the network's output.
        steps: of Adam.
        lr: the learning rate of Adam.
        fourier: whether images are made of Fourier coefficients, not of pixels.
        jitter: the most pixels of a shift.
        total_variation: what to subtract, as a share of the score, for each unit of the mean
            absolute difference of neighboring pixels, in which ``high - low`` counts as one.
        l2: what to subtract, as a share of the score, for each unit of the input's mean square.

    Raises:
        InputError: there is no such layer or unit, ``low`` is not below ``high``, or the network
            has no single output ``(n_rows, n_outputs)``.
    """
    like = next(model.parameters(), torch.empty(0))
    lowest = torch.as_tensor(low, dtype=like.dtype, device=like.device)
    width = torch.as_tensor(high, dtype=like.dtype, device=like.device) - lowest
    if not (width > 0).all():
        raise InputError("the lowest values of the inputs must be below the highest: change them")
    is_image = len(input_shape) == 3
    fourier = fourier and is_image
    generator = torch.Generator().manual_seed(seed)
    spectrum_shape = (*input_shape[:-1], input_shape[-1] // 2 + 1, 2)
    noise = torch.randn(spectrum_shape if fourier else input_shape, generator=generator)
    parameters = torch.stack([0.01 * noise.to(like)] * len(targets)).requires_grad_()
    # The search starts near zero, the mean of the data, where that is possible.
    start = (-lowest / width).clamp(0.05, 0.95).logit()

    def make() -> Tensor:
        values = _from_spectrum(parameters, input_shape) if fourier else parameters
        return lowest + width * torch.sigmoid(start + values)

    optimizer = torch.optim.Adam([parameters], lr=lr)
    with torch.enable_grad(), evaluating(model):
        for _ in range(steps):
            inputs = make()
            penalty = l2 * inputs.square().flatten(1).mean(1)
            if is_image:
                penalty = penalty + total_variation * _total_variation(inputs / width)
                down, right = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
                inputs = _shift(inputs, down, right)
            scores = _scores(model, inputs, targets, layer)
            # In shares of the score, as logits and hidden units differ in scale.
            objective = (scores - scores.detach().clamp(min=0) * penalty).sum()
            (parameters.grad,) = torch.autograd.grad(-objective, parameters)
            optimizer.step()
    with torch.no_grad(), evaluating(model):
        inputs = make()
        scores = _scores(model, inputs, targets, layer)
        if not is_image:
            return Maximized(inputs, scores, None)
        shifted = []
        for distance in (1, 2):
            moves = [m for m in product(range(-2, 3), repeat=2) if max(map(abs, m)) == distance]
            moved = [_scores(model, _shift(inputs, *m), targets, layer) for m in moves]
            shifted.append(torch.stack(moved).mean(0))
        return Maximized(inputs, scores, torch.stack(shifted, 1))


def _from_spectrum(coefficients: Tensor, input_shape: Sequence[int]) -> Tensor:
    """Images from real and imaginary parts ``(n, channels, height, width // 2 + 1, 2)``."""
    height, width = input_shape[1:]
    rows = torch.fft.fftfreq(height, device=coefficients.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=coefficients.device)
    scale = 1 / torch.hypot(rows, columns).clamp(min=1 / max(height, width))
    scale = scale / scale.square().mean().sqrt()
    spectrum = torch.view_as_complex(coefficients) * scale.to(coefficients.dtype)
    images: Tensor = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
    return images


def _shift(images: Tensor, down: int, right: int) -> Tensor:
    """Images moved by some pixels; the border is repeated."""
    height, width = images.shape[2:]
    margin = max(abs(down), abs(right))
    padded = functional.pad(images, [margin] * 4, mode="replicate")
    top, left = margin - down, margin - right
    return padded[:, :, top : top + height, left : left + width]


def _total_variation(images: Tensor) -> Tensor:
    """``(n,)``, the mean absolute difference of neighbors, down plus across."""
    differences = [images.diff(dim=dim).abs().flatten(1) for dim in (2, 3)]
    # An image of a single row has no differences down.
    return torch.stack([d.sum(1) / max(d.shape[1], 1) for d in differences]).sum(0)


def _scores(model: nn.Module, inputs: Tensor, targets: Sequence[int], layer: str | None) -> Tensor:
    """``(n_targets,)``, of each target the score of its input."""
    output = model(inputs) if layer is None else layer_outputs(model, inputs, [layer])[layer]
    if not isinstance(output, Tensor) or output.dim() < 2:
        raise InputError("the network's output must be one tensor (n_rows, n_outputs)")
    n_units = output.shape[1]
    for target in targets:
        if not 0 <= target < n_units:
            raise InputError(f"there is no unit {target}: choose one from 0 to {n_units - 1}")
    scores = output[range(len(targets)), list(targets)]
    return scores.flatten(1).mean(1) if scores.dim() > 1 else scores
