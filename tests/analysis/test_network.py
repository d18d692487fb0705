import pytest
import torch
from training.alone import trained

from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset
from hw1.models import CNN, MLP
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep

RANDOM = torch.Generator().manual_seed(0)
PIXELS = torch.randint(256, (40, 2, 8, 8), dtype=torch.uint8, generator=RANDOM)
IMAGES = Dataset("toy", "classification", PIXELS, torch.arange(40) % 3, class_names=tuple("abc"))
X = 3 + 5 * torch.randn(40, 2, generator=RANDOM)
NUMBERS = Dataset("toy", "regression", X, 100 + 20 * X.sum(1, keepdim=True))


def after_an_epoch(family: type, dataset: Dataset, **model: object) -> Lockstep:
    configuration = Configuration(model=dict(model), epochs=2, batch_size=16, views="all")
    rows = [torch.arange(40), torch.arange(0, 40, 2)]
    return trained(Lockstep(family, [configuration] * 2, dataset, rows, [1, 2]), 1)


@pytest.mark.parametrize(
    ("family", "dataset", "model"),
    [(CNN, IMAGES, {"channels": [4], "batch_norm": True}), (MLP, NUMBERS, {"widths": [8]})],
)
def test_it_takes_raw_inputs_and_says_what_the_training_loop_says(
    family: type, dataset: Dataset, model: dict[str, object]
) -> None:
    models = after_an_epoch(family, dataset, **model)
    for i, expected in enumerate(models.predict(torch.arange(40))):
        network = Network.of(models, i)
        assert not network.training
        found = predict(network, dataset.inputs)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_it_is_a_copy_that_further_training_leaves_alone() -> None:
    models = after_an_epoch(MLP, NUMBERS, widths=[8])
    network = Network.of(models, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    models.train_epoch()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
