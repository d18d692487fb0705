"""Convolutional networks whose work between convolutions is done in few passes over memory.

A processor with matrix instructions takes less time for a convolution than for the batch norm,
activation, pooling and dropout behind it, each of which reads and writes all that the convolution
has made. Such chains of layers are found by tracing the network, and each becomes one operation of
compiled code.
"""

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from hw1.training.activation_kernels import is_known
from hw1.training.fused.block import Block, pool_kind
from hw1.training.fused.block_kernels import MAX, NONE
from hw1.training.keys import KeyedDropout
from hw1.training.layers import has_defaults
from hw1.training.tracing import is_hooked, trace


def fuse(model: nn.Module, *, training: bool = True) -> nn.Module:
    """The network in one mode with chains of its layers replaced, or ``model`` if it has none.

    A chain is: batch norm, an addition, activation, pooling by 2, dropout, each of which may be
    missing. The new network shares all layers with ``model``, by the same names. Networks with
    hooks or parametrizations stay as they are, as do those that cannot be traced.
    """
    graph = None if any(map(_is_special, model.modules())) else trace(model, training=training)
    # A tensor that the network makes by itself, maybe at random, would be made once and for all.
    if graph is None or any("_tensor_constant" in str(node.target) for node in graph.nodes):
        return model
    network = fx.GraphModule(model, graph)
    # All that the network has, also what the graph does not name.
    network._modules.update(model._modules)
    network._parameters.update(model._parameters)
    network._buffers.update(model._buffers)
    n_blocks = 0
    for node in list(graph.nodes):
        chain = _chain(network, node)
        if chain is not None:
            block = Block(**chain.layers)
            network.add_module(f"_fused_{n_blocks}", block)
            _replace(graph, chain, block, f"_fused_{n_blocks}")
            n_blocks += 1
    network.recompile()
    return network if n_blocks else model


def _is_special(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module) or is_hooked(module)


@dataclass
class _Chain:
    """Nodes of a graph that become one, and what goes in."""

    nodes: list[fx.Node] = field(default_factory=list)
    inputs: list[fx.Node] = field(default_factory=list)
    layers: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, layer: nn.Module, node: fx.Node) -> fx.Node | None:
        self.layers[part] = layer
        self.nodes.append(node)
        return _only_user(node)


def _chain(network: nn.Module, start: fx.Node) -> _Chain | None:
    """The chain that begins at ``start``, if one does."""
    layer, chain = _layer(network, start), _Chain()
    if layer is None or not start.users:  # what an earlier chain holds has none any more
        return None
    before = start.all_input_nodes[0]
    chain.inputs.append(before)
    node: fx.Node | None = start
    if _is_norm(layer):
        node = chain.add("norm", layer, start)
        added = _other_term(node, start) if node is not None else None
        if node is not None and added is not None:
            norm = _layer(network, added)
            if norm is not None and _is_norm(norm) and _only_user(added) is node:
                chain.add("other_norm", norm, added)
                added = added.all_input_nodes[0]
            chain.inputs.append(added)
            chain.nodes.append(node)
            node = _only_user(node)
    elif not pool_kind(layer) and not isinstance(_layer(network, before), nn.Conv2d):
        return None
    elif getattr(layer, "inplace", False) and _only_user(before) is not start:
        return None  # nor may an activation
    for part in ("activation", "pool", "dropout"):
        layer = _layer(network, node) if node is not None else None
        if node is not None and layer is not None and _fits(part, layer, chain):
            node = chain.add(part, layer, node)
    return chain if chain.nodes else None


def _fits(part: str, layer: nn.Module, chain: _Chain) -> bool:
    if part == "activation":
        return is_known(layer)
    if part == "dropout":
        return isinstance(layer, KeyedDropout)
    if pool_kind(layer) == MAX:
        # The greatest is chosen among what goes into the chain.
        return len(chain.inputs) == 1 and _is_monotone(chain.layers.get("activation"))
    return pool_kind(layer) != NONE


def _is_monotone(activation: nn.Module | None) -> bool:
    slopes = (getattr(activation, name, 0) for name in ("negative_slope", "alpha"))
    return not isinstance(activation, nn.GELU | nn.SiLU) and min(slopes) >= 0


def _layer(network: nn.Module, node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, with one argument."""
    one = len(node.args) == len(node.all_input_nodes) == 1 and not node.kwargs
    return network.get_submodule(str(node.target)) if node.op == "call_module" and one else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _other_term(node: fx.Node, term: fx.Node) -> fx.Node | None:
    """What ``node`` adds to ``term``, if it does."""
    adds = node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add)
    if not adds or len(node.args) != 2 or node.kwargs:
        return None
    if node.target is operator.iadd and node.args[0] is not term:
        return None  # it changes what others may use
    others = [arg for arg in node.args if arg is not term]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _is_norm(layer: nn.Module) -> bool:
    return type(layer) is nn.BatchNorm2d and has_defaults(layer)


def _replace(graph: fx.Graph, chain: _Chain, block: Block, name: str) -> None:
    """Put a call of ``block``, which has this name in the network, in a chain's place."""
    last = chain.nodes[-1]
    users = list(last.users)
    with graph.inserting_after(last):
        new = graph.call_module(name, tuple(chain.inputs))
    block.twice = len(users) == 2 and all(u.all_input_nodes.count(last) == 1 for u in users)
    if block.twice:
        for i, user in enumerate(users):
            with graph.inserting_after(new):
                user.replace_input_with(last, graph.call_function(operator.getitem, (new, i)))
    else:
        last.replace_all_uses_with(new)
    for node in reversed(chain.nodes):
        graph.erase_node(node)
