"""A trial's network, trained on all training data, in memory or in a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from hw1.analysis.description import ModelDescription, import_path
from hw1.analysis.model_files import save
from hw1.analysis.network import Network
from hw1.analysis.results import StudyResults, require_writable
from hw1.analysis.training import retrain
from hw1.places import home
from hw1.provenance import provenance
from hw1.study_files import naming
from hw1.training import Configuration
from hw1.watching import UNWATCHED, Watcher

COMPARED = 64
"""Training rows on which a file's predictions are compared with the network's."""


@dataclass(frozen=True, eq=False)
class Best:
    """A trained network.

    Attributes:
        model: takes raw inputs, ``model(results.dataset.inputs)``.
        configuration: what it was trained with.
        provenance: study, trial, seeds, versions, machine, data.
        initial: the same network before training.
    """

    model: Network
    configuration: Configuration
    provenance: dict[str, Any]
    initial: Network


def load_best(
    results: StudyResults, trial: int | None = None, *, watcher: Watcher = UNWATCHED
) -> Best:
    """The network of the best trial, or of another: trained on all training data, as `evaluate`
    does it.

    It is the network of the first seed, which `evaluate` scores first and `export` writes.

    Example:
        >>> best = load_best(open_study("regression_mlp-tpe"))  # doctest: +SKIP
        >>> best.model(torch.tensor([[0.5]]))  # doctest: +SKIP

    Raises:
        InputError: no trial has completed, or that one has not.
    """
    chosen, settings = results.trial(trial), results.settings
    retrained = retrain(results, chosen, watcher=watcher)
    made = provenance(results.job.device) | {
        "study": results.name,
        "trial": chosen.number,
        "study_seed": settings.seed,
        "network_seed": retrained.seeds[0],
        "epochs": retrained.epochs,
        "dataset": settings.dataset,
        "fingerprint": settings.fingerprint,
        "n_rows": settings.n_rows,
        "device": str(results.job.device),
    }
    return Best(retrained.networks[0], retrained.configuration, made, retrained.initial[0])


def default_path(results: StudyResults, trial: FrozenTrial) -> Path:
    """Where a network is exported to unless a file is named."""
    name = f"{results.file_stem}-trial{trial.number}.safetensors"
    return home() / "storage" / "models" / name


def export(
    results: StudyResults,
    trial: int | None = None,
    output: Path | None = None,
    *,
    watcher: Watcher = UNWATCHED,
) -> tuple[Path, float]:
    """Write the network of the best trial, or of another, to a file, and check that file.

    Args:
        trial: its number; None for the best.
        output: ends in ``.safetensors``, ``.pt2`` or ``.onnx``; None for `default_path`.

    Returns:
        The file, and the largest difference of a prediction by it from one by the network.

    Raises:
        InputError: see `hw1.analysis.model_files.save`.
    """
    chosen = results.trial(trial)
    path = output or default_path(results, chosen)
    require_writable(path.parent)
    best, dataset = load_best(results, chosen.number, watcher=watcher), results.dataset
    description = ModelDescription(
        family=import_path(results.definition.model),
        definition=results.settings.definition,
        task=dataset.task,
        input_shape=dataset.input_shape,
        n_outputs=dataset.n_outputs,
        class_names=dataset.class_names,
        feature_names=dataset.feature_names,
        target_name=dataset.target_name,
        pixels=not dataset.inputs.is_floating_point(),
        configuration=best.configuration.to_json(),
        study=results.name,
        trial=chosen.number,
        metric=results.metric.name,
        value=float(chosen.values[0]),
        seed=results.settings.seed,
        epochs=best.provenance["epochs"],
        provenance=best.provenance,
    )
    watcher.say(f"writing and checking {path.name}")
    difference = save(best.model, description, path, dataset.inputs[:COMPARED])
    return path, difference


def usage(path: Path, results: StudyResults) -> list[str]:
    """Lines of Python that use a file that `export` wrote, without hw1 where that can be."""
    shape = (1, *results.dataset.input_shape)
    if path.suffix == ".pt2":
        return [
            "import torch",
            f"model = torch.export.load({str(path)!r}).module()",
            f"print(model(torch.zeros{shape}))  # raw inputs as float32, in batches of any size",
        ]
    if path.suffix == ".onnx":
        return [
            "import numpy, onnxruntime",
            f"session = onnxruntime.InferenceSession({str(path)!r})",
            f'print(session.run(None, {{"inputs": numpy.zeros({shape}, "float32")}}))'
            "  # raw inputs, in batches of any size",
        ]
    where, file = "", results.settings.definition
    if naming(file) and not import_path(results.definition.model).startswith("hw1."):
        where = f", definition={file!r}"
    return [
        "import torch",
        "from pathlib import Path",
        "from hw1.analysis.model_files import load  # the file holds weights, which need hw1",
        f"model = load(Path({str(path)!r}){where})",
        f"print(model.predict(torch.zeros{shape}))  # raw inputs, in batches of any size",
    ]
