from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def default_precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """That of the module's ``PRECISION``: in double, rounding hides no mistake."""
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(request.module, "PRECISION", torch.float32))
    yield
    torch.set_default_dtype(torch.float32)
