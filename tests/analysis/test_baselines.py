"""Each baseline against scikit-learn called by hand, and which of them are fitted to what."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hw1.analysis.baselines import BASELINES, FEWEST_ROWS, SECONDS, Baseline, Size
from hw1.datasets import Dataset
from hw1.tasks import TaskName

# Of fits that have not converged; where they are made in earnest, nothing is said of that.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def named(name: str) -> Baseline:
    (found,) = [b for b in BASELINES if name in (b.regression, b.classification)]
    return found


def made(task: TaskName, shape: tuple[int, ...], n: int = 40, n_outputs: int = 1) -> Dataset:
    """Examples of that shape, of which the first numbers say what is to be predicted."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(n, *shape)).astype(np.float32))
    first = inputs.flatten(1)[:, :n_outputs]
    if len(shape) == 3:
        inputs = (128 + 30 * inputs).clamp(0, 255).to(torch.uint8)
    if task == "regression":
        return Dataset("made", task, inputs, 100 + 10 * first)
    targets = (first[:, 0] > 0).long() * 2  # of the three classes one does not occur
    return Dataset("made", task, inputs, targets, ("a", "b", "c"))


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b.regression)
@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 3, 3)], ids=str)
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_every_baseline_takes_every_kind_of_data(
    baseline: Baseline, shape: tuple[int, ...], task: TaskName
) -> None:
    data = made(task, shape, n_outputs=2)
    new = data.take(torch.arange(10))
    outputs = baseline.outputs(data, new.inputs, 0)
    assert outputs.shape == (10, data.n_outputs)
    assert outputs.isfinite().all()
    if task == "regression":
        error, dull = (outputs - new.targets) ** 2, (data.targets.mean(0) - new.targets) ** 2
        assert error.mean() <= dull.mean() * 1.01
    else:
        assert torch.equal(outputs.sum(1), torch.ones(10).double())
        assert (outputs.argmax(1) != 1).all()
    assert torch.equal(outputs, baseline.outputs(data, new.inputs, 0))


def test_they_give_what_scikit_learn_gives() -> None:
    data = made("classification", (3,))
    new = made("classification", (3,), n=60)
    x, y = data.inputs.double().numpy(), data.targets.numpy()
    scaler = StandardScaler().fit(x)
    by_hand = LogisticRegression().fit(scaler.transform(x), y)
    said = by_hand.predict(scaler.transform(new.inputs.double().numpy()))
    outputs = named("logistic regression").outputs(data, new.inputs, 0)
    assert np.array_equal(outputs.argmax(1).numpy(), said)

    data = made("regression", (3,), n=200)
    trees = HistGradientBoostingRegressor().fit(data.inputs.numpy(), data.targets[:, 0].numpy())
    outputs = named("gradient boosting").outputs(data, new.inputs, 0)
    assert outputs[:, 0].numpy() == pytest.approx(trees.predict(new.inputs.numpy()), rel=1e-5)


def test_a_gaussian_process_finds_the_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (80, 1)).astype(np.float32)
    y = 5 * np.sin(x) + rng.normal(0, 0.5, x.shape).astype(np.float32)
    data = Dataset("noisy", "regression", torch.from_numpy(x), torch.from_numpy(y))
    outputs = named("Gaussian process").outputs(data, data.inputs, 0)
    assert ((outputs.numpy() - 5 * np.sin(x)) ** 2).mean() < 0.1


def test_what_cannot_be_fitted_is_no_error() -> None:
    data = made("classification", (3,))
    one_class = data.take(torch.nonzero(data.targets == 0)[:, 0])
    assert named("logistic regression").outputs(one_class, data.inputs, 0).isnan().all()


def test_large_data_are_fitted_in_part_and_a_process_to_few_examples_alone() -> None:
    few, images = Size("regression", 80, 1, 1, 20), Size("classification", 48_000, 784, 10, 12_000)
    assert all(b.plan(few, 5, 5) == (80, 5) for b in BASELINES)
    planned = {b.classification: b.plan(images, 5, 5) for b in BASELINES}
    assert planned["most frequent class"] == (48_000, 5)
    assert planned["Gaussian process"] is None
    for name in ("logistic regression", "nearest neighbors", "scikit-learn's MLP"):
        n_rows, n_repeats = planned[name] or (0, 0)
        assert 5000 <= n_rows < 48_000
        assert n_repeats == 1


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["regression", "classification"]),
    st.integers(1, 10**6),
    st.integers(1, 10**4),
    st.integers(1, 100),
    st.integers(1, 20),
    st.integers(2, 20),
)
def test_no_plan_takes_longer_than_it_may(
    task: TaskName, n: int, features: int, outputs: int, n_repeats: int, n_splits: int
) -> None:
    size = Size(task, n, features, outputs, 1 + n // n_splits)
    for baseline in BASELINES:
        planned = baseline.plan(size, n_repeats, n_splits)
        if planned is not None:
            rows, repeats = planned
            assert min(n, FEWEST_ROWS) <= rows <= n
            assert 1 <= repeats <= n_repeats
            fitted = Size(task, rows, features, outputs, size.predicted)
            assert baseline.seconds(fitted) * (repeats * n_splits + 1) <= SECONDS * (1 + 1e-9)
