"""Networks as graphs of their layers."""

from typing import Any

from torch import fx, nn

from hw1.training.keys import KeyedDropout


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, KeyedDropout) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module, **options: Any) -> fx.Graph | None:
    """The graph of a network; None if it cannot be traced or is another one in evaluation.

    Args:
        model: the network, whose dropout is keyed.
        options: of ``torch.fx.Tracer``.
    """
    before = model.training
    try:
        graphs = [_Tracer(**options).trace(model.train(training)) for training in (True, False)]
    except Exception:  # the network's own code, run on proxies, may raise anything
        return None
    finally:
        model.train(before)
    return graphs[0] if str(graphs[0]) == str(graphs[1]) else None


def is_hooked(module: nn.Module) -> bool:
    """Whether something else runs when the module is called; spectral norm is a hook, too."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
