from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.tasks import TaskName

SEEDS = st.integers(0, 2**32 - 1)


def classes(counts: list[int]) -> Dataset:
    """Interleaved rows, ``counts[c]`` of class ``c``; every example's input is its own number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset(
        name="toy",
        task="classification",
        inputs=torch.arange(len(labels), dtype=torch.float32)[:, None],
        targets=torch.from_numpy(labels).long(),
        class_names=tuple(f"class {c}" for c in range(len(counts))),
        feature_names=("row",),
        target_name="kind",
    )


def numbers(n_rows: int, n_outputs: int = 1) -> Dataset:
    """Row ``i`` has the input ``i`` and the targets ``10 i, 10 i + 1, ...``."""
    rows = torch.arange(n_rows, dtype=torch.float32)[:, None]
    return Dataset("toy", "regression", rows, 10 * rows + torch.arange(n_outputs))


def test_sizes_are_those_of_the_tensors() -> None:
    data = Dataset("toy", "regression", torch.zeros(5, 2, 3, 6), torch.zeros(5, 4))
    assert (len(data), data.input_shape, data.n_outputs) == (5, (2, 3, 6), 4)


def test_the_fingerprint_is_16_hexadecimal_digits_and_equal_for_equal_rows() -> None:
    first, again = classes([3, 4]).fingerprint, classes([3, 4]).fingerprint
    assert first == again
    assert len(first) == 16
    int(first, 16)


def test_the_fingerprint_does_not_depend_on_how_rows_lie_in_memory() -> None:
    data = numbers(6, n_outputs=3)
    transposed = replace(data, targets=data.targets.t().contiguous().t())
    assert not transposed.targets.is_contiguous()
    assert transposed.fingerprint == data.fingerprint


def test_the_fingerprint_changes_with_a_value_an_order_a_type_a_shape_and_a_class_name() -> None:
    data = classes([3, 4])
    one_value = data.inputs.clone()
    one_value[-1] += 1
    one_label = data.targets.clone()
    one_label[0] = 1 - one_label[0]
    variants = [
        data,
        replace(data, inputs=one_value),
        replace(data, targets=one_label),
        replace(data, inputs=data.inputs.flip(0), targets=data.targets.flip(0)),
        # The same numbers as another type, and the same bytes in another shape.
        replace(data, inputs=data.inputs.double()),
        replace(data, inputs=data.inputs[:, :, None, None], feature_names=()),
        replace(data, class_names=("class 0", "class one")),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)


@given(row=st.integers(0, 19), seed=SEEDS)
def test_the_fingerprint_sees_every_single_row(row: int, seed: int) -> None:
    data = numbers(20)
    changed = data.inputs.clone()
    changed[row] = torch.nextafter(changed[row], torch.tensor(1e9))
    assert replace(data, inputs=changed).fingerprint != data.fingerprint


PIXELS = torch.zeros(6, 1, 2, 2, dtype=torch.uint8)
X, Y, CLASSES = torch.zeros(6, 2), torch.zeros(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])
NAN = torch.tensor([[0.0], [0.0], [float("nan")], [0.0], [0.0], [0.0]])


@pytest.mark.parametrize(
    ("inputs", "targets", "task", "words"),
    [
        (torch.zeros(6, 5, 3, 2, 1), Y, "regression", r"the shape \(5, 3, 2, 1\); give"),
        (torch.zeros(6), Y, "regression", r"examples have the shape \(\)"),
        (torch.zeros(6, 0), Y, "regression", r"examples have the shape \(0,\)"),
        (torch.zeros(6, 1, 0, 4), Y, "regression", r"examples have the shape \(1, 0, 4\)"),
        (torch.zeros(6, 2, dtype=torch.uint8), Y, "regression", r"inputs are uint8 \(6, 2\)"),
        (X.long(), Y, "regression", "inputs are int64"),
        (X.half(), Y, "regression", "inputs are float16"),
        (PIXELS.short(), Y, "regression", "inputs are int16"),
        (X.numpy(), Y, "regression", "must be tensors"),
        (X, Y[:5], "regression", "6 inputs and 5 targets"),
        (X, Y[:, 0], "regression", r"targets are float32 \(6,\)"),
        (X, Y.long(), "regression", "targets are int64"),
        (X, torch.zeros(6, 0), "regression", r"targets are float32 \(6, 0\)"),
        (NAN, Y, "regression", "row 2 of its inputs holds NaN"),
        (X, NAN / 0, "regression", "row 0 of its targets holds NaN or infinity"),
        (X, CLASSES[:, None], "classification", r"targets are int64 \(6, 1\)"),
        (X, CLASSES.float(), "classification", "targets are float32"),
        (X, CLASSES + 1, "classification", "numbers reach from 1 to 2; of 2 class_names"),
        (X, CLASSES - 1, "classification", "numbers reach from -1 to 0"),
        (X, Y, "ranking", "unknown task 'ranking'"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(
    inputs: torch.Tensor, targets: torch.Tensor, task: TaskName, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Dataset("toy", task, inputs, targets, ("a", "b") if task == "classification" else ())
    assert "\n" not in str(caught.value)


def test_classes_and_features_have_one_name_each() -> None:
    with pytest.raises(InputError, match="no class_names"):
        Dataset("toy", "classification", X, CLASSES)
    with pytest.raises(InputError, match="3 feature names for examples of shape"):
        Dataset("toy", "regression", X, Y, feature_names=("a", "b", "c"))


def test_images_and_features_are_accepted_with_either_task() -> None:
    for inputs in (X, X.double(), PIXELS, PIXELS.float()):
        assert len(Dataset("toy", "regression", inputs, Y)) == 6
        assert Dataset("toy", "classification", inputs, CLASSES, ("a", "b")).n_outputs == 2


def test_to_moves_the_rows_and_keeps_the_rest() -> None:
    data = classes([2, 3])
    moved = data.to(torch.device("meta"))
    assert moved.inputs.device.type == moved.targets.device.type == "meta"
    assert moved.inputs.shape == data.inputs.shape
    assert (moved.name, moved.task) == ("toy", "classification")
    assert moved.class_names == data.class_names
    assert (moved.feature_names, moved.target_name) == (("row",), "kind")
    assert data.inputs.device.type == "cpu"


@settings(deadline=None, max_examples=150)
@given(counts=st.lists(st.integers(2, 30), min_size=2, max_size=5), seed=SEEDS, data=st.data())
def test_a_sample_is_stratified_and_keeps_rows_whole_and_in_order(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    whole = classes(counts)
    n_rows = data.draw(st.integers(len(counts), len(whole) - len(counts)), label="n_rows")
    part = whole.sample(n_rows, seed)
    rows = part.inputs[:, 0].long()
    assert len(part) == len(rows) == n_rows
    assert (rows.diff() > 0).all(), "each example at most once, in the old order"
    assert int(rows[0]) >= 0
    assert int(rows[-1]) < len(whole)
    assert torch.equal(part.targets, whole.targets[rows]), "inputs and targets stay together"
    drawn = np.bincount(part.targets.numpy(), minlength=len(counts))
    fair = n_rows * np.array(counts) / len(whole)
    assert (np.abs(drawn - fair) < 1 + 1e-9).all()
    assert (part.class_names, part.feature_names) == (whole.class_names, whole.feature_names)


@settings(deadline=None)
@given(n_all=st.integers(1, 60), n_outputs=st.integers(1, 3), seed=SEEDS, data=st.data())
def test_a_sample_of_a_regression_keeps_rows_whole_and_in_order(
    n_all: int, n_outputs: int, seed: int, data: st.DataObject
) -> None:
    n_rows = data.draw(st.integers(1, n_all), label="n_rows")
    part = numbers(n_all, n_outputs).sample(n_rows, seed)
    rows = part.inputs[:, 0]
    assert part.targets.shape == (n_rows, n_outputs)
    assert (rows.diff() > 0).all()
    assert set(rows.tolist()) <= set(range(n_all))
    assert torch.equal(part.targets, 10 * rows[:, None] + torch.arange(n_outputs))


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=2, max_size=4).filter(lambda c: sum(c) > 0),
    n_rows=st.integers(-1, 25),
    seed=SEEDS,
)
@example(counts=[1, 9], n_rows=5, seed=0)  # a class with a single example
@example(counts=[0, 9], n_rows=5, seed=0)  # a class with none
def test_whatever_is_asked_of_a_sample_it_has_that_many_rows_or_is_an_input_error(
    counts: list[int], n_rows: int, seed: int
) -> None:
    whole = classes(counts)
    try:
        part = whole.sample(n_rows, seed)
    except InputError:
        assert n_rows != len(whole)
    else:
        assert len(part) == n_rows
        assert part.n_outputs == len(counts)


def test_a_sample_depends_on_its_seed_alone() -> None:
    whole = classes([50, 50])
    first = whole.sample(40, seed=1)
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(first.inputs, whole.sample(40, seed=1).inputs)
    assert not torch.equal(first.inputs, whole.sample(40, seed=2).inputs)


@pytest.mark.parametrize("data", [classes([3, 4]), numbers(7)])
def test_a_sample_of_all_rows_is_the_data_set_itself(data: Dataset) -> None:
    assert torch.equal(data.sample(7, seed=3).inputs, data.inputs)


@pytest.mark.parametrize("n_rows", [-1, 0, 8])
def test_a_sample_size_outside_the_rows_names_the_option_and_the_bounds(n_rows: int) -> None:
    with pytest.raises(
        InputError, match=rf"cannot take {n_rows} of the 7 .*--train-size .* 1 to 7"
    ):
        numbers(7).sample(n_rows, seed=0)


def test_a_sample_too_small_or_too_large_for_all_classes_names_bounds_that_can_be_drawn() -> None:
    whole = classes([3, 3, 4])
    for n_rows in (1, 2, 8, 9):
        with pytest.raises(InputError, match="3 classes: give a --train-size from 3 to 7"):
            whole.sample(n_rows, seed=0)
    for n_rows in (3, 7):
        assert set(whole.sample(n_rows, seed=0).targets.tolist()) == {0, 1, 2}


def test_a_class_with_a_single_row_cannot_be_drawn_from_evenly() -> None:
    with pytest.raises(InputError, match="cannot draw a stratified part of toy"):
        classes([1, 9]).sample(5, seed=0)


def test_the_moments_of_pixels_are_exact_and_those_of_torch() -> None:
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (300, 2, 5, 7), dtype=np.uint8)
    )
    data = Dataset("toy", "regression", pixels, torch.zeros(300, 1))
    assert data.pixel_moments is not None
    sums, squares = data.pixel_moments
    wide = pixels.long().flatten(2)
    assert torch.equal(sums, wide.sum(2))
    assert torch.equal(squares, (wide**2).sum(2))
    assert numbers(4).pixel_moments is None  # of floats


def test_rows_are_taken_by_their_numbers() -> None:
    data = classes([3, 4]).take(torch.tensor([5, 0]))
    assert data.inputs[:, 0].tolist() == [5, 0]
    assert data.targets.tolist() == classes([3, 4]).targets[[5, 0]].tolist()
    assert data.class_names == ("class 0", "class 1")
