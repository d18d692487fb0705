"""Networks in files: write them, read them, and see to it that a file predicts the same.

Three formats, told apart by their suffix:

- ``.safetensors``: the weights (https://huggingface.co/docs/safetensors). The network is built
  anew from its model class and its configuration.
- ``.pt2``: an exported program (https://docs.pytorch.org/docs/stable/export.html), which needs
  torch but none of its code.
- ``.onnx``: a graph for other runtimes (https://onnx.ai).

Each holds a `ModelDescription` as JSON among its metadata.
"""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

import hw1.models
from hw1.analysis.description import METADATA_KEY, ModelDescription, import_path
from hw1.analysis.network import Network, predict
from hw1.analysis.programs import Run, export, from_onnx, from_pt2, reading, to_onnx, to_pt2
from hw1.datasets.dataset import feature_axis, per_feature
from hw1.errors import InputError, require_file, require_suffix
from hw1.places import MODEL_FILE, write_whole
from hw1.study_files import Named, load_definition, stored_definition
from hw1.training.augmentation import Augmentation
from hw1.training.networks import ModelClass

PROGRAMS = {".pt2": (to_pt2, from_pt2), ".onnx": (to_onnx, from_onnx)}
"""What writes and what reads them."""
TOLERANCE = 1e-4
"""By how much a file may predict differently, as a part of the predictions' scale.

A runtime may sum in another order. With the 6e-8 of single precision a sum of a thousand terms is
then off by 2e-6 or so (the root of their number), and a few layers add that up. A real mistake,
such as dropout that is left on or inputs that are normalized twice, shows in the first digits.
"""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network that was read from a file.

    Attributes:
        description: what the file says of it.
        run: predicts one batch.
    """

    description: ModelDescription
    run: Run

    def predict(self, inputs: Tensor) -> Tensor:
        """Predictions in the target's own units, or logits.

        Args:
            inputs: ``(n_rows, *input_shape)``, features or pixels as the data has them.

        Returns:
            ``(n_rows, n_outputs)``.
        """
        return predict(lambda rows: self.run(rows.float()), inputs)


def save(network: Network, description: ModelDescription, path: Path, inputs: Tensor) -> float:
    """Write a network to a file, having compared the predictions of both.

    The file appears as a whole or not at all.

    Args:
        network: the trained network; left as it is.
        description: what the file is to say of it.
        path: its suffix decides the format; folders that are missing are made.
        inputs: ``(n_rows, *input_shape)``, some raw inputs on which to compare.

    Returns:
        The largest absolute difference of a prediction, in the target's own units or of a logit.

    Raises:
        InputError: the suffix is another, packages are missing, the predictions are not finite,
            or the file cannot be written.
        RuntimeError: the file would predict something else; see `TOLERANCE`.
    """
    suffix = require_suffix(path, *MODEL_FILE)
    network = copy.deepcopy(network).cpu().eval()
    inputs = inputs.cpu()
    if suffix == ".safetensors":
        content = _to_safetensors(network, description)
        # The study file of a class that is not public is not at hand: a copy stands in for it.
        family = _public_classes().get(
            description.family, lambda *_, **__: copy.deepcopy(network.network)
        )
        model = _from_safetensors(content, path, lambda _: family)
    else:
        # Traced with another number of rows than those it is compared on.
        program = export(network, 3 if len(inputs) == 2 else 2, description.input_shape)
        write, read = PROGRAMS[suffix]
        content = write(program, description)
        model = LoadedModel(*read(content, path))
    difference = _compare(model, network, inputs, path)
    try:
        write_whole(content, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return difference


def load(path: Path, *, definition: Named = ()) -> LoadedModel:
    """Read a network from a file that `save` wrote.

    Args:
        path: the file; its suffix decides the format.
        definition: the study file that defines the model class of a ``.safetensors`` file, if it is
            neither one of `hw1.models` nor defined in a known study; the model file alone never
            decides what is run.

    Raises:
        InputError: the file is missing, damaged, of another kind or not written by `save`; its
            model class cannot be found; its weights don't fit its configuration; or packages are
            missing.
    """
    suffix = require_suffix(path, *MODEL_FILE)
    require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if suffix == ".safetensors":
        return _from_safetensors(content, path, lambda d: _find_class(d, definition, path))
    return LoadedModel(*PROGRAMS[suffix][1](content, path))


def _compare(model: LoadedModel, network: Network, inputs: Tensor, path: Path) -> float:
    """The largest absolute difference, of all examples together and of the first by itself."""
    found, expected = (
        torch.cat([each.predict(inputs), each.predict(inputs[:1])])
        for each in (model, LoadedModel(model.description, network))
    )
    if not expected.isfinite().all():
        raise InputError(
            f"the network for {path} predicts numbers that are not finite: choose another trial"
        )
    differences = (found - expected).abs()
    # Of each output: predictions near zero, too, are sums of numbers of the target's scale.
    scale = torch.maximum(expected.abs().amax(0), network.target_std)
    if not (differences <= TOLERANCE * scale).all():
        raise RuntimeError(
            f"{path} would predict something else than its network, by {float(differences.max())}"
        )
    return float(differences.max())


def _to_safetensors(network: Network, description: ModelDescription) -> bytes:
    # Copies, since safetensors refuses weights that share memory.
    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    return safetensors.torch.save(state, {METADATA_KEY: description.to_json()})


def _from_safetensors(
    content: bytes, path: Path, find: Callable[[ModelDescription], ModelClass]
) -> LoadedModel:
    with reading(path, "is damaged or no .safetensors file"):
        state = safetensors.torch.load(content)
    # The header: its length in 8 bytes, then JSON.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = (header.get("__metadata__") or {}).get(METADATA_KEY)
    description = ModelDescription.from_json(text, path)
    return LoadedModel(description, _build(find(description), description, state, path))


def _public_classes() -> dict[str, ModelClass]:
    families: list[ModelClass] = [getattr(hw1.models, name) for name in hw1.models.__all__]
    return {import_path(family): family for family in families}


def _find_class(description: ModelDescription, named: Named, path: Path) -> ModelClass:
    """The model class, which is never imported by the path that a file gives."""
    families = _public_classes()
    if description.family in families:
        return families[description.family]
    _, file = stored_definition(description.definition, named, origin=str(path))
    family = load_definition(file).model
    if import_path(family) != description.family:
        raise InputError(
            f"{path} needs {description.family}, but the model class of {file} is "
            f"{import_path(family)}: restore the study file with which it was trained"
        )
    return family


def _build(
    family: ModelClass, description: ModelDescription, state: dict[str, Tensor], path: Path
) -> Network:
    """The network of a description with the weights of a file, in evaluation mode."""
    shape, n_outputs = description.input_shape, description.n_outputs
    try:
        with _no_larger_than(state):
            plain = family(shape, n_outputs, **description.configuration["model"])
        augmentation = Augmentation(views=description.configuration.get("views", "one"))
    except Exception as error:  # a configuration may be anything, and so may what a class raises
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"the configuration in {path} builds no {description.family}: {reason}"
        ) from error
    of_inputs = per_feature(torch.zeros(shape[feature_axis(shape)]), shape)
    of_targets = torch.zeros(n_outputs)
    buffers = of_inputs, of_inputs.clone(), of_targets, of_targets.clone()
    network = Network(plain, *buffers, views=augmentation.views_of(shape))
    needed = {name: _form(value) for name, value in network.state_dict().items()}
    found = {name: _form(value) for name, value in state.items()}
    for name in sorted(needed.keys() | found.keys()):
        if needed.get(name) != found.get(name):
            raise InputError(
                f"the weights in {path} do not fit its configuration: {name} is "
                f"{found.get(name, 'missing')} and should be {needed.get(name, 'missing')}; save "
                "the model anew"
            )
    network.load_state_dict(state)
    return network.eval()


@contextmanager
def _no_larger_than(state: dict[str, Tensor]) -> Iterator[None]:
    """Stops building a network, which takes memory, long before it is of another size than a file.

    Some networks make parameters only to replace them, so several times as many are let through.
    """
    left = 4 * sum(value.numel() for value in state.values()) + 1_000_000

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise ValueError("it would have many more parameters than the file holds")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()  # type: ignore[no-untyped-call, unused-ignore]


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
