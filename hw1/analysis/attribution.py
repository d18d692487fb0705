"""Which parts of an input a prediction rests on."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from hw1.analysis.layers import evaluating
from hw1.errors import InputError

CHUNK = 64
"""Examples per batch with their gradients."""


def smooth_grad(
    model: nn.Module,
    inputs: Tensor,
    outputs: Sequence[int] | Tensor,
    *,
    seed: int,
    noise: float = 0.15,
    n_samples: int = 50,
) -> Tensor:
    """SmoothGrad: the mean gradient of an output over noisy copies of the input.

    Smilkov et al. (2017, https://arxiv.org/abs/1706.03825). The sign is kept; take the absolute
    value for a map of sensitivity. All examples get the same noise, each in its own scale.

    Args:
        model: any network; it is run in evaluation mode.
        inputs: ``(n_rows, *input_shape)``, normalized.
        outputs: ``(n_rows,)``, for each example the number of a class or output.
        noise: its standard deviation, as a share of an example's range from lowest to highest
            value.
        n_samples: how many noisy copies.

    Returns:
        ``(n_rows, *input_shape)``, output per unit of the normalized input.

    Raises:
        InputError: there is not one output for each example, or the network has no such output.
    """

    def noisy(rows: Tensor) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        flat = rows.flatten(1)
        scale = (noise * (flat.amax(1) - flat.amin(1))).view(-1, *[1] * (rows.dim() - 1))
        for _ in range(n_samples):
            draw = torch.randn(rows.shape[1:], generator=generator).to(rows)
            yield rows + scale * draw

    return _summed_gradients(noisy, model, inputs, outputs) / n_samples


def integrated_gradients(
    model: nn.Module,
    inputs: Tensor,
    outputs: Sequence[int] | Tensor,
    *,
    n_steps: int = 128,
) -> Tensor:
    """Integrated gradients: what each part of an input adds to an output.

    Sundararajan et al. (2017, https://arxiv.org/abs/1703.01365). The attributions of an example add
    up to the difference of its output from that of the baseline (completeness), which is zero: the
    mean of the training examples. The integral is a
    sum over the middles of ``n_steps`` equal steps: its error falls with their number, and is the
    difference from that total.

    Args:
        model: any network; it is run in evaluation mode.
        inputs: ``(n_rows, *input_shape)``, normalized.
        outputs: ``(n_rows,)``, for each example the number of a class or output.
        n_steps: of the path from the baseline to the input.

    Returns:
        ``(n_rows, *input_shape)``, in units of the output.

    Raises:
        InputError: there is not one output for each example, or the network has no such output.
    """

    def path(rows: Tensor) -> Iterator[Tensor]:
        return ((step + 0.5) / n_steps * rows for step in range(n_steps))

    return inputs.detach() * _summed_gradients(path, model, inputs, outputs) / n_steps


def _summed_gradients(
    points: Callable[[Tensor], Iterator[Tensor]],
    model: nn.Module,
    inputs: Tensor,
    outputs: Sequence[int] | Tensor,
) -> Tensor:
    """The sum of an example's gradients at the inputs that ``points`` makes of it."""
    numbers = torch.as_tensor(outputs, device=inputs.device).long()
    if numbers.shape != inputs.shape[:1]:
        raise InputError(f"give one output for each of the {len(inputs)} rows")
    total = torch.zeros_like(inputs)
    chunks = zip(
        inputs.detach().split(CHUNK), numbers.split(CHUNK), total.split(CHUNK), strict=True
    )
    with evaluating(model):
        for rows, those, of_rows in chunks:
            for point in points(rows):
                of_rows += _gradient(model, point, those)
    return total


def _gradient(model: nn.Module, rows: Tensor, numbers: Tensor) -> Tensor:
    """The gradient of each output with respect to its example."""
    rows = rows.detach().requires_grad_()
    with torch.enable_grad():
        outputs = model(rows.clone())  # a network may work in place, which a leaf does not allow
        if outputs.dim() != 2:
            raise InputError("the network's output must be one tensor (n_rows, n_outputs)")
        if not ((numbers >= 0) & (numbers < outputs.shape[1])).all():
            raise InputError(f"choose outputs from 0 to {outputs.shape[1] - 1}")
        (gradient,) = torch.autograd.grad(outputs.gather(1, numbers[:, None]).sum(), rows)
    found: Tensor = gradient
    return found
