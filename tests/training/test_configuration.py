import json
import subprocess
import sys
from typing import Any

import pytest

from hw1.errors import InputError
from hw1.training import Configuration


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": -1.0},
        {"epochs": 0},
        {"batch_size": 0},
        {"momentum": 1.0},
        {"nesterov": True},
        {"weight_decay": -1e-3},
        {"l1": -1e-3},
        {"l1_proximal": -1e-3},
        {"label_smoothing": 1.0},
        {"ema": 1.0},
        {"max_grad_norm": 0.0},
        {"patience": 0},
        {"shift": -1},
        {"erase": 1.5},
        {"flip": 2},
        {"flip": "sometimes"},
        {"optimizer": "adagrad"},
        {"schedule": "linear"},
        {"initialization": "zeros"},
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Configuration(**wrong)


def test_a_configuration_survives_json() -> None:
    configuration = Configuration(model={"widths": [3, 4]}, lr=0.1, patience=3, flip="alternating")
    assert Configuration(**json.loads(json.dumps(configuration.to_json()))) == configuration


def test_a_later_field_is_stored_where_it_is_used_alone() -> None:
    # As studies of earlier versions have it, which go on if their search space is the same.
    assert "ema" not in Configuration(lr=0.1).to_json()
    assert Configuration(ema=0.9).to_json() == Configuration().to_json() | {"ema": 0.9}
    assert Configuration(**Configuration(ema=0.9).to_json()).ema == 0.9


def test_the_fields_say_what_they_are_without_torch() -> None:
    code = (
        "import sys; from hw1.training.configuration import OPTIONS; "
        "print(OPTIONS['lr'].words, OPTIONS['lr'].group, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "learning rate optimization False\n"
