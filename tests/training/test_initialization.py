import copy
from collections.abc import Callable

import pytest
import torch
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
