"""Dense layers by hand: autograd of the plain network, for all models at once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hw1.models import CNN, MLP, ResNet
from hw1.models.activations import ACTIVATIONS, activation_layer
from hw1.training.keys import KeyedDropout, dropout_factors, keys, with_keyed_dropout
from hw1.training.layers import dense_layers, program
from hw1.training.stacked.dense import Dense

PRECISION = torch.float64


def chain(*layers: nn.Module) -> nn.Module:
    return with_keyed_dropout(nn.Sequential(*layers))


@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)], ids=["features", "images"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_mlp_is_found_with_its_layers_in_order(
    activation: str, batch_norm: bool, dropout: float, shape: Sequence[int]
) -> None:
    model = with_keyed_dropout(
        MLP(shape, 2, widths=(5, 4), activation=activation, batch_norm=batch_norm, dropout=dropout)
    )
    expected = [(f"layers.{name}", layer) for name, layer in model.layers.named_children()]
    assert dense_layers(model, shape) == expected[1:]  # all but the nn.Flatten


def test_other_chains_are_found_too() -> None:
    linear_model = MLP((3,), 2, widths=())
    assert [name for name, _ in dense_layers(linear_model, (3,))] == ["layers.1"]
    nested = chain(nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.ReLU()), nn.Linear(4, 2))
    assert [name for name, _ in dense_layers(nested, (3,))] == ["0.0", "0.2", "1"]
    # An activation holds nothing, so one may serve in several places.
    tanh = nn.Tanh()
    shared = chain(nn.Linear(3, 4), tanh, nn.Linear(4, 4), tanh, nn.Linear(4, 2))
    assert [type(layer) for _, layer in dense_layers(shared, (3,))] == [
        nn.Linear,
        nn.Tanh,
        nn.Linear,
        nn.Tanh,
        nn.Linear,
    ]


class Own(nn.Module):
    """Linear, linear, head; what happens between them is another way if one is given."""

    def __init__(
        self,
        way: Callable[[Any, Tensor], Any] | None = None,
        change: Callable[[Any], object] = lambda own: None,
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.activation, self.dropout = nn.Tanh(), nn.Dropout(0.2)
        self.head = nn.Linear(3, 2)
        self.way = way or Own.plain
        change(self)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.way(self, inputs)

    def plain(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.second(self.activation(self.first(inputs))))
        return self.head(self.dropout(hidden))


def dropout_twice(own: Own, inputs: Tensor) -> Tensor:
    hidden = own.dropout(own.activation(own.first(inputs)))
    return own.head(own.dropout(own.activation(own.second(hidden))))


WAYS: dict[str, Callable[[Any, Tensor], Any]] = {
    "functional": lambda own, x: own.head(torch.tanh(own.second(own.first(x)))),
    "scaled": lambda own, x: 2 * own.plain(x),
    "residual": lambda own, x: own.head(own.second(own.activation(own.first(x))) + x),
    "layer twice": lambda own, x: own.head(own.second(own.first(own.first(x)))),
    "dropout twice": dropout_twice,
    "unused layer": lambda own, x: own.head(own.activation(own.first(x))),
    "depends on data": lambda own, x: own.plain(x if x.sum() > 0 else -x),
    "depends on mode": lambda own, x: own.plain(x) if own.training else own.plain(x).clamp(min=0),
    "two outputs": lambda own, x: (own.plain(x), x),
}
CHANGES: dict[str, Callable[[Any], object]] = {
    "tied": lambda own: setattr(own.second, "weight", own.first.weight),
    "unused parameter": lambda own: setattr(own, "scale", nn.Parameter(torch.ones(3))),
    "hooked": lambda own: own.first.register_forward_hook(lambda layer, inputs, y: 2 * y),
    # The layer's weight is made, by a hook, of parameters with other names.
    "spectral norm": lambda own: nn.utils.spectral_norm(own.first),
    "parametrized": lambda own: nn.utils.parametrizations.weight_norm(own.first),
}


class OwnLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


BEHIND_A_LINEAR: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: nn.LayerNorm(4),
    "softmax": lambda: nn.Softmax(1),
    "own linear": lambda: OwnLinear(4, 2),
    "in place": lambda: nn.ReLU(inplace=True),
    "alpha dropout": nn.AlphaDropout,
    "without affine": lambda: nn.BatchNorm1d(4, affine=False),
    "without statistics": lambda: nn.BatchNorm1d(4, track_running_stats=False),
    "cumulative statistics": lambda: nn.BatchNorm1d(4, momentum=None),
}
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolution": (lambda: CNN((1, 8, 8), 2, channels=(2,)), (1, 8, 8)),
    "residual blocks": (lambda: ResNet((1, 8, 8), 2, width=2, stages=1), (1, 8, 8)),
    "no flatten": (lambda: nn.Sequential(nn.Linear(4, 2)), (4, 4)),
    "flatten in part": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(4, 2)), (1, 2, 2)),
    "nothing to learn": (lambda: nn.Sequential(nn.Flatten()), (3,)),
    **{
        name: (lambda make=make: nn.Sequential(nn.Linear(3, 4), make()), (3,))
        for name, make in BEHIND_A_LINEAR.items()
    },
    **{name: (partial(Own, way), (3,)) for name, way in WAYS.items()},
    **{name: (partial(Own, change=change), (3,)) for name, change in CHANGES.items()},
    "used parameter": (
        lambda: Own(lambda own, x: own.plain(x * own.scale), CHANGES["unused parameter"]),
        (3,),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_not_taken_for_dense(name: str) -> None:
    make, shape = OTHERS[name]
    assert dense_layers(with_keyed_dropout(make()), shape) == []


def test_plain_code_of_ones_own_is_found() -> None:
    names = ["first", "activation", "second", "activation", "dropout", "head"]
    model = with_keyed_dropout(Own())
    assert [name for name, _ in dense_layers(model, (3,))] == names
    # Without its keys dropout follows no seed.
    assert dense_layers(Own(), (3,)) == []


def test_a_program_is_all_but_the_sizes() -> None:
    def of(**model: object) -> object:
        network = with_keyed_dropout(MLP((3,), 2, **model))
        return program(dense_layers(network, (3,)))

    base = of(widths=(4, 5), dropout=0.1)
    assert of(widths=(9, 1), dropout=0.6) == base
    assert of(widths=(4,), dropout=0.1) != base
    assert of(widths=(4, 5)) != base
    assert of(widths=(4, 5), dropout=0.1, activation="tanh") != base
    assert of(widths=(4, 5), dropout=0.1, batch_norm=True) != base
    for one, other in [
        (nn.LeakyReLU(0.01), nn.LeakyReLU(0.2)),
        (nn.ELU(1.0), nn.ELU(0.5)),
        (nn.GELU("none"), nn.GELU("tanh")),
        (nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=0.3)),
        (nn.BatchNorm1d(4), nn.BatchNorm1d(4, eps=1e-3)),
        (nn.Linear(4, 4), nn.Linear(4, 4, bias=False)),
    ]:
        programs = [program(dense_layers(chain(nn.Linear(3, 4), m), (3,))) for m in (one, other)]
        assert programs[0] != programs[1]


def check(make: Callable[[], nn.Module], n_features: int, batch: int, n_models: int) -> None:
    """Train some networks by hand and, each on its own, by autograd; compare all there is."""
    networks = [with_keyed_dropout(make()).train() for _ in range(n_models)]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d):  # not as they begin, with ones and zeros
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
            elif isinstance(layer, KeyedDropout):
                layer.p.fill_(float(torch.rand(())) * 0.8)
                layer.key = keys([int(torch.randint(2**31, ()))])[0]

    def stack(kind: str) -> dict[str, Tensor]:
        states = [dict(getattr(network, f"named_{kind}")()) for network in networks]
        return {name: torch.stack([s[name].detach() for s in states]) for name in states[0]}

    parameters, buffers = stack("parameters"), stack("buffers")
    grads = {name: torch.full_like(value, torch.nan) for name, value in parameters.items()}
    layers = dense_layers(networks[0], (n_features,))
    assert layers
    dense = Dense(layers, parameters, grads, buffers)
    width, factors = n_features, []
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            width = layer.out_features
        elif isinstance(layer, KeyedDropout):
            key, p = buffers[f"{name}.key"], buffers[f"{name}.p"]
            factors.append(dropout_factors(key, p, (batch, width)))

    for _ in range(2):  # the second time with other running statistics, over old gradients
        inputs = torch.randn(n_models, batch, n_features)
        with torch.no_grad():
            given = inputs.clone()
            outputs = dense.forward(given, factors)
            of_outputs = torch.randn_like(outputs)
            dense.backward(of_outputs.clone())
            assert torch.equal(given, inputs)
        for i, network in enumerate(networks):
            for module in network.modules():
                if isinstance(module, KeyedDropout):
                    module.calls = 0
            network.zero_grad()
            plain = network(inputs[i])
            plain.backward(of_outputs[i])
            close(outputs[i], plain.detach())
            for name, parameter in network.named_parameters():
                close(grads[name][i], parameter.grad, name)
            for name, buffer in network.named_buffers():
                close(buffers[name][i], buffer, name)
    inputs = torch.randn(n_models, batch + 3, n_features)
    with torch.no_grad():
        evaluated = dense.evaluate(inputs)
        for i, network in enumerate(networks):
            close(evaluated[i], network.eval()(inputs[i]))
            for name, buffer in network.named_buffers():
                close(buffers[name][i], buffer, name)


def close(actual: Tensor, expected: Tensor | None, name: str | None = None) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=5, deadline=None)
@given(
    n_features=st.integers(1, 5),
    widths=st.lists(st.integers(1, 9), max_size=3),
    batch=st.integers(2, 12),
    n_models=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_layers_may_stand_in_any_order(
    activation: str, n_features: int, widths: list[int], batch: int, n_models: int, seed: int
) -> None:
    torch.manual_seed(seed)

    def make() -> nn.Module:
        layers: list[nn.Module] = [nn.BatchNorm1d(n_features), nn.Dropout(0.2)]
        n_inputs = n_features
        for width in widths:
            layers += [
                nn.Linear(n_inputs, width),
                activation_layer(activation),
                nn.BatchNorm1d(width, eps=1e-3, momentum=0.3),
                nn.Dropout(0.5),
                activation_layer(activation),
                nn.Sigmoid(),  # after another, at whose output its own derivative is not
                nn.Dropout(0.1),
                nn.Linear(width, width, bias=False),
            ]
            n_inputs = width
        return nn.Sequential(*layers, nn.Linear(n_inputs, 2), activation_layer(activation))

    check(make, n_features, batch, n_models)


@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.3), nn.ELU(0.4), nn.GELU("tanh")])
def test_the_constants_of_a_layer_are_its_own(layer: nn.Module) -> None:
    torch.manual_seed(0)
    check(lambda: nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 1)), 3, 7, 1)
