import copy
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hw1.errors import InputError
from hw1.models import CNN, MLP, ResNet
from hw1.training.initialization import INITIALIZATIONS, initialize

DRAWS: dict[str, Callable[[Tensor], object]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, a=0),
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, a=0),
    "orthogonal": nn.init.orthogonal_,
}


def layers(model: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield module


def variance(scheme: str, fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio (2010), and He et al. (2015)."""
    return 2 / fan_in if scheme.startswith("kaiming") else 2 / (fan_in + fan_out)


def test_the_schemes_are_these() -> None:
    assert set(INITIALIZATIONS) == {"default", *DRAWS}


@pytest.mark.parametrize("scheme", [name for name in DRAWS if name != "orthogonal"])
@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [(nn.Linear(400, 250), 400, 250), (nn.Conv2d(30, 90, 5), 30 * 25, 90 * 25)],
    ids=["linear", "convolution"],
)
def test_weights_have_the_mean_variance_and_range_of_the_formula(
    scheme: str, layer: nn.Linear | nn.Conv2d, fan_in: int, fan_out: int
) -> None:
    torch.manual_seed(0)
    initialize(layer, scheme)
    weight = layer.weight.detach().double()
    expected = variance(scheme, fan_in, fan_out)
    # At least 67,500 weights: the standard error of the variance is below 0.6 %.
    assert weight.var().item() == pytest.approx(expected, rel=0.025)
    assert abs(weight.mean().item()) < 5 * math.sqrt(expected / weight.numel())
    bound = math.sqrt(3 * expected)
    if scheme.endswith("uniform"):
        assert 0.999 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)
    else:
        assert weight.abs().max().item() > 1.5 * bound
        within = (weight.abs() < math.sqrt(expected)).double().mean().item()
        assert within == pytest.approx(0.6827, abs=0.01)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_orthogonal_rows_or_columns_are_orthonormal(n_in: int, n_out: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(n_in, n_out)
    initialize(layer, "orthogonal")
    weight = layer.weight.detach().double()
    product = weight @ weight.T if n_out <= n_in else weight.T @ weight
    identity = torch.eye(min(n_in, n_out), dtype=torch.float64)
    torch.testing.assert_close(product, identity, atol=1e-5, rtol=0)


def test_orthogonal_filters_of_a_convolution_are_orthonormal() -> None:
    layer = nn.Conv2d(4, 8, 3)
    initialize(layer, "orthogonal")
    weight = layer.weight.detach().flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP((6,), 3, widths=(5, 4), batch_norm=True),
    "cnn": lambda: CNN((1, 8, 8), 3, channels=(4, 5), hidden=6, batch_norm=False),
    "cnn with batch norm": lambda: CNN((1, 8, 8), 3, channels=(4, 5), batch_norm=True),
    "resnet": lambda: ResNet((1, 8, 8), 3, width=4, stages=2),
}


@pytest.mark.parametrize("scheme", DRAWS)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_seeded_draw_is_the_one_of_torch_for_each_layer_in_turn(
    build: Callable[[], nn.Module], scheme: str
) -> None:
    ours = build()
    theirs = copy.deepcopy(ours)
    torch.manual_seed(7)
    initialize(ours, scheme)
    torch.manual_seed(7)
    for layer in layers(theirs):
        DRAWS[scheme](layer.weight)
    for mine, other in zip(layers(ours), layers(theirs), strict=True):
        assert torch.equal(mine.weight, other.weight)


@pytest.mark.parametrize("scheme", DRAWS)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_every_layer_is_drawn_anew_and_biases_and_norms_stay_as_they_are(
    build: Callable[[], nn.Module], scheme: str
) -> None:
    model = build()
    before = copy.deepcopy(model)
    initialize(model, scheme)
    pairs = zip(model.modules(), before.modules(), strict=True)
    n_layers = 0
    for after, old in pairs:
        if isinstance(after, nn.Linear | nn.Conv2d):
            n_layers += 1
            assert not torch.equal(after.weight, old.weight)  # type: ignore[arg-type]
            if after.bias is not None:
                bound = 1 / math.sqrt(after.weight[0].numel())
                assert after.bias.any()
                assert (after.bias.abs() <= bound).all()
                assert torch.equal(after.bias, old.bias)  # type: ignore[arg-type]
        elif isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (after.weight == 1).all()
            assert not after.bias.any()
    assert n_layers > 1


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_default_leaves_weights_and_generator_untouched(build: Callable[[], nn.Module]) -> None:
    model = build()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    initialize(model, "default")
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("scheme", DRAWS)
def test_weights_still_ask_for_gradients(scheme: str) -> None:
    model = MLP((3,), 1, widths=(4,))
    initialize(model, scheme)
    model(torch.rand(2, 3)).sum().backward()
    for layer in layers(model):
        assert layer.weight.grad is not None


def test_one_dimensional_convolutions_are_drawn_too() -> None:
    layer = nn.Conv1d(20, 40, 7)
    torch.manual_seed(0)
    initialize(layer, "kaiming_normal")
    assert layer.weight.var().item() == pytest.approx(2 / (20 * 7), rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("xavier", "xavier_normal"), ("kaiming_norm", "kaiming_normal"), ("ortogonal", "orthogonal")],
)
def test_an_unknown_scheme_names_the_nearest_and_changes_nothing(wrong: str, nearest: str) -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    with pytest.raises(InputError, match=f"unknown initialization {wrong!r}") as caught:
        initialize(layer, wrong)
    assert f"did you mean {nearest!r}?" in str(caught.value)
    assert "default" in str(caught.value)
    assert torch.equal(layer.weight, before)
