"""Networks that cannot be."""

from typing import Any

import pytest

from hw1.errors import ArchitectureError, InputError
from hw1.models import CNN, MLP, ResNet
from hw1.training.networks import ModelClass

IMAGE = (1, 28, 28)


@pytest.mark.parametrize(
    ("family", "shape", "options", "message"),
    [
        *((CNN, shape, {}, "needs images") for shape in [(), (5,), (8, 8), (2, 3, 8, 8)]),
        *((ResNet, shape, {}, "needs images") for shape in [(5,), (8, 8)]),
        *((CNN, IMAGE, {"kernel_size": k}, f"must be odd, not {k}") for k in (2, 4)),
        (CNN, IMAGE, {"channels": [0]}, "channels must be at least 1, not 0"),
        (CNN, IMAGE, {"convolutions": 0}, "convolutions must be at least 1, not 0"),
        (CNN, IMAGE, {"kernel_size": -1}, "kernel_size must be at least 1, not -1"),
        (CNN, IMAGE, {"hidden": -1}, "hidden must be at least 0, not -1"),
        *(
            (ResNet, IMAGE, {name: 0}, f"{name} must be at least 1, not 0")
            for name in ("width", "stages", "blocks")
        ),
        (ResNet, IMAGE, {"stages": -1}, "stages must be at least 1, not -1"),
        *(
            (MLP, (4,), {"widths": widths}, f"must be at least 1, not {min(widths)}")
            for widths in [(0,), (4, -1), (4, 0, 4)]
        ),
    ],
)
def test_an_architecture_is_refused(
    family: ModelClass, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        family(shape, 2, **options)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        (CNN, {"pooling": "maximum"}, "unknown pooling 'maximum'"),
        (CNN, {"head": "averge"}, "unknown head 'averge': did you mean 'average'"),
        *(
            (family, {"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'")
            for family in (CNN, MLP, ResNet)
        ),
    ],
)
def test_an_unknown_name_is_refused(
    family: ModelClass, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        family(IMAGE, 2, **options)
