import numpy as np
import torch

from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset
from hw1.models import CNN, MLP
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep


def images() -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 2, 8, 8), dtype=np.uint8)
    targets = torch.arange(40) % 3
    return Dataset(
        "toy", "classification", torch.from_numpy(pixels), targets, class_names=("a", "b", "c")
    )


def numbers() -> Dataset:
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 5, (40, 2)).astype(np.float32))
    return Dataset("toy", "regression", x, 100 + 20 * x.sum(1, keepdim=True))


def trained(family: type, dataset: Dataset, **model: object) -> Lockstep:
    configuration = Configuration(model=dict(model), epochs=2, batch_size=16)
    models = Lockstep(
        family, [configuration] * 2, dataset, [torch.arange(40), torch.arange(0, 40, 2)], [1, 2]
    )
    models.train_epoch()
    return models


def test_it_takes_raw_inputs_and_says_what_the_training_loop_says() -> None:
    for dataset, models in (
        (images(), trained(CNN, images(), channels=[4], batch_norm=True)),
        (numbers(), trained(MLP, numbers(), widths=[8])),
    ):
        rows = torch.arange(len(dataset))
        expected = models.predict(rows)
        for i in range(2):
            network = Network.of(models, i)
            assert not network.training
            found = predict(network, dataset.inputs)
            torch.testing.assert_close(found, expected[i], rtol=1e-4, atol=1e-3)


def test_it_is_a_copy_that_further_training_leaves_alone() -> None:
    models = trained(MLP, numbers(), widths=[8])
    network = Network.of(models, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    models.train_epoch()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
