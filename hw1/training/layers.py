"""The layers that the backends know, and networks that are chains of them."""

from collections.abc import Hashable, Sequence
from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hw1.training.activation_kernels import KINDS
from hw1.training.keys import KeyedDropout
from hw1.training.tracing import is_hooked, trace

Layers = Sequence[tuple[str, nn.Module]]
"""The layers of a network, in order and by name."""


def dense_layers(model: nn.Module, input_shape: Sequence[int]) -> list[tuple[str, nn.Module]]:
    """The layers of a dense network, in order and by name; none of any other.

    A dense network is one chain of linear layers, one-dimensional batch norms with
    their defaults, activations and `KeyedDropout`, behind an ``nn.Flatten`` if a row has more
    than one dimension, and each layer with parameters or randomness stands in one place.
    """
    names = _chain(model)
    layers = [(name, model.get_submodule(name)) for name in names]
    if not layers or any(is_hooked(layer) for layer in model.modules()):
        return []
    kept = [(name, layer) for name, layer in layers if type(layer) not in (nn.Flatten, nn.Identity)]
    flattens = [layer for _, layer in layers if type(layer) is nn.Flatten]
    parameters = [id(p) for _, layer in kept for p in layer.parameters(recurse=False)]
    once = [name for name, layer in kept if not _is_activation(layer)]
    known = (
        kept
        and all(_is_known(layer) for _, layer in kept)
        and len(once) == len(set(once))
        and sorted(parameters) == sorted(id(p) for p in model.parameters())
        and (len(input_shape) == 1 or type(layers[0][1]) is nn.Flatten)
        and all(f.start_dim == 1 and f.end_dim == -1 for f in flattens)
    )
    return kept if known else []


def _chain(model: nn.Module) -> list[str]:
    """The names of a network's layers, each of which takes what the one before gives; else none."""
    # Without a search of all that the network's modules import for functions to wrap: what calls
    # them is no chain of layers.
    graph, other = (trace(model, training=mode, autowrap_modules=()) for mode in (True, False))
    if graph is None or str(graph) != str(other):
        return []
    first, *nodes, last = graph.nodes
    links = all(node.args == (before,) for before, node in pairwise([first, *nodes, last]))
    modules = all(node.op == "call_module" and not node.kwargs for node in nodes)
    return [str(node.target) for node in nodes] if links and modules else []


def program(layers: Layers) -> Hashable:
    """What networks must have in common to be trained as one program: all but their sizes."""
    return tuple((name, type(layer), _settings(layer)) for name, layer in layers)


def _settings(layer: nn.Module) -> Hashable:
    match layer:
        case nn.Linear():
            return layer.bias is None
        case nn.BatchNorm1d():
            return layer.eps, layer.momentum
        case KeyedDropout():
            return None
        case _:  # an activation, with its constants
            return layer.extra_repr()


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.BatchNorm1d:
        return has_defaults(layer)
    return type(layer) in (nn.Linear, KeyedDropout) or _is_activation(layer)


def _is_activation(layer: nn.Module) -> bool:
    # One that works in place could change what the layer before it has yet to use.
    return type(layer) in KINDS and not getattr(layer, "inplace", False)


def has_defaults(norm: _BatchNorm) -> bool:
    """Whether a batch norm has weights and running statistics, as by default."""
    return norm.affine and norm.track_running_stats and norm.momentum is not None
