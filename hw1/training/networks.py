"""The networks of configurations: how they are built, and what it takes to train them."""

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from hw1.datasets import Dataset
from hw1.training.compiled.backend import is_compilable
from hw1.training.configuration import Configuration
from hw1.training.initialization import initialize
from hw1.training.keys import with_keyed_dropout
from hw1.training.layers import dense_layers, program
from hw1.training.operations import OF_CALL, OF_STEP, count, of_example
from hw1.training.plan import cut

ModelClass = Callable[..., nn.Module]
"""``ModelClass(input_shape, n_outputs, **architecture)`` builds one network."""
Backend = Literal["compiled", "fused", "stacked"]
"""How models are trained: in compiled code, each with all its layers; each by autograd, with
everything between convolutions fused; or as one tensor program over all of them."""


def build(
    model_class: ModelClass, configuration: Configuration, dataset: Dataset, model_seed: int
) -> nn.Module:
    """The plain, initialized network of a configuration; its seed alone decides the weights.

    Raises:
        ArchitectureError: it is invalid for the data set's inputs.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed also asks for seeds of devices that there are not, in milliseconds.
        torch.default_generator.manual_seed(model_seed)
        model = model_class(dataset.input_shape, dataset.n_outputs, **configuration.model)
        initialize(model, configuration.initialization, configuration.input_scale)
    return model


@dataclass(frozen=True)
class Footprint:
    """What it takes to train a configuration.

    Attributes:
        key: what configurations must have in common to be trained in one batch.
        backend: how they are trained.
        layers: the names of the network's layers, if it is a chain of dense ones.
        n_elements: of the largest matrix in a step of one network: its parameters, or what its
            widest layer makes of a batch.
        draws: whether it draws random numbers otherwise than in layers of dropout.
        operations: floating-point operations of an epoch of one network on all training data, a
            measure of its time: what is not a matrix product counts as the products that take as
            long.
    """

    key: Hashable
    backend: Backend
    layers: tuple[str, ...]
    n_elements: int
    draws: bool
    operations: float


def footprint(
    model_class: ModelClass,
    configuration: Configuration,
    dataset: Dataset,
    backend: Backend | None = None,
) -> Footprint:
    """What it takes to train a configuration, by the best backend if none is given.

    Raises:
        ArchitectureError: the network is invalid for the data set's inputs.
    """
    arguments = json.dumps(configuration.model, sort_keys=True)
    network = _inspect(model_class, tuple(dataset.input_shape), dataset.n_outputs, arguments)
    widest = max(
        [dataset.inputs[0].numel(), dataset.n_outputs, *(s[0] for s in network.shapes if s)]
    )
    of_batch = widest * min(configuration.batch_size, len(dataset))
    n_elements = max(sum(shape.numel() for shape in network.shapes), of_batch)
    backend = backend or _best_backend(network, dataset.inputs.device)
    key: Hashable = backend  # those that are trained each by itself have nothing else in common
    if backend == "stacked":
        key = network.program, configuration.batch_size
        if not network.layers:
            # What an unknown network does with its arguments cannot be seen, but for dropout.
            drops = configuration.model.get("dropout", 0) > 0
            others = json.dumps(configuration.model | {"dropout": drops}, sort_keys=True)
            key = others, network.shapes, configuration.batch_size
    steps, batch = cut(len(dataset), configuration.batch_size)
    of_step = OF_STEP if backend == "compiled" else OF_CALL * network.n_calls
    operations = steps * (batch * network.of_example + of_step)
    return Footprint(key, backend, network.layers, n_elements, network.draws, operations)


@dataclass(frozen=True)
class _Network:
    """What is to be known of a network's architecture."""

    layers: tuple[str, ...]
    program: Hashable
    shapes: tuple[torch.Size, ...]
    on_cpu: Backend
    elsewhere: Backend
    draws: bool
    of_example: float
    n_calls: int


@lru_cache(maxsize=4096)
def _inspect(
    model_class: ModelClass, input_shape: tuple[int, ...], n_outputs: int, arguments: str
) -> _Network:
    with torch.random.fork_rng(devices=[]):
        model = with_keyed_dropout(model_class(input_shape, n_outputs, **json.loads(arguments)))
        layers = dense_layers(model, input_shape)
        counted = count(model, layers, input_shape)
    # Recurrent layers and what draws by itself cannot be stacked. On a CPU stacked convolutions,
    # which become grouped ones, lose to one model after another, as does attention, which falls
    # back to a loop over the models; all else gains from sharing its launches.
    alone = counted.draws or any(isinstance(m, nn.RNNBase) for m in model.modules())
    loses = any(isinstance(m, _ConvNd | nn.MultiheadAttention) for m in model.modules())
    elsewhere: Backend = "fused" if alone else "stacked"
    on_cpu: Backend = "compiled" if is_compilable(layers) else "fused" if loses else elsewhere
    return _Network(
        layers=tuple(name for name, _ in layers),
        program=program(layers),
        shapes=tuple(p.shape for p in model.parameters()),
        on_cpu=on_cpu,
        elsewhere=elsewhere,
        draws=counted.draws,
        of_example=of_example(counted.n_weights, counted.units),
        n_calls=counted.n_calls,
    )


def _best_backend(network: _Network, device: torch.device) -> Backend:
    return network.on_cpu if device.type == "cpu" else network.elsewhere
