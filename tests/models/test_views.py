"""Outputs that are averaged over views of an image."""

from typing import Any

import numpy as np
import pytest
import torch

from hw1.models import CNN, ResNet
from hw1.models.views import VIEWS, Views
from hw1.training.networks import ModelClass

IMAGES = torch.rand(6, 2, 9, 8, generator=torch.Generator().manual_seed(0))


def moved(down: int, right: int) -> torch.Tensor:
    """The images, moved by at most a pixel; what moves in is what was at the edge."""
    padded = np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
    return torch.from_numpy(padded[..., 1 - down : 10 - down, 1 - right : 9 - right].copy())


@pytest.mark.parametrize(
    ("family", "model"),
    [(CNN, {"channels": (3,)}), (ResNet, {"width": 2})],
)
@pytest.mark.parametrize("views", VIEWS)
def test_the_mean_over_all_views(family: ModelClass, model: dict[str, Any], views: Views) -> None:
    plain, viewing = (family((2, 9, 8), 3, **model, views=v) for v in ("one", views))
    viewing.load_state_dict(plain.state_dict())
    seen = [IMAGES]
    if views in ("shifted", "all"):
        seen += [moved(1, 0), moved(-1, 0), moved(0, 1), moved(0, -1)]
    if views in ("mirrored", "all"):
        seen += [view.flip(-1) for view in seen]
    assert len(seen) == {"one": 1, "mirrored": 2, "shifted": 5, "all": 10}[views]
    expected = torch.stack([plain.eval()(view) for view in seen]).mean(0)
    torch.testing.assert_close(viewing.eval()(IMAGES), expected)
    if views != "one":
        assert not torch.allclose(expected, plain(IMAGES), atol=1e-4)
    assert torch.equal(viewing.train()(IMAGES), plain.train()(IMAGES))
