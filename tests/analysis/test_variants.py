"""What an ablation changes: one thing at a time, and only what there is."""

from dataclasses import fields, replace

import pytest
import torch

from hw1.analysis.variants import GROUPS, RATE_OF, Base, variants
from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.models import CNN, LSTM, MLP
from hw1.training import Configuration
from hw1.training.initialization import INITIALIZATIONS

TABLE = Dataset("table", "regression", torch.zeros(8, 3), torch.zeros(8, 1))
IMAGES = Dataset(
    "images",
    "classification",
    torch.zeros(8, 1, 8, 8, dtype=torch.uint8),
    torch.arange(8) % 2,
    ("a", "b"),
)
OWN = Configuration(model={"dropout": 0.1}, weight_decay=0.02, flip="alternating", epochs=60)
FIELDS = {
    "optimizer": {"optimizer", "momentum", "nesterov", "lr"},
    "schedule": {"schedule", "patience"},
    "early_stopping": {"schedule", "patience", "checkpoint"},
    "dropout": {"model"},
    "batch_norm": {"model"},
    "clipping": {"max_grad_norm"},
    "augmentation": {"flip", "shift", "erase"},
}


@pytest.mark.parametrize("own", [OWN, replace(OWN, optimizer="sgd", momentum=0.9, patience=3)])
def test_only_what_a_group_is_about_differs(own: Configuration) -> None:
    found = variants(Base.of(own, IMAGES, MLP))
    assert {one.group for one in found} == {"", *GROUPS}
    for one in found:
        for configuration in one.configurations:
            differs = {
                field.name
                for field in fields(Configuration)
                if getattr(configuration, field.name) != getattr(own, field.name)
            }
            assert differs <= FIELDS.get(one.group, {one.group}), one.name
    places = [(one.group, one.place) for one in found]
    names = [(one.group, one.name) for one in found]
    assert len(set(places)) == len(set(names)) == len(found)


def test_the_base_stands_once_among_those_of_each_group() -> None:
    found = variants(Base.of(OWN, IMAGES, MLP))
    for group in {one.group for one in found} - {""}:
        own = [v for v in found if v.group == group and v.configurations == (OWN,)]
        assert len(own) == 1, group
    decays = [v.name for v in found if v.group == "weight_decay"]
    assert decays == ["0", "0.0001", "0.001", "0.01", "0.02", "0.1"]
    schemes = [v.configurations[0].initialization for v in found if v.group == "initialization"]
    assert tuple(schemes) == INITIALIZATIONS


def test_what_is_not_taken_is_left_out() -> None:
    def groups(dataset: Dataset, model: type) -> set[str]:
        return {
            one.group for one in variants(Base.of(Configuration(), dataset, model)) if one.group
        }

    assert set(GROUPS) - groups(TABLE, MLP) == {"views", "label_smoothing", "augmentation"}
    assert groups(IMAGES, CNN) == set(GROUPS)
    assert set(GROUPS) - groups(TABLE, LSTM) == {
        *("views", "label_smoothing", "augmentation", "batch_norm")
    }


def test_optimizers_have_learning_rates_of_their_own_around_the_usual_one() -> None:
    own = Configuration(optimizer="adam", lr=0.001)
    found = {
        v.name: [c.lr for c in v.configurations]
        for v in variants(Base.of(own, TABLE, MLP), ["optimizer"])
        if v.group
    }
    assert found["Adam"] == [0.001]
    assert found["AdamW"] == [0.00033, 0.001, 0.003]
    assert found["SGD"] == [0.033, 0.1, 0.3]
    assert found["SGD with momentum"] == found["SGD with Nesterov momentum"] == [0.0033, 0.01, 0.03]
    # From a base with another optimizer the rates are the same.
    sgd = Configuration(optimizer="sgd", lr=0.001 * RATE_OF["sgd", False])
    adam = next(v for v in variants(Base.of(sgd, TABLE, MLP), ["optimizer"]) if v.name == "Adam")
    assert [c.lr for c in adam.configurations] == found["AdamW"]


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(InputError, match=r"optimiser.*optimizer"):
        variants(Base.of(OWN, TABLE, MLP), ["optimiser"])
