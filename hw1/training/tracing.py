"""Networks as graphs of their layers."""

from typing import Any

from torch import fx, nn

from hw1.training.keys import KeyedDropout


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, KeyedDropout) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module, *, training: bool, **options: Any) -> fx.Graph | None:
    """The graph of a network; None if it cannot be traced.

    Args:
        model: the network, whose dropout is keyed.
        training: the mode in which it is traced; in the other one it may be another network.
        options: of ``torch.fx.Tracer``.
    """
    before = model.training
    try:
        return _Tracer(**options).trace(model.train(training))
    except Exception:  # the network's own code, run on proxies, may raise anything
        return None
    finally:
        model.train(before)


def is_hooked(module: nn.Module) -> bool:
    """Whether something else runs when the module is called; spectral norm is a hook, too."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
