import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)
