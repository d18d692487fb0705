"""A description of a model file, which a test changes as it needs."""

from dataclasses import replace
from typing import Any

from hw1.analysis.description import ModelDescription

HOUSES = ModelDescription(
    family="hw1.models.mlp.MLP",
    definition="regression_mlp",
    task="regression",
    input_shape=(2,),
    n_outputs=1,
    class_names=(),
    feature_names=("rooms", "area"),
    target_name="price",
    pixels=False,
    configuration={"model": {"widths": [8]}, "lr": 0.01, "patience": None},
    study="houses",
    trial=0,
    metric="mean_squared_error",
    value=0.25,
    seed=0,
    epochs=12,
    provenance={"torch": "2.6", "commit": None},
)


def of_images(shape: tuple[int, int, int], *class_names: str, **others: Any) -> ModelDescription:
    """The same for a classification of images."""
    return replace(
        HOUSES,
        task="classification",
        input_shape=shape,
        n_outputs=len(class_names),
        class_names=class_names,
        feature_names=(),
        pixels=True,
        metric="accuracy",
        **others,
    )
