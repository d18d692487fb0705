"""The proximal L1 penalty is soft thresholding, and its limit is the lasso."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso
from training.alone import optimizers_of, trained

from hw1.datasets import Dataset
from hw1.models import MLP
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend

PRECISION = torch.float64
STRENGTHS = [0.1, 0.5]


@pytest.mark.parametrize("backend", ["compiled", "stacked", "fused"])
def test_gradient_descent_ends_in_the_lasso(backend: Backend) -> None:
    x, y = load_diabetes(return_X_y=True)
    data = Dataset("diabetes", "regression", torch.tensor(x), torch.tensor(y)[:, None])
    c = Configuration(model={"widths": ()}, optimizer="sgd", lr=0.1, batch_size=442, epochs=400)
    each = [replace(c, l1_proximal=strength) for strength in [0.0, *STRENGTHS]]
    with optimizers_of(backend):
        rows = [torch.arange(442)] * 3
        models = Lockstep(MLP, each, data, rows, [0, 1, 2], backend=backend)
    trained(models, 400)
    weights = [models.model(i).layers[1].weight.detach().numpy()[0] for i in range(3)]
    assert weights[0].all()
    for strength, found in zip(STRENGTHS, weights[1:], strict=True):
        # scikit-learn halves the squared error.
        lasso = Lasso(strength / 2, tol=1e-10, max_iter=10**5)
        lasso.fit((x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std())
        np.testing.assert_allclose(found, lasso.coef_, atol=1e-6)
        assert np.array_equal(found == 0, lasso.coef_ == 0) and 2 < (found == 0).sum() < 9
