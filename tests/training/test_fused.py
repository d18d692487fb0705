"""Fused networks: the plain network's outputs, gradients and statistics."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from hw1.models import CNN, ResNet
from hw1.models.activations import ACTIVATIONS, activation_layer
from hw1.training.fused.chains import fuse
from hw1.training.keys import KeyedDropout, keys, with_keyed_dropout

BOUNDS = {torch.float64: 1e-8, torch.float32: 2e-4}


PRECISION = torch.float64


def prepared(model: nn.Module) -> nn.Module:
    """With dropout's keys drawn, and batch norms that do something."""
    model = with_keyed_dropout(model)
    for i, module in enumerate(model.modules()):
        if isinstance(module, KeyedDropout):
            module.key.copy_(keys([i + 1000])[0])
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def results(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    inputs = inputs.clone().requires_grad_()
    outputs = model(inputs)
    generator = torch.Generator().manual_seed(1)
    of_outputs = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    outputs.backward(of_outputs.to(outputs))
    grads = {f"{n}'": p.grad for n, p in model.named_parameters() if p.grad is not None}
    found = {"outputs": outputs.detach(), "inputs'": inputs.grad}
    return found | grads | dict(model.named_buffers())


def assert_equals_plain(model: nn.Module, inputs: Tensor, n_blocks: int | None = None) -> None:
    """Also after a second step, and in evaluation."""
    for dtype, bound in BOUNDS.items():
        plain = prepared(copy.deepcopy(model)).to(dtype)
        ours = copy.deepcopy(plain)
        in_mode = {training: fuse(ours, training=training) for training in (True, False)}
        blocks = [name for name, _ in in_mode[True].named_children() if name.startswith("_fused")]
        assert blocks if n_blocks is None else len(blocks) == n_blocks
        for training in (True, True, False):
            network = in_mode[training]
            plain.train(training), network.train(training)
            for module in (*plain.modules(), *network.modules()):
                if isinstance(module, KeyedDropout):
                    module.calls = 0
            expected = results(plain, inputs.to(dtype))
            found = results(network, inputs.to(dtype))
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                scale = float(value.abs().max()) if value.numel() else 0.0
                torch.testing.assert_close(
                    found[name], value, rtol=bound, atol=bound * max(scale, 1e-3), msg=name
                )
            plain.zero_grad(), network.zero_grad()


def images(n: int = 5, channels: int = 1, height: int = 10, width: int = 10) -> Tensor:
    return torch.randn(n, channels, height, width)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_convolutional_networks(activation: str, pooling: str, batch_norm: bool) -> None:
    model = CNN(
        (1, 10, 10),
        3,
        channels=(3, 16),
        convolutions=2,
        pooling=pooling,
        batch_norm=batch_norm,
        hidden=4,
        activation=activation,
        dropout=0.3,
    )
    assert_equals_plain(model, images())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_residual_networks(activation: str, dropout: float) -> None:
    model = ResNet(
        (3, 9, 9), 2, width=4, stages=2, blocks=2, activation=activation, dropout=dropout
    )
    # The stem, and in each block one between the convolutions and one behind.
    assert_equals_plain(model, images(channels=3, height=9, width=9), 1 + 4 * 2)


class Mirrored(CNN):
    """Another network in evaluation."""

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = super().forward(inputs)
        return outputs if self.training else outputs + super().forward(inputs.flip(-1))


def test_networks_that_are_others_in_evaluation() -> None:
    model = Mirrored((1, 8, 8), 3, channels=(3, 4), dropout=0.2)
    assert_equals_plain(model, images(height=8, width=8))
    networks = [fuse(with_keyed_dropout(model), training=training) for training in (True, False)]
    blocks = [str(network.graph).count("target=_fused_") for network in networks]
    assert blocks[1] == 2 * blocks[0] > 0


@pytest.mark.parametrize("n", [2, 7])
@pytest.mark.parametrize("channels", [1, 3, 16, 33])
@pytest.mark.parametrize("shape", [(7, 7), (8, 5), (2, 2), (30, 41)])
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d, None])
def test_sizes(pool: type[nn.Module] | None, shape: tuple[int, int], channels: int, n: int) -> None:
    layers = [nn.BatchNorm2d(channels), nn.ReLU(), pool(2) if pool else nn.Identity()]
    convolution = nn.Conv2d(2, channels, 3, padding=1, bias=False)
    model = nn.Sequential(convolution, *layers, nn.Dropout(0.4))
    assert_equals_plain(model, images(n, 2, *shape), 1)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(7, 7), (6, 6)])
def test_dropout_draws_what_the_plain_layer_draws(shape: tuple[int, int], p: float) -> None:
    model = prepared(nn.Sequential(nn.Conv2d(1, 5, 1), nn.Sigmoid(), nn.Dropout(p)))
    network, inputs = fuse(copy.deepcopy(model)), images(3, 1, *shape)
    assert torch.equal(network(inputs) == 0, model(inputs) == 0)
    # A second call in the same step draws other numbers, the plain layer's again.
    assert torch.equal(network(inputs) == 0, model(inputs) == 0)


class Own(nn.Module):
    """Layers in several places, and sums of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        # A bias before batch norm has a gradient of zero, of which only the rounding is seen.
        self.first = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm, self.other_norm = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.activation, self.dropout, self.pool = nn.ReLU(), nn.Dropout(0.3), nn.MaxPool2d(2)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.norm(self.first(inputs))))
        hidden = self.dropout(self.activation(self.norm(self.second(hidden)) + hidden))
        hidden = self.activation(hidden + self.other_norm(self.second(hidden)))
        return self.pool(hidden) * self.pool(self.activation(self.second(hidden)))


class AddsItself(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.first(inputs))
        return self.activation(hidden + hidden)


class Broadcasts(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.first(inputs))
        return self.activation(hidden + self.first(inputs).mean((2, 3), keepdim=True))


class UsedThrice(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.norm(self.first(inputs)))
        return hidden * self.second(hidden) + torch.tanh(hidden)


class OneOfTwoUsed(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.norm(self.first(inputs)))
        return self.second(hidden) * hidden.detach()


class UnusedLayer(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.activation(self.norm(self.first(inputs)))


class InPlace(Own):
    """Changes what is used elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifier = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, total = self.first(inputs), self.second(self.first(inputs))
        total += self.norm(self.first(inputs))
        return self.other_norm(total) + self.rectifier(hidden) + hidden + total


class OtherActivations(Own):
    """Of these, not the greatest element is the one that max pooling chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.leaky, self.elu = nn.LeakyReLU(-0.5), nn.ELU(-1.0)
        self.gelu = nn.GELU(approximate="tanh")

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.pool(self.leaky(self.norm(self.first(inputs))))
        hidden = self.pool(self.elu(self.other_norm(self.second(hidden))))
        return self.gelu(self.second(hidden))


class DependsOnMode(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs if self.training else -inputs)


@pytest.mark.parametrize(
    "family",
    [
        *(InPlace, OtherActivations, UnusedLayer, Own, AddsItself, Broadcasts, UsedThrice),
        *(OneOfTwoUsed, DependsOnMode),
    ],
)
def test_custom_model_classes(family: type[Own]) -> None:
    assert_equals_plain(family(), images())


class ControlFlow(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs if inputs.sum() > 0 else -inputs)


class DrawsNoise(Own):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + torch.randn(6, 5, 5)


def hooked() -> nn.Module:
    model = Own()
    model.norm.register_forward_hook(lambda *_: None)
    return model


def parametrized() -> nn.Module:
    model = Own()
    nn.utils.parametrizations.weight_norm(model.first)
    return model


@pytest.mark.parametrize(
    "make",
    [
        ControlFlow,
        DrawsNoise,
        hooked,
        parametrized,
        lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Softmax(1)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, affine=False)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, momentum=None)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(3, 2)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2, ceil_mode=True)),
    ],
)
def test_other_networks_stay_as_they_are(make: type[nn.Module]) -> None:
    model = with_keyed_dropout(make())
    assert fuse(model) is model


def test_names_and_layers_are_the_networks_own() -> None:
    model = prepared(ResNet((1, 8, 8), 2, width=4, stages=2, dropout=0.1))
    network = fuse(model)
    for named in ("named_parameters", "named_buffers"):
        expected, found = dict(getattr(model, named)()), dict(getattr(network, named)())
        assert found.keys() == expected.keys()
        assert all(found[name] is tensor for name, tensor in expected.items())


def test_a_copy_is_independent() -> None:
    network = fuse(prepared(CNN((1, 8, 8), 2, channels=(3,), dropout=0.2)))
    other, inputs = copy.deepcopy(network), images(height=8, width=8)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    expected = other(inputs)
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name])
    torch.testing.assert_close(network(inputs), expected)


def test_copies_train_on_threads() -> None:
    networks = [fuse(prepared(ResNet((1, 16, 16), 2, width=8, dropout=0.2))) for _ in range(2)]
    inputs = images(32, height=16, width=16)
    alone = [results(copy.deepcopy(network), inputs) for network in networks]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda network: results(network, inputs), networks))
    for expected, found in zip(alone, together, strict=True):
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_maxima_of_equal_elements_pass_the_gradient_to_the_first() -> None:
    for scale in (1.0, -1.0, 0.0):
        model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Tanh(), nn.MaxPool2d(2))
        model.eval()
        nn.init.ones_(model[0].weight)
        nn.init.constant_(model[1].weight, scale)
        found = results(fuse(copy.deepcopy(model)), torch.ones(1, 1, 4, 4))
        for name, value in results(model, torch.ones(1, 1, 4, 4)).items():
            torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d, nn.Identity])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_what_is_not_finite_stays_so(
    dtype: torch.dtype, pool: type[nn.Module], activation: str, value: float
) -> None:
    layers = nn.Conv2d(1, 3, 1), activation_layer(activation), pool(2)
    model = nn.Sequential(*layers).to(dtype)
    nn.init.ones_(model[0].weight)
    inputs = images(2, 1, 4, 4).to(dtype)
    inputs[0, 0, 1, 1] = value
    expected, found = model(inputs), fuse(model)(inputs)
    assert torch.equal(found.isfinite(), expected.isfinite())
    norm = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), pool(2)).to(dtype)
    assert not torch.isfinite(fuse(norm)(inputs).float()).any()


@pytest.mark.parametrize("family", [CNN, ResNet])
def test_bfloat16_is_as_near_to_double_precision_as_the_plain_network(
    family: type[nn.Module],
) -> None:
    model = prepared(family((1, 28, 28), 10, dropout=0.2))
    inputs = images(64, height=28, width=28)
    exact = results(copy.deepcopy(model), inputs)
    distances = []
    for make in (copy.deepcopy, lambda m: fuse(copy.deepcopy(m))):
        with torch.autocast("cpu", torch.bfloat16):
            found = results(make(model).float(), inputs.float())
        distances.append(
            {
                name: (value.double() - exact[name]).norm() / exact[name].norm()
                for name, value in found.items()
                if value.is_floating_point() and exact[name].norm() > 1e-3
            }
        )
    plain, ours = distances
    for name, distance in ours.items():
        assert distance <= 1.5 * plain[name] + 2e-3, (name, distance, plain[name])
