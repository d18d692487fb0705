"""What a model file says of its network."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from hw1.analysis.scores import fits
from hw1.errors import InputError
from hw1.tasks import TaskName
from hw1.training.networks import ModelClass

METADATA_KEY = "hw1"
"""Under which the metadata of a file hold the description."""
MOST_NUMBERS = 10_000_000
"""In an input or an output: a file may say anything, and memory is taken for it."""
VERSION = 1
"""Of the JSON that describes a network; a change of the fields below raises it."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Where a network comes from, what it takes, and what it gives.

    Attributes:
        family: the import path of its model class, such as ``hw1.models.mlp.MLP``.
        definition: the study's, as `hw1.study_files.stored_definition` takes it.
        task: ``"regression"`` or ``"classification"``.
        input_shape: of an example, as `hw1.datasets.Dataset` has it.
        n_outputs: the number of outputs.
        class_names: the classes in the order of the outputs; empty for regression.
        feature_names: the columns of tabular inputs; empty for images.
        target_name: what the target is called.
        pixels: whether the inputs are images of 8-bit pixels, 0 to 255.
        configuration: the trial's, as `hw1.training.Configuration.to_json` has it;
            ``configuration["model"]`` are the arguments of the model class.
        study: the study's name.
        trial: the trial's number.
        metric: what the value is, as scikit-learn calls it.
        value: the trial's cross-validated value.
        seed: the study's seed.
        epochs: how many the network was trained.
        provenance: versions, commit, data: whatever else was recorded; JSON can hold it.

    Raises:
        InputError: a field is of another type or contradicts the others.
    """

    family: str
    definition: str
    task: TaskName
    input_shape: tuple[int, ...]
    n_outputs: int
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    target_name: str
    pixels: bool
    configuration: dict[str, Any]
    study: str
    trial: int
    metric: str
    value: float
    seed: int
    epochs: int
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        self._require({name: fits(value, kinds[name]) for name, value in vars(self).items()})
        shape, n_outputs = self.input_shape, self.n_outputs
        n_classes = n_outputs if self.task == "classification" else 0
        size_fits = 0 < len(shape) < 10 and min(shape) > 0 and math.prod(shape) <= MOST_NUMBERS
        self._require(
            {
                "input_shape": size_fits,
                "n_outputs": 0 < n_outputs <= MOST_NUMBERS,
                "class_names": len(self.class_names) == n_classes,
                "feature_names": not self.feature_names or (len(self.feature_names),) == shape,
                "pixels": not self.pixels or len(shape) == 3,
                "configuration": isinstance(self.configuration.get("model"), dict),
                "trial": self.trial >= 0,
                "seed": self.seed >= 0,
                "epochs": self.epochs > 0,
            }
        )

    def _require(self, fitting: dict[str, bool]) -> None:
        for name, ok in fitting.items():
            if not ok:
                raise InputError(
                    f"{name} = {getattr(self, name)!r:.60} does not describe a network"
                )

    @property
    def output_name(self) -> str:
        """What the network's outputs are: ``"logits"`` of the classes, or a ``"prediction"``."""
        return "logits" if self.task == "classification" else "prediction"

    def to_json(self) -> str:
        """The description as text, with the version of its form."""
        return json.dumps({"version": VERSION, "output": self.output_name} | asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes | None, path: Path) -> "ModelDescription":
        """The description that `to_json` wrote.

        Args:
            text: the JSON; None where the file has none.
            path: the file it comes from, for the messages.

        Raises:
            InputError: the text is no such description, or of another version.
        """
        try:
            values = json.loads("{}" if text is None else text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"the description in {path} is no JSON: save the model anew"
            ) from error
        if not isinstance(values, dict) or "version" not in values:
            raise InputError(f"{path} does not describe its network: save the model with hw1")
        version = values.pop("version")
        if version != VERSION:
            raise InputError(
                f"{path} is of version {version!r:.20}, where this hw1 reads version {VERSION}: "
                "save the model anew"
            )
        values.pop("output", None)  # follows from the task
        names = [field.name for field in fields(cls)]
        for name in sorted(values.keys() ^ set(names)):
            what = "lacks" if name in names else "has an unknown field"
            raise InputError(f"the description in {path} {what} {name!r:.60}: save the model anew")
        for name in ("input_shape", "class_names", "feature_names"):
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"the description in {path} is damaged: {error}") from error


def import_path(family: ModelClass) -> str:
    """Module and name of a model class: how `ModelDescription.family` calls it."""
    name = getattr(family, "__qualname__", type(family).__qualname__)
    return f"{family.__module__}.{name}"
