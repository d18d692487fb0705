"""Dense networks in compiled code: an epoch of many models in one call.

A network is a table of its layers, made in `hw1.training.compiled`. Each model is trained by
itself, one batch after another: a small network stays in the processor's cache, no step waits
for a launch, and what a model becomes depends on no other. Matrices are multiplied by the BLAS
that SciPy brings.

``units`` is the sum of the widths of a network's layers, its inputs included. What the layers
give stands in one array ``values``, layer after layer, each ``(n_rows, width)``.
"""

from typing import Any

import numpy as np

from hw1.training.kernels import compiled, exp
from hw1.training.layer_kernels import (
    BATCH_NORM,
    DROPOUT,
    LINEAR,
    activate,
    activate_backward,
    draw_dropout,
    evaluate_norm,
    fold_in_key,
    normalize,
    normalize_backward,
)
from hw1.training.loading import load
from hw1.training.products import (
    SCRATCH,
    multiply_for_inputs,
    multiply_for_weight,
    multiply_forward,
    round_all,
)
from hw1.training.update import update

# The columns of a layer's table.
KIND, N_IN, N_OUT, START, WEIGHT, BIAS, BUFFER, ROUNDS = range(8)
# The columns of a model's sizes.
N_LAYERS, UNITS, WIDEST, N_PARAMETERS, N_WEIGHTS, OPTIMIZER, BATCH, STEPS = range(8)
N_BATCHES = 0
"""The column of a model's buffers that counts its batches."""


@compiled
def forward(
    layers: np.ndarray,
    constants: np.ndarray,
    parameters: np.ndarray,
    buffers: np.ndarray,
    key: Any,
    training: bool,
    n_rows: int,
    values: np.ndarray,
    kept: np.ndarray,
    rstd: np.ndarray,
    rounded: np.ndarray,
    rounded_weights: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Fill ``values`` from the inputs, which stand in front.

    Args:
        layers: ``(n_layers, 8)``.
        constants: ``(n_layers, 2)`` of the parameters' type.
        parameters: ``(n_parameters,)``; weights of linear layers are ``(n_in, n_out)``.
        buffers: ``(n_buffers,)``; changed by batch norm in training.
        key: of this step, for dropout.
        training: whether batches are normalised by themselves, and values dropped.
        n_rows: in the batch.
        values: ``(n_rows * units,)``.
        kept: the same size; what `backward` needs of a layer stands where its outputs do.
        rstd: ``(units,)``, the same for batch norm.
        rounded: of the size of ``values``, in bfloat16, for the inputs of layers that round.
        rounded_weights: ``(n_weights,)``, of `round_weights`.
        scratch: see `hw1.training.products`.
    """
    n_dropouts = 0
    for layer in range(len(layers)):
        kind, n_in, n_out = layers[layer, KIND], layers[layer, N_IN], layers[layer, N_OUT]
        start = n_rows * layers[layer, START]
        middle = start + n_rows * n_in
        end = middle + n_rows * n_out
        flat_x, flat_y = values[start:middle], values[middle:end]
        x, y = flat_x.reshape(n_rows, n_in), flat_y.reshape(n_rows, n_out)
        first, of_bias = layers[layer, WEIGHT], layers[layer, BIAS]
        if kind == LINEAR:
            weights = slice(first, first + n_in * n_out)
            if layers[layer, ROUNDS]:
                x16 = rounded[start:middle]
                round_all(flat_x, x16)
                w16 = rounded_weights[weights].reshape(n_in, n_out)
                multiply_forward(x16.reshape(n_rows, n_in), w16, y, scratch)
            else:
                np.dot(x, parameters[weights].reshape(n_in, n_out), y)
            if of_bias >= 0:
                bias = parameters[of_bias : of_bias + n_out]
                for b in range(n_rows):
                    out = y[b]
                    for j in range(n_out):
                        out[j] += bias[j]
        elif kind == BATCH_NORM:
            place = layers[layer, BUFFER]
            weight, bias = parameters[first : first + n_in], parameters[of_bias : of_bias + n_in]
            mean = buffers[place : place + n_in]
            var = buffers[place + n_in : place + 2 * n_in]
            if training:
                units = layers[layer, START] + n_in
                standard = kept[middle:end].reshape(n_rows, n_in)
                normalize(
                    x, weight, bias, mean, var, constants[layer], standard,
                    rstd[units : units + n_in], y,
                )  # fmt: skip
            else:
                evaluate_norm(x, weight, bias, mean, var, constants[layer, 0], y)
        elif kind == DROPOUT:
            if training:
                factors = kept[middle:end]
                draw_dropout(
                    fold_in_key(key, n_dropouts),
                    constants[layer, 0],
                    factors.reshape(n_rows, n_in),
                )
                n_dropouts += 1
                for i in range(n_rows * n_in):
                    flat_y[i] = flat_x[i] * factors[i]
            else:
                flat_y[:] = flat_x
        else:
            activate(kind, constants[layer, 0], flat_x, flat_y)


@compiled
def round_weights(layers: np.ndarray, parameters: np.ndarray, rounded: np.ndarray) -> None:
    """Write the weights of layers that round in bfloat16, ``(n_weights,)``."""
    for layer in range(len(layers)):
        if layers[layer, ROUNDS]:
            n_weights = layers[layer, N_IN] * layers[layer, N_OUT]
            weights = slice(layers[layer, WEIGHT], layers[layer, WEIGHT] + n_weights)
            round_all(parameters[weights], rounded[weights])


@compiled
def backward(
    layers: np.ndarray,
    constants: np.ndarray,
    parameters: np.ndarray,
    grads: np.ndarray,
    n_rows: int,
    values: np.ndarray,
    kept: np.ndarray,
    rstd: np.ndarray,
    grad: np.ndarray,
    other: np.ndarray,
    rounded: np.ndarray,
    rounded_weights: np.ndarray,
    rounded_grad: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Write the gradient of every parameter to ``grads``.

    Args:
        layers, constants, parameters, n_rows, values, kept, rstd: as `forward` left them.
        grads: ``(n_parameters,)``.
        grad: ``(n_rows * widest,)``, in front the gradient by the outputs; overwritten.
        other: of the same size, for intermediate results.
        rounded_grad: of the same size, in bfloat16.
        rounded, rounded_weights, scratch: as `forward` left them.
    """
    for layer in range(len(layers) - 1, -1, -1):
        kind, n_in, n_out = layers[layer, KIND], layers[layer, N_IN], layers[layer, N_OUT]
        start = n_rows * layers[layer, START]
        middle = start + n_rows * n_in
        end = middle + n_rows * n_out
        flat_g = grad[: n_rows * n_out]
        g = flat_g.reshape(n_rows, n_out)
        first, of_bias = layers[layer, WEIGHT], layers[layer, BIAS]
        if kind == LINEAR:
            weights = slice(first, first + n_in * n_out)
            of_weight = grads[weights].reshape(n_in, n_out)
            g16 = rounded_grad[: n_rows * n_out]
            if layers[layer, ROUNDS]:
                round_all(flat_g, g16)
                x16 = rounded[start:middle].reshape(n_rows, n_in)
                multiply_for_weight(x16, g16.reshape(n_rows, n_out), of_weight, scratch)
            else:
                x = values[start:middle].reshape(n_rows, n_in)
                np.dot(x.T, g, of_weight)
            if of_bias >= 0:
                sums = grads[of_bias : of_bias + n_out]
                sums[:] = grads.dtype.type(0)
                for b in range(n_rows):
                    row = g[b]
                    for j in range(n_out):
                        sums[j] += row[j]
            if layer > 0:  # nothing is learned below the first layer
                of_x = other[: n_rows * n_in].reshape(n_rows, n_in)
                if layers[layer, ROUNDS]:
                    w16 = rounded_weights[weights].reshape(n_in, n_out)
                    multiply_for_inputs(g16.reshape(n_rows, n_out), w16, of_x, scratch)
                else:
                    np.dot(g, parameters[weights].reshape(n_in, n_out).T, of_x)
                grad, other = other, grad
        elif kind == BATCH_NORM:
            units = layers[layer, START] + n_in
            normalize_backward(
                kept[middle:end].reshape(n_rows, n_in),
                rstd[units : units + n_in],
                parameters[first : first + n_in],
                grads[first : first + n_in],
                grads[of_bias : of_bias + n_in],
                g,
            )
        elif kind == DROPOUT:
            factors = kept[middle:end]
            for i in range(n_rows * n_in):
                flat_g[i] *= factors[i]
        else:
            activate_backward(
                kind, constants[layer, 0], values[start:middle], values[middle:end], flat_g
            )


@compiled
def _squared_error_gradient(
    outputs: np.ndarray,
    targets: np.ndarray,
    rows: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    grad: np.ndarray,
) -> None:
    n_rows, n_outputs = outputs.shape
    scale = outputs.dtype.type(2 / (n_rows * n_outputs))
    for b in range(n_rows):
        for j in range(n_outputs):
            target = (targets[rows[b], j] - mean[j]) / std[j]
            grad[b, j] = (outputs[b, j] - target) * scale


@compiled
def _cross_entropy_gradient(
    outputs: np.ndarray, classes: np.ndarray, rows: np.ndarray, smoothing: float, grad: np.ndarray
) -> None:
    """Softmax minus the target's distribution: what smoothing leaves on it, the rest on all."""
    n_rows, n_outputs = outputs.shape
    share = outputs.dtype.type(1 / n_rows)
    for b in range(n_rows):
        out, g = outputs[b], grad[b]
        highest = out[0]
        for j in range(1, n_outputs):
            highest = max(highest, out[j])
        total = outputs.dtype.type(0)
        for j in range(n_outputs):
            g[j] = exp(out[j] - highest)
            total += g[j]
        for j in range(n_outputs):
            g[j] = (g[j] / total - smoothing / n_outputs) * share
        g[classes[rows[b]]] -= (outputs.dtype.type(1) - smoothing) * share


@compiled
def train(
    first_model: int,
    last_model: int,
    first_step: int,
    last_step: int,
    epoch: int,
    sizes: np.ndarray,
    layers: np.ndarray,
    constants: np.ndarray,
    settings: np.ndarray,
    label_smoothing: np.ndarray,
    parameters: np.ndarray,
    first_moments: np.ndarray,
    second_moments: np.ndarray,
    buffers: np.ndarray,
    dropout_keys: np.ndarray,
    lr: np.ndarray,
    order: np.ndarray,
    moves: np.ndarray,
    inputs: np.ndarray,
    image: tuple[int, int],
    input_mean: np.ndarray,
    input_std: np.ndarray,
    targets: np.ndarray,
    classes: np.ndarray,
    target_mean: np.ndarray,
    target_std: np.ndarray,
) -> None:
    """Train some models for some steps of an epoch.

    Args:
        first_model, last_model: which, the last excluded.
        first_step, last_step: of the epoch, the last excluded; of each model as many as it has.
        epoch: from 0.
        sizes: ``(n_models, 8)``.
        layers: ``(n_models, most_layers, 8)``.
        constants: ``(n_models, most_layers, 2)``, of the parameters' type as are all floats.
        settings: ``(n_models, 5)``, of `hw1.training.update`.
        label_smoothing: ``(n_models,)``.
        parameters, first_moments, second_moments: ``(n_models, most_parameters)``.
        buffers: ``(n_models, most_buffers)``.
        dropout_keys: ``(n_models, 2)`` uint32.
        lr: ``(n_models, most_steps)``, of all epochs.
        order: ``(n_models, most_rows)``, the rows of the epoch's batches.
        moves: ``(last_model - first_model, n, 7)``, what is done to the images of these steps; or
            ``(1, 0, 7)`` for nothing.
        inputs: ``(n_rows, channels * height * width)``, of any type.
        image: height and width.
        input_mean, input_std: ``(n_models, channels)``.
        targets: ``(n_rows, n_outputs)``; none for classes.
        classes: ``(n_rows,)`` int64; none for numbers.
        target_mean, target_std: ``(n_models, n_outputs)``.
    """
    dtype = parameters.dtype
    moved = moves.shape[1] > 0
    for m in range(first_model, last_model):
        batch, steps, n_parameters = sizes[m, BATCH], sizes[m, STEPS], sizes[m, N_PARAMETERS]
        table, fixed = layers[m, : sizes[m, N_LAYERS]], constants[m]
        own = parameters[m, :n_parameters]
        first, second = first_moments[m, :n_parameters], second_moments[m, :n_parameters]
        n_inputs, n_outputs = table[0, N_IN], table[-1, N_OUT]
        values = np.empty(batch * sizes[m, UNITS], dtype)
        kept = np.empty(batch * sizes[m, UNITS], dtype)
        rstd = np.empty(sizes[m, UNITS], dtype)
        grad = np.empty(batch * sizes[m, WIDEST], dtype)
        other = np.empty(batch * sizes[m, WIDEST], dtype)
        grads = np.empty(n_parameters, dtype)
        rounds = np.any(table[:, ROUNDS])
        rounded = np.empty(len(values) if rounds else 0, np.uint16)
        rounded_weights = np.empty(sizes[m, N_WEIGHTS] if rounds else 0, np.uint16)
        rounded_grad = np.empty(len(grad) if rounds else 0, np.uint16)
        scratch = SCRATCH.copy()
        outputs = values[batch * (sizes[m, UNITS] - n_outputs) :].reshape(batch, n_outputs)
        of_outputs = grad[: batch * n_outputs].reshape(batch, n_outputs)
        for step in range(first_step, min(last_step, steps)):
            rows = order[m, step * batch : (step + 1) * batch]
            changes = moves[m - first_model, (step - first_step) * batch :] if moved else moves[0]
            x = values[: batch * n_inputs].reshape(batch, n_inputs)
            load(inputs, rows, image, input_mean[m], input_std[m], changes, x)
            t = epoch * steps + step
            key = fold_in_key(dropout_keys[m], t)
            round_weights(table, own, rounded_weights)
            forward(
                table, fixed, own, buffers[m], key, True, batch, values, kept, rstd,
                rounded, rounded_weights, scratch,
            )  # fmt: skip
            if len(targets):
                _squared_error_gradient(
                    outputs, targets, rows, target_mean[m], target_std[m], of_outputs
                )
            else:
                _cross_entropy_gradient(outputs, classes, rows, label_smoothing[m], of_outputs)
            backward(
                table, fixed, own, grads, batch, values, kept, rstd, grad, other,
                rounded, rounded_weights, rounded_grad, scratch,
            )  # fmt: skip
            update(
                sizes[m, OPTIMIZER], settings[m], own, grads, first, second,
                sizes[m, N_WEIGHTS], lr[m, t], t + 1,
            )  # fmt: skip
            buffers[m, N_BATCHES] += 1


@compiled
def evaluate(
    first_model: int,
    last_model: int,
    chunk: int,
    sizes: np.ndarray,
    layers: np.ndarray,
    constants: np.ndarray,
    parameters: np.ndarray,
    buffers: np.ndarray,
    rows: np.ndarray,
    inputs: np.ndarray,
    image: tuple[int, int],
    input_mean: np.ndarray,
    input_std: np.ndarray,
    outputs: np.ndarray,
) -> None:
    """Write what some models say of some rows of the data.

    Args:
        chunk: rows at a time.
        rows: ``(n_models, n_rows)``.
        outputs: ``(n_models, n_rows, n_outputs)``.

    The others are those of `train`.
    """
    dtype = parameters.dtype
    key = (np.uint32(0), np.uint32(0))
    nothing = np.empty((0, 7), np.int32)
    for m in range(first_model, last_model):
        table = layers[m, : sizes[m, N_LAYERS]]
        n_inputs, n_outputs = table[0, N_IN], table[-1, N_OUT]
        values = np.empty(chunk * sizes[m, UNITS], dtype)
        rounds = np.any(table[:, ROUNDS])
        rounded = np.empty(len(values) if rounds else 0, np.uint16)
        rounded_weights = np.empty(sizes[m, N_WEIGHTS] if rounds else 0, np.uint16)
        scratch = SCRATCH.copy()
        round_weights(table, parameters[m], rounded_weights)
        for start in range(0, rows.shape[1], chunk):
            n = min(chunk, rows.shape[1] - start)
            x = values[: n * n_inputs].reshape(n, n_inputs)
            some = rows[m, start : start + n]
            load(inputs, some, image, input_mean[m], input_std[m], nothing, x)
            forward(
                table, constants[m], parameters[m], buffers[m], key, False, n,
                values, values[:0], values[:0], rounded, rounded_weights, scratch,
            )  # fmt: skip
            last = n * (sizes[m, UNITS] - n_outputs)
            outputs[m, start : start + n] = values[last : last + n * n_outputs].reshape(
                n, n_outputs
            )
