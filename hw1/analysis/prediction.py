"""Predictions of a CSV file, an array, an image, or a folder of images."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hw1.analysis.description import ModelDescription
from hw1.analysis.model_files import LoadedModel
from hw1.datasets import tabular
from hw1.errors import InputError, require_file
from hw1.words import listed

MODES = {1: "L", 3: "RGB"}
"""Pillow's name for images of 8-bit pixels by their number of channels."""
SHOWN = 10
"""How many columns a message names."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs that a network takes.

    Attributes:
        kind: what a row is called by: its line in a CSV file, its place in an array, or its image
            file.
        names: of the rows: line numbers, from 1 and with the header; places from 0; or names of
            files.
        rows: ``(n_rows, *input_shape)``, float32 features or uint8 pixels.
        skipped: what lay in the folder beside its images.
    """

    kind: Literal["line", "row", "file"]
    names: tuple[int | str, ...]
    rows: Tensor
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one example.

    Attributes:
        kind, name: as in `Inputs`.
        values: for regression one value a target, in its own units.
        probabilities: of each class by its name, in the order of the network's outputs; empty for
            regression.
    """

    kind: Literal["line", "row", "file"]
    name: int | str
    values: tuple[float, ...]
    probabilities: dict[str, float]

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        row: dict[str, Any] = {self.kind: self.name}
        if not self.probabilities:
            prediction = self.values[0] if len(self.values) == 1 else list(self.values)
            return row | {"prediction": prediction}
        return row | {
            "prediction": self.class_name,
            "probability": self.probabilities[self.class_name],
            "probabilities": self.probabilities,
        }


def read_inputs(path: Path, description: ModelDescription) -> Inputs:
    """Read the inputs to predict.

    Args:
        path: for any network a ``.npy`` file with raw inputs, ``(n_rows, *input_shape)``. For one
            on features, a CSV file with a header row that has its columns, in any order and
            among others. For one on pixels an image of its size, in any format that
            Pillow reads by itself, or a folder of such images; colors become gray or gray becomes
            colors as the network needs it, and transparency is dropped.

    Raises:
        InputError: there is no such file, the network takes something else, a column is missing,
            a cell is no number, an array has another shape, or an image another size, or a file
            is damaged.
    """
    require_file(path, folder=True)
    if path.suffix == ".npy":
        return _read_array(path, description)
    if not description.pixels:
        return _read_table(path, description)
    return _read_folder(path, description) if path.is_dir() else _read_file(path, description)


def predict(model: LoadedModel, inputs: Inputs) -> list[Prediction]:
    """The predictions of all examples, in their order.

    Raises:
        InputError: a prediction is not finite.
    """
    outputs = model.predict(inputs.rows).double()
    finite = outputs.isfinite().all(1)
    if not finite.all():
        name = inputs.names[int(finite.int().argmin())]
        raise InputError(
            f"the prediction for {inputs.kind} {name} is not finite: its values are too large"
        )
    classes = model.description.class_names
    rows = (outputs.softmax(1) if classes else outputs).tolist()
    return [
        Prediction(inputs.kind, name, (), dict(zip(classes, row, strict=True)))
        if classes
        else Prediction(inputs.kind, name, tuple(row), {})
        for name, row in zip(inputs.names, rows, strict=True)
    ]


def to_csv(predictions: list[Prediction]) -> Iterator[list[Any]]:
    """The header and the rows of a CSV file.

    Columns: ``line``, ``row`` or ``file``, ``prediction`` (of several targets ``prediction_1`` and
    so on); for classes also ``probability``, and one column a class with its probability.
    """
    first = predictions[0]
    if first.probabilities:
        yield [first.kind, "prediction", "probability", *first.probabilities]
        for p in predictions:
            yield [p.name, p.class_name, p.probabilities[p.class_name], *p.probabilities.values()]
        return
    several = len(first.values) > 1
    names = [f"prediction_{i + 1}" for i in range(len(first.values))]
    yield [first.kind, *(names if several else ["prediction"])]
    for p in predictions:
        yield [p.name, *p.values]


def _takes(description: ModelDescription) -> str:
    """What the network takes, for messages."""
    if description.pixels:
        channels, height, width = description.input_shape
        color = {1: "gray ", 3: "color "}.get(channels, "")
        return f"{color}images of {height} x {width} pixels (height x width)"
    names = description.feature_names
    if not names:
        shape = ", ".join(map(str, ("n", *description.input_shape)))
        return f"a .npy file with an array ({shape})"
    return f"a CSV file with the columns {listed(names, SHOWN)}"


def _read_array(path: Path, description: ModelDescription) -> Inputs:
    shape = description.input_shape
    try:
        # Mapped: of a file that says too much of itself no memory is taken.
        values = np.lib.format.open_memmap(path, mode="r")
        if values.dtype.kind not in "buif":
            raise ValueError("it holds no array of numbers")
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"cannot read {path} as an array: {error}") from error
    if values.shape[1:] != shape or not len(values):
        raise InputError(
            f"{path} holds an array {values.shape}, but the model takes (n, "
            f"{', '.join(map(str, shape))})"
        )
    rows = torch.from_numpy(np.array(values, dtype=np.float32))
    finite = rows.flatten(1).isfinite().all(1)
    if not finite.all():
        raise InputError(f"row {int(finite.int().argmin())} of {path} holds NaN or infinity")
    return Inputs("row", tuple(range(len(rows))), rows)


def _read_table(path: Path, description: ModelDescription) -> Inputs:
    if not description.feature_names:
        raise InputError(f"{path} is no .npy file, but the model takes {_takes(description)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder, but the model takes {_takes(description)}")
    try:
        lines, values = tabular.read_features(path, description.feature_names)
    except InputError as error:
        if _is_image(path):
            raise InputError(
                f"{path} is an image, but the model takes {_takes(description)}"
            ) from error
        raise
    return Inputs("line", tuple(lines), torch.from_numpy(values))


def _read_file(path: Path, description: ModelDescription) -> Inputs:
    pixels = _read_image(path, description)
    if pixels is None:
        raise InputError(
            f"{path} is no image, but the model takes {_takes(description)}: give one or a folder "
            "of them"
        )
    return Inputs("file", (path.name,), pixels[None])


def _read_folder(folder: Path, description: ModelDescription) -> Inputs:
    try:
        paths = {path: path.is_file() for path in sorted(folder.iterdir())}
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    images: dict[str, Tensor] = {}
    skipped = []
    for path, is_file in paths.items():
        pixels = _read_image(path, description) if is_file else None
        if pixels is None:
            skipped.append(path.name)
        else:
            images[path.name] = pixels
    if not images:
        raise InputError(f"{folder} holds no image, but the model takes {_takes(description)}")
    return Inputs("file", tuple(images), torch.stack(list(images.values())), tuple(skipped))


def _open_image(path: Path) -> Image.Image:
    Image.init()
    # EPS is a program, which Pillow has Ghostscript run.
    return Image.open(path, formats=[name for name in Image.ID if name != "EPS"])


def _is_image(path: Path) -> bool:
    try:
        with _open_image(path):
            return True
    except Exception:  # see `_read_image`
        return False


def _read_image(path: Path, description: ModelDescription) -> Tensor | None:
    """The pixels ``(channels, height, width)`` uint8; None if the file is no image at all."""
    channels, height, width = description.input_shape
    if channels not in MODES:
        raise InputError(f"images have 1 or 3 channels, but the model takes {channels}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open_image(path) as image:
                if image.size != (width, height):
                    raise InputError(
                        f"{path} has {image.height} x {image.width} pixels (height x width), but "
                        f"the model takes {height} x {width}: give an image of that size"
                    )
                if image.mode.startswith(("I", "F")):  # Pillow would clip them
                    raise InputError(
                        f"{path} has more than 8 bits a pixel and channel: save it with 8"
                    )
                # Of an icon the size that it has inside may be another.
                pixels = np.array(image.convert(MODES[channels])).reshape(height, width, channels)
    except UnidentifiedImageError:
        return None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path} has many more pixels than the {height} x {width} that the model takes: give "
            "an image of that size"
        ) from None
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise InputError(f"cannot read {path} as an image: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)
