"""Dense networks in compiled code: an epoch of many models in one call.

A network is a table of its layers, made in `hw1.training.compiled.backend`. Each model is trained
by itself, one batch after another: a small network stays in the processor's cache, no step waits
for a launch, and what a model becomes depends on no other. SciPy's BLAS multiplies matrices.

``units`` is the sum of the widths of a network's layers, its inputs included. What the layers
give stands in one array ``values``, layer after layer, each ``(n_rows, width)``.
"""

from typing import Any, NamedTuple

import numpy as np

from hw1.training.activation_kernels import activate, activate_and_differentiate
from hw1.training.compiled import tiles
from hw1.training.compiled.layer_kernels import (
    BATCH_NORM,
    DROPOUT,
    LINEAR,
    draw_dropout,
    evaluate_norm,
    load_inputs,
    normalize,
    normalize_backward,
)
from hw1.training.compiled.loss_kernels import cross_entropy_gradient, squared_error_gradient
from hw1.training.compiled.products import SCRATCH, multiply, round_all
from hw1.training.kernels import compiled, fold_in_key
from hw1.training.plan import EVALUATED
from hw1.training.update import follow, update

LAYER = np.dtype([(name, np.int64) for name in (
    "kind", "n_in", "n_out", "start", "weight", "bias", "buffer", "rounds", "tiles",
)])  # fmt: skip
"""A layer: ``start`` counts the units before its inputs, ``weight``, ``bias`` and ``buffer`` tell
where in the parameters and buffers they begin, -1 for none; `hw1.training.compiled.products` or
`hw1.training.compiled.tiles` multiply where one of the last two is set. Activations work in place.
"""
SIZES = np.dtype([(name, np.int64) for name in (
    "n_layers", "units", "widest", "n_parameters", "n_weights", "optimizer", "batch", "steps",
)])  # fmt: skip
N_BATCHES = 0
"""The column of a model's buffers that counts its batches."""


class Networks(NamedTuple):
    """The networks of all models; all floats are of the parameters' type.

    Attributes:
        sizes: ``(n_models,)`` of `SIZES`.
        layers: ``(n_models, most_layers)`` of `LAYER`.
        constants: ``(n_models, most_layers, 2)``.
        parameters: ``(n_models, most_parameters)``; weights of linear layers are ``(n_in, n_out)``.
        buffers: ``(n_models, most_buffers)``; changed by batch norm in training.
    """

    sizes: np.ndarray
    layers: np.ndarray
    constants: np.ndarray
    parameters: np.ndarray
    buffers: np.ndarray


class Rows(NamedTuple):
    """The data, and what each model is normalized by.

    Attributes:
        inputs: ``(n_rows, channels * height * width)``, of any type.
        n_pixels: height times width; one for inputs that are not images.
        input_mean, input_std: ``(n_models, channels)``.
        targets: ``(n_rows, n_outputs)``; none for classes.
        classes: ``(n_rows,)`` int64; none for numbers.
        target_mean, target_std: ``(n_models, n_outputs)``.
    """

    inputs: np.ndarray
    n_pixels: int
    input_mean: np.ndarray
    input_std: np.ndarray
    targets: np.ndarray
    classes: np.ndarray
    target_mean: np.ndarray
    target_std: np.ndarray


class Training(NamedTuple):
    """How each model is trained.

    Attributes:
        settings: of `hw1.training.update.settings`.
        label_smoothing: ``(n_models,)``.
        first_moments, second_moments: ``(n_models, most_parameters)``.
        dropout_keys: ``(n_models, 2)`` uint32.
        lr, shares: ``(n_models, most_steps)``, of all epochs; see `hw1.training.plan.Plan`.
        averages: of parameters and buffers, if there are shares.
    """

    settings: np.ndarray
    label_smoothing: np.ndarray
    first_moments: np.ndarray
    second_moments: np.ndarray
    dropout_keys: np.ndarray
    lr: np.ndarray
    shares: np.ndarray
    averages: tuple[np.ndarray, np.ndarray]


class _Work(NamedTuple):
    """Memory for a batch of one model.

    Attributes:
        values: ``(n_rows * units,)``.
        kept: the same size; what the backward pass needs of a layer stands where its outputs do.
        slopes: the same for activations, their derivatives.
        rstd: ``(units,)``, the same for batch norm.
        grad, other: ``(n_rows * widest,)``, gradients by what a layer gave.
        grads: ``(n_parameters,)``.
        values16, grad16, weights16: of `values`, `grad` and the weights, in bfloat16; empty where
            no layer rounds.
        transposed: of a layer that multiplies tiles, its weights.
        scratch: see `hw1.training.compiled.products`.
    """

    values: np.ndarray
    kept: np.ndarray
    slopes: np.ndarray
    rstd: np.ndarray
    grad: np.ndarray
    other: np.ndarray
    grads: np.ndarray
    values16: np.ndarray
    grad16: np.ndarray
    weights16: np.ndarray
    transposed: np.ndarray
    scratch: np.ndarray


@compiled
def _allocate(
    sizes: Any, layers: np.ndarray, n_rows: int, training: bool, like: np.ndarray
) -> _Work:
    """The memory for batches of ``n_rows``; most of it only for training."""
    dtype = like.dtype
    n_values, n_grad = n_rows * sizes.units, n_rows * sizes.widest if training else 0
    rounds = np.any(layers["rounds"])
    largest = (layers["tiles"] * layers["n_in"] * layers["n_out"]).max()
    return _Work(
        np.empty(n_values, dtype),
        np.empty(n_values if training else 0, dtype),
        np.empty(n_values if training else 0, dtype),
        np.empty(sizes.units if training else 0, dtype),
        np.empty(n_grad, dtype),
        np.empty(n_grad, dtype),
        np.empty(sizes.n_parameters if training else 0, dtype),
        np.empty(n_values if rounds else 0, np.uint16),
        np.empty(n_grad if rounds else 0, np.uint16),
        np.empty(sizes.n_weights if rounds else 0, np.uint16),
        np.empty(largest if training else 0, dtype),
        SCRATCH.copy(),
    )


@compiled
def _round_weights(layers: np.ndarray, parameters: np.ndarray, weights16: np.ndarray) -> None:
    """Write the weights of layers that round in bfloat16."""
    for layer in range(len(layers)):
        if layers[layer].rounds:
            n_weights = layers[layer].n_in * layers[layer].n_out
            weights = slice(layers[layer].weight, layers[layer].weight + n_weights)
            round_all(parameters[weights], weights16[weights])


@compiled
def _forward(
    layers: np.ndarray,
    constants: np.ndarray,
    parameters: np.ndarray,
    buffers: np.ndarray,
    key: Any,
    training: bool,
    n_rows: int,
    work: _Work,
) -> None:
    """Fill ``work.values`` from the inputs, which stand in front.

    Args:
        layers, constants, parameters, buffers: of this model.
        key: of this step, for dropout.
        training: whether batches are normalized by themselves, and values dropped.
        n_rows: in the batch.
        work: its ``weights16`` are set.
    """
    n_dropouts = 0
    for layer in range(len(layers)):
        kind, n_in, n_out = layers[layer].kind, layers[layer].n_in, layers[layer].n_out
        start = n_rows * layers[layer].start
        middle = start + n_rows * n_in
        if kind < LINEAR:
            z, n = work.values[start:middle], np.uint64(n_rows * n_in)
            constant = float(constants[layer, 0])
            if training:
                activate_and_differentiate(kind, constant, z, work.slopes[start:middle], n)
            else:
                activate(kind, constant, z, n)
            continue
        end = middle + n_rows * n_out
        flat_x, flat_y = work.values[start:middle], work.values[middle:end]
        x, y = flat_x.reshape(n_rows, n_in), flat_y.reshape(n_rows, n_out)
        first, of_bias = layers[layer].weight, layers[layer].bias
        if kind == LINEAR:
            weights = slice(first, first + n_in * n_out)
            bias = parameters[of_bias : of_bias + n_out] if of_bias >= 0 else parameters[:0]
            if layers[layer].tiles:
                tiles.multiply(x, False, parameters[weights].reshape(n_in, n_out), y, bias)
                continue
            if layers[layer].rounds:
                x16 = work.values16[start:middle]
                round_all(flat_x, x16)
                w16 = work.weights16[weights].reshape(n_in, n_out)
                multiply(x16.reshape(n_rows, n_in), False, w16, False, y, work.scratch)
            else:
                np.dot(x, parameters[weights].reshape(n_in, n_out), y)
            if of_bias >= 0:
                for b in range(n_rows):
                    out = y[b]
                    for j in range(n_out):
                        out[j] += bias[j]
        elif kind == BATCH_NORM:
            place = layers[layer].buffer
            weight, bias = parameters[first : first + n_in], parameters[of_bias : of_bias + n_in]
            mean = buffers[place : place + n_in]
            var = buffers[place + n_in : place + 2 * n_in]
            if training:
                units = layers[layer].start + n_in
                standard = work.kept[middle:end].reshape(n_rows, n_in)
                rstd = work.rstd[units : units + n_in]
                normalize(x, weight, bias, mean, var, constants[layer], standard, rstd, y)
            else:
                evaluate_norm(x, weight, bias, mean, var, constants[layer, 0], y)
        elif kind == DROPOUT and training:
            factors = work.kept[middle:end]
            of_layer = fold_in_key(key, n_dropouts)
            draw_dropout(of_layer, constants[layer, 0], factors.reshape(n_rows, n_in))
            n_dropouts += 1
            for i in range(n_rows * n_in):
                flat_y[i] = flat_x[i] * factors[i]
        else:
            flat_y[:] = flat_x


@compiled
def _backward(
    layers: np.ndarray,
    constants: np.ndarray,
    parameters: np.ndarray,
    n_rows: int,
    work: _Work,
) -> None:
    """Write the gradient of every parameter to ``work.grads``.

    Args:
        layers, constants, parameters, n_rows: as in `_forward`.
        work: as that left it, and ``work.grad`` with the gradient by the outputs in front.
    """
    grads, grad, other = work.grads, work.grad, work.other
    for layer in range(len(layers) - 1, -1, -1):
        kind, n_in, n_out = layers[layer].kind, layers[layer].n_in, layers[layer].n_out
        start = n_rows * layers[layer].start
        middle = start + n_rows * n_in
        end = middle + n_rows * n_out
        flat_g = grad[: n_rows * n_out]
        g = flat_g.reshape(n_rows, n_out)
        first, of_bias = layers[layer].weight, layers[layer].bias
        if kind == LINEAR:
            weights = slice(first, first + n_in * n_out)
            of_weight = grads[weights].reshape(n_in, n_out)
            g16 = work.grad16[: n_rows * n_out]
            if layers[layer].tiles:
                x = work.values[start:middle].reshape(n_rows, n_in)
                tiles.multiply(x, True, g, of_weight, grads[:0])
            elif layers[layer].rounds:
                round_all(flat_g, g16)
                x16 = work.values16[start:middle].reshape(n_rows, n_in)
                multiply(x16, True, g16.reshape(n_rows, n_out), False, of_weight, work.scratch)
            else:
                np.dot(work.values[start:middle].reshape(n_rows, n_in).T, g, of_weight)
            if of_bias >= 0:
                sums = grads[of_bias : of_bias + n_out]
                sums[:] = grads.dtype.type(0)
                for b in range(n_rows):
                    row = g[b]
                    for j in range(n_out):
                        sums[j] += row[j]
            if layer > 0:  # nothing is learned below the first layer
                of_x = other[: n_rows * n_in].reshape(n_rows, n_in)
                if layers[layer].tiles:
                    turned = work.transposed[: n_in * n_out].reshape(n_out, n_in)
                    tiles.transpose(parameters[weights].reshape(n_in, n_out), turned)
                    tiles.multiply(g, False, turned, of_x, grads[:0])
                elif layers[layer].rounds:
                    w16 = work.weights16[weights].reshape(n_in, n_out)
                    multiply(g16.reshape(n_rows, n_out), False, w16, True, of_x, work.scratch)
                else:
                    np.dot(g, parameters[weights].reshape(n_in, n_out).T, of_x)
                grad, other = other, grad
        elif kind == BATCH_NORM:
            units = layers[layer].start + n_in
            normalize_backward(
                work.kept[middle:end].reshape(n_rows, n_in),
                work.rstd[units : units + n_in],
                parameters[first : first + n_in],
                grads[first : first + n_in],
                grads[of_bias : of_bias + n_in],
                g,
            )
        elif kind == DROPOUT:
            factors = work.kept[middle:end]
            for i in range(n_rows * n_in):
                flat_g[i] *= factors[i]
        else:
            slopes = work.slopes[start:middle]
            for i in range(n_rows * n_in):
                flat_g[i] *= slopes[i]


@compiled
def evaluate(
    models: tuple[int, int],
    networks: Networks,
    data: Rows,
    rows: np.ndarray,
    outputs: np.ndarray,
) -> None:
    """Write some models' outputs for some rows of the data.

    Args:
        models: the first one and that behind the last.
        networks, data, rows: of all models, ``(n_models, n_rows)``.
        outputs: ``(n_models, n_rows, n_outputs)``.
    """
    no_key = np.uint32(0), np.uint32(0)
    chunk = min(EVALUATED, rows.shape[1])
    for m in range(models[0], models[1]):
        sizes = networks.sizes[m]
        layers, constants = networks.layers[m, : sizes.n_layers], networks.constants[m]
        own, buffers = networks.parameters[m], networks.buffers[m]
        n_inputs, n_outputs = layers[0].n_in, layers[-1].n_out
        work = _allocate(sizes, layers, chunk, False, own)
        _round_weights(layers, own, work.weights16)
        mean, std = data.input_mean[m], data.input_std[m]
        for start in range(0, rows.shape[1], chunk):
            some = rows[m, start : start + chunk]
            n = len(some)
            x = work.values[: n * n_inputs].reshape(n, n_inputs)
            load_inputs(data.inputs, some, data.n_pixels, mean, std, x)
            _forward(layers, constants, own, buffers, no_key, False, n, work)
            last = n * (sizes.units - n_outputs)
            found = work.values[last : last + n * n_outputs]
            outputs[m, start : start + n] = found.reshape(n, n_outputs)


@compiled
def train(
    models: tuple[int, int],
    steps: tuple[int, int],
    epoch: int,
    networks: Networks,
    training: Training,
    data: Rows,
    order: np.ndarray,
    augmented: np.ndarray,
    given: np.ndarray,
    evaluated: Networks,
    rows: np.ndarray,
    outputs: np.ndarray,
) -> None:
    """Train some models for some steps of an epoch, or for several epochs.

    Args:
        models: the first one and that behind the last.
        steps: likewise, of each epoch; of each model as many as it has.
        epoch: the first one, from 0.
        networks, training, data: of all models.
        order: ``(n_epochs, n_models, most_rows)``, the rows of the epochs' batches.
        augmented: the inputs of these steps for a single model, if they are not those of the data.
        given: ``(n_epochs, n_models, most_rows, n_outputs)``, gets what each model gives for these
            rows.
        evaluated, rows, outputs: see `evaluate`, here after each epoch:
            ``(n_epochs, n_models, n_rows, n_outputs)``; there may be no rows.
    """
    for m in range(models[0], models[1]):
        sizes = networks.sizes[m]
        batch, n_parameters = sizes.batch, sizes.n_parameters
        layers, constants = networks.layers[m, : sizes.n_layers], networks.constants[m]
        own, buffers = networks.parameters[m, :n_parameters], networks.buffers[m]
        first, second = training.first_moments[m], training.second_moments[m]
        n_inputs, n_outputs = layers[0].n_in, layers[-1].n_out
        work = _allocate(sizes, layers, batch, True, own)
        x = work.values[: batch * n_inputs].reshape(batch, n_inputs)
        own_outputs = work.values[batch * (sizes.units - n_outputs) :].reshape(batch, n_outputs)
        of_outputs = work.grad[: batch * n_outputs].reshape(batch, n_outputs)
        mean, std = data.input_mean[m], data.input_std[m]
        end = min(steps[1], sizes.steps)
        for e in range(len(order)):
            for step in range(steps[0], end):
                some = order[e, m, step * batch : (step + 1) * batch]
                if len(augmented):
                    places = (step - steps[0]) * batch + np.arange(batch)
                    load_inputs(augmented, places, data.n_pixels, mean, std, x)
                else:
                    load_inputs(data.inputs, some, data.n_pixels, mean, std, x)
                t = (epoch + e) * sizes.steps + step
                key = fold_in_key(training.dropout_keys[m], t)
                _round_weights(layers, own, work.weights16)
                _forward(layers, constants, own, buffers, key, True, batch, work)
                given[e, m, step * batch : (step + 1) * batch] = own_outputs
                if len(data.targets):
                    squared_error_gradient(
                        own_outputs, data.targets, some, data.target_mean[m], data.target_std[m],
                        of_outputs,
                    )  # fmt: skip
                else:
                    smoothing = training.label_smoothing[m]
                    cross_entropy_gradient(own_outputs, data.classes, some, smoothing, of_outputs)
                _backward(layers, constants, own, batch, work)
                update(
                    sizes.optimizer, training.settings[m], own, work.grads, first, second,
                    sizes.n_weights, training.lr[m, t], t + 1,
                )  # fmt: skip
                buffers[N_BATCHES] += 1
                if t < training.shares.shape[1]:
                    share = training.shares[m, t]
                    if share < 1 or step + 1 == end:  # where it is 1, the last step alone counts
                        follow(training.averages[0][m, :n_parameters], own, share)
                        follow(training.averages[1][m], buffers, share)
            if rows.shape[1]:
                evaluate((m, m + 1), evaluated, data, rows, outputs[e])
