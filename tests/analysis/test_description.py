import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analysis.described import HOUSES, of_images
from hypothesis import given
from hypothesis import strategies as st

from hw1.analysis.description import ModelDescription, import_path
from hw1.errors import InputError
from hw1.models import CNN, MLP

DIGITS = of_images((1, 8, 8), "zero", "été", family="hw1.models.cnn.CNN")
FILE = Path("model")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def changed(**values: Any) -> str:
    return json.dumps(json.loads(HOUSES.to_json()) | values)


@pytest.mark.parametrize("description", [HOUSES, DIGITS], ids=["features", "pixels"])
def test_json_holds_a_description(description: ModelDescription) -> None:
    text = description.to_json()
    assert ModelDescription.from_json(text, FILE) == description
    assert ModelDescription.from_json(text.encode(), FILE) == description
    assert json.loads(text)["class_names"] == list(description.class_names)


@given(st.sampled_from(sorted(json.loads(HOUSES.to_json()))), JSON)
def test_any_value_is_a_description_or_an_input_error(name: str, value: object) -> None:
    try:
        description = ModelDescription.from_json(changed(**{name: value}), FILE)
    except InputError as error:
        assert type(error) is InputError
        assert "model" in str(error)
        return
    assert ModelDescription.from_json(description.to_json(), FILE) == description


@given(st.text(max_size=20) | st.binary(max_size=20) | JSON.map(json.dumps))
def test_any_other_text_is_an_input_error(text: str | bytes) -> None:
    with pytest.raises(InputError, match="model"):
        ModelDescription.from_json(text, FILE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "model does not describe its network"),
        ("{}", "model does not describe its network"),
        ("[1]", "does not describe its network"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (changed(version=2), "is of version 2, where this hw1 reads version 1"),
        (changed(version="x" * 999), "is of version 'x{19}, where"),
        (changed(color=1), "has an unknown field 'color'"),
        (json.dumps({"version": 1}), "lacks 'class_names'"),
    ],
)
def test_what_is_wrong_with_the_text_is_said(text: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ModelDescription.from_json(text, FILE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("family", None),
        ("definition", 3),
        ("task", "ranking"),
        ("task", ["regression"]),
        ("input_shape", []),
        ("input_shape", [0]),
        ("input_shape", [2.0]),
        ("input_shape", 2),
        ("n_outputs", 0),
        ("n_outputs", True),
        ("class_names", ["a"]),
        ("class_names", "ab"),
        ("feature_names", ["rooms"]),
        ("feature_names", ["rooms", 2]),
        ("target_name", None),
        ("pixels", 1),
        ("pixels", True),
        ("configuration", {}),
        ("configuration", {"model": [8]}),
        ("trial", -1),
        ("value", float("nan")),
        ("value", float("inf")),
        ("value", "low"),
        ("epochs", 0),
        ("provenance", []),
    ],
)
def test_a_field_that_does_not_fit_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"in model is damaged: {name} = "):
        ModelDescription.from_json(changed(**{name: value}), FILE)


def test_classes_are_as_many_as_outputs() -> None:
    with pytest.raises(InputError, match="class_names"):
        replace(DIGITS, n_outputs=3)


def test_a_family_is_named_by_module_and_class() -> None:
    assert import_path(CNN) == "hw1.models.cnn.CNN"
    assert import_path(MLP) == HOUSES.family


def test_it_says_what_the_outputs_are() -> None:
    for description, name in ((HOUSES, "prediction"), (DIGITS, "logits")):
        values = json.loads(description.to_json())
        assert values.pop("output") == name
        # Older files do not say it.
        assert ModelDescription.from_json(json.dumps(values), FILE) == description


@pytest.mark.parametrize(
    "values",
    [
        {"input_shape": [10**30], "feature_names": []},
        {"input_shape": [10**4] * 3, "feature_names": []},
        {"input_shape": [1] * 1000, "feature_names": []},
        {"n_outputs": 10**12},
    ],
)
def test_sizes_that_no_network_has_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not describe a network"):
        ModelDescription.from_json(changed(**values), FILE)
