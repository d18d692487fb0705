import copy
from collections.abc import Callable

import pytest
import torch
from scipy.stats import kstest, norm, uniform
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


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP((6,), 3, widths=(5, 4), batch_norm=True),
    "cnn": lambda: CNN((1, 8, 8), 3, channels=(4, 5), hidden=6, batch_norm=False),
    "cnn with batch norm": lambda: CNN((1, 8, 8), 3, channels=(4, 5), batch_norm=True),
    "resnet": lambda: ResNet((1, 8, 8), 3, width=4, stages=2),
    "one-dimensional convolution": lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.Linear(4, 1)),
}
LAYERS = nn.Linear, nn.Conv1d, nn.Conv2d


@pytest.mark.parametrize("scheme", sorted({*INITIALIZATIONS, *DRAWS} - {"default"}))
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_every_layer_is_drawn_as_torch_does_and_nothing_else_changes(
    build: Callable[[], nn.Module], scheme: str
) -> None:
    before = build()
    ours, theirs = copy.deepcopy(before), copy.deepcopy(before)
    torch.manual_seed(7)
    initialize(ours, scheme)
    torch.manual_seed(7)
    for layer, old in zip(theirs.modules(), before.modules(), strict=True):
        if isinstance(layer, LAYERS):
            DRAWS[scheme](layer.weight)
            assert not torch.equal(layer.weight, old.weight)
            # Biases are as torch draws them, not zero.
            assert layer.bias is None or layer.bias.any()
    expected = theirs.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())
    assert all(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_default_leaves_weights_and_generator_untouched(build: Callable[[], nn.Module]) -> None:
    model = build()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    initialize(model, "default")
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


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


@pytest.mark.parametrize("n_inputs", [1, 4])
def test_units_of_a_scaled_first_layer_bend_all_over_the_inputs(n_inputs: int) -> None:
    torch.manual_seed(3)
    model = MLP((n_inputs,), 1, widths=(4000, 5))
    rest = copy.deepcopy(list(model.parameters())[2:])
    initialize(model, "default", input_scale=2.5)
    weight, bias = list(model.parameters())[:2]
    assert kstest(weight.detach().flatten(), norm(scale=2.5 / n_inputs**0.5).cdf).pvalue > 1e-3
    # With a single input the points themselves can be read off, and are uniform.
    if n_inputs == 1:
        points = (-bias / weight[:, 0]).detach()
        assert kstest(points, uniform(-(3**0.5), 2 * 3**0.5).cdf).pvalue > 1e-3
    # A sum of n terms w c, each of the variance of w, as c has variance one.
    assert bias.std().item() == pytest.approx(2.5, rel=0.05)
    assert all(map(torch.equal, rest, list(model.parameters())[2:]))
    assert weight.requires_grad and bias.requires_grad


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_scale_changes_the_first_layer_alone(build: Callable[[], nn.Module]) -> None:
    model = build()
    before = copy.deepcopy(model.state_dict())
    initialize(model, "default", input_scale=1.0)
    first = next(name for name, m in model.named_modules() if isinstance(m, LAYERS))
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {n for n in before if n in (f"{first}.weight", f"{first}.bias")}
