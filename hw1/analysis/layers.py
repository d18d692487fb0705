"""The layers of a network that are worth looking at, and what they put out.

A layer has the name of its module in ``model.named_modules()``. Where a module is called again,
the later calls are ``"name:2"``, ``"name:3"``. An activation that is called as a function, such
as ``torch.relu``, has the name of the module that calls it before its own: ``"block.relu()"``.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hw1.errors import InputError, choose
from hw1.models.resnet import ResidualBlock

NO_ACTIVATIONS = {"MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax"}
ACTIVATIONS = {n.lower() for n in torch.nn.modules.activation.__all__ if n not in NO_ACTIVATIONS}
"""Torch's activation layers, each of which calls the function of its name."""
SHORTCUTS = frozenset({"shortcut", "downsample", "skip"})
"""What modules beside the main path of a network are called."""
CHUNK = 256
"""Examples per batch."""


class Call(NamedTuple):
    """One call of a module or of an activation function.

    Attributes:
        name: as described at the top of this file.
        module: the module; None for a function.
        is_activation: whether it is an activation function or a module that only wraps one.
        within: the modules that are running.
        output: what was returned.
    """

    name: str
    module: nn.Module | None
    is_activation: bool
    within: tuple[nn.Module, ...]
    output: Any


def function_name(function: Callable[..., Any]) -> str:
    """What a function of torch is called, without underscores: ``leakyrelu`` in place or not."""
    return getattr(function, "__name__", "").replace("_", "")


def is_weight_layer(module: nn.Module | None) -> bool:
    """Whether a module is a linear, convolutional or recurrent layer."""
    return isinstance(module, nn.Linear | nn.modules.conv._ConvNd | nn.RNNBase)


def weights_of(model: nn.Module, layer: str) -> Tensor:
    """The weights of a layer, without biases: a tensor, or those of a recurrent layer in a row.

    Float64 on the CPU.

    Raises:
        InputError: the layer has none.
    """
    module = model.get_submodule(layer)
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.RNNBase):
        weight = torch.cat([p.flatten() for p in module.parameters() if p.dim() > 1])
    if not isinstance(weight, Tensor):
        raise InputError(f"layer {layer!r} has no weight: choose one of `weight_layers`")
    return weight.detach().cpu().double()


class _Observer(TorchFunctionMode):
    """Tells of each call when it ends; hooks alone would not see functions."""

    def __init__(self, model: nn.Module, tell: Callable[[Call], None]) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self.tell = tell
        self.counts: Counter[str] = Counter()
        self.running: list[nn.Module] = []
        self.wrappers: set[nn.Module] = set()

    def begin(self, module: nn.Module, inputs: Any) -> None:
        self.running.append(module)

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.running.pop()
        self.report(self.names[module], module, module in self.wrappers, output)
        self.wrappers.discard(module)

    def report(self, name: str, module: nn.Module | None, activates: bool, output: Any) -> None:
        self.counts[name] += 1
        if self.counts[name] > 1:
            name = f"{name}:{self.counts[name]}"
        self.tell(Call(name, module, activates, tuple(self.running), output))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if function_name(func) in ACTIVATIONS and self.running:
            module = self.running[-1]
            has_children = any(True for _ in module.children())
            if len(self.running) > 1 and not has_children and not is_weight_layer(module):
                # Not the function alone: the module may do more, as x * sigmoid(x) does.
                self.wrappers.add(module)
            else:
                prefix = f"{self.names[module]}." if self.names[module] else ""
                self.report(f"{prefix}{func.__name__.strip('_')}()", None, True, output)
        return output


@contextmanager
def _observing(model: nn.Module, tell: Callable[[Call], None]) -> Iterator[None]:
    observer = _Observer(model, tell)
    handles = [module.register_forward_pre_hook(observer.begin) for module in observer.names]
    handles += [module.register_forward_hook(observer.end) for module in observer.names]
    try:
        with observer:
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while.

    After that each of its modules has its own mode again, and torch's global generator on the
    CPU its state, whatever the network drew from it.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _calls(model: nn.Module, inputs: Tensor) -> list[Call]:
    """All calls in the order in which they end, that of the network the last."""
    calls: list[Call] = []
    # Two rows: some networks drop a dimension of size one.
    with torch.no_grad(), evaluating(model), _observing(model, calls.append):
        model(inputs[:2])
    return calls


def _is_shortcut(name: str) -> bool:
    return not SHORTCUTS.isdisjoint(name.split("."))


def _weight_titles(model: nn.Module, calls: Sequence[Call]) -> dict[str, str]:
    layers = {name: module for name, module in model.named_modules() if is_weight_layer(module)}
    used = [call.name for call in calls if call.name in layers]
    titles: dict[str, str] = {}
    counts: Counter[bool] = Counter()
    # Layers whose weights are used without a call, as attention does, come last.
    for name in dict.fromkeys([*used, *layers]):
        kind = "linear" if isinstance(layers[name], nn.Linear) else "conv"
        if isinstance(layers[name], nn.RNNBase):
            kind = type(layers[name]).__name__
        beside = _is_shortcut(name)
        counts[beside] += 1
        titles[name] = f"{'shortcut' if beside else kind} {counts[beside]}"
    return titles


def weight_layers(model: nn.Module, inputs: Tensor) -> dict[str, str]:
    """The linear, convolutional and recurrent layers of a network, in the order of first use.

    Args:
        inputs: ``(n_rows, *input_shape)``, of which two rows are used.

    Returns:
        Titles by name, such as ``{"features.0": "conv 1", "head.1": "linear 2"}``. One count
        runs through all layers of the main path, a second one through the shortcuts beside it
        (``"shortcut 1"``). The module is ``model.get_submodule(name)``.
    """
    return _weight_titles(model, _calls(model, inputs))


def hidden_layers(model: nn.Module, inputs: Tensor) -> dict[str, str]:
    """The layers whose outputs are a network's hidden representations.

    These are the activations that follow a linear or convolutional layer, whether they are
    modules or functions; of hw1's residual blocks the outputs alone. An activation that is the
    network's output is not hidden.

    Args:
        inputs: ``(n_rows, *input_shape)``, of which two rows are used.

    Returns:
        Titles by name, in the order of use: those of the layers that the activations follow (see
        `weight_layers`), or ``"block 1"``.
    """
    calls = _calls(model, inputs)
    weights = _weight_titles(model, calls)
    titles: dict[str, str] = {}
    n_blocks = 0
    follows: str | None = None  # the weight layer since the last activation
    for call in calls:
        name = call.name.partition(":")[0]  # a layer may be called again
        in_block = any(isinstance(module, ResidualBlock) for module in call.within)
        if name in weights and not _is_shortcut(name):
            follows = weights[name]
        elif isinstance(call.module, ResidualBlock) and not in_block:
            n_blocks += 1
            titles[call.name] = f"block {n_blocks}"
            follows = None
        elif call.is_activation and follows is not None and not in_block:
            if not _same_memory(call.output, calls[-1].output):
                uses = 1 + sum(title.split(",")[0] == follows for title in titles.values())
                titles[call.name] = follows if uses == 1 else f"{follows}, use {uses}"
            follows = None
    return titles


def _same_memory(a: Any, b: Any) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.data_ptr() == b.data_ptr()


def layer_outputs(model: nn.Module, inputs: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
    """What layers put out, still part of autograd's graph.

    Args:
        model: any network; it is run in evaluation mode.
        inputs: ``(n_rows, *input_shape)``, all computed at once.
        layers: names as above.

    Returns:
        Outputs ``(n_rows, ...)`` by name, in the order of ``layers``.

    Raises:
        InputError: there is no such layer, or it puts out something else than one tensor.
    """
    found: dict[str, Any] = {}
    seen: list[str] = []

    def keep(call: Call) -> None:
        seen.append(call.name)
        if call.name in layers:
            # A copy: what comes next may work in place.
            is_tensor = isinstance(call.output, Tensor)
            found[call.name] = call.output.clone() if is_tensor else None

    with evaluating(model), _observing(model, keep):
        model(inputs)
    for name in layers:
        if found.get(choose("layer", name, seen)) is None:
            raise InputError(
                f"layer {name!r} puts out no single tensor: choose a layer within or after it"
            )
    return {name: found[name] for name in layers}


def activations_in_chunks(
    model: nn.Module, inputs: Tensor, layers: Collection[str]
) -> Iterator[dict[str, Tensor]]:
    """Yield what `layer_outputs` gives for `CHUNK` examples at a time, without a graph."""
    for chunk in inputs.split(CHUNK):
        with torch.no_grad():
            outputs = layer_outputs(model, chunk, layers)
        yield outputs


def activations(
    model: nn.Module,
    inputs: Tensor,
    layers: Collection[str],
    reduce: Callable[[Tensor], Tensor] = Tensor.cpu,
) -> dict[str, Tensor]:
    """What layers put out for all examples, computed `CHUNK` examples at a time.

    Args:
        model: any network; it is run in evaluation mode.
        inputs: ``(n_rows, *input_shape)``.
        layers: names as above.
        reduce: what is kept of the outputs for a chunk of examples.

    Returns:
        ``(n_rows, n_units)`` or ``(n_rows, channels, height, width)`` by name, on the CPU, or what
        ``reduce`` makes of it.

    Raises:
        InputError: as `layer_outputs`.
    """
    chunks = [
        {name: reduce(output) for name, output in outputs.items()}
        for outputs in activations_in_chunks(model, inputs, layers)
    ]
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in layers}
