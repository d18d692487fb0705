"""Figures that show what a network has learnt.

Each is a function of its own, and returns None where it makes no sense for the network or the
data; `inside_figures` makes all that do.
"""

from collections.abc import Callable

from hw1.analysis.figures.inside.filters import first_layer_weights
from hw1.analysis.figures.inside.input import units_along_input
from hw1.analysis.figures.inside.maps import effective_receptive_fields, feature_maps
from hw1.analysis.figures.inside.maximization import maximized_outputs, maximized_units
from hw1.analysis.figures.inside.profiles import unit_profiles
from hw1.analysis.figures.inside.saliency import saliency
from hw1.analysis.figures.inside.sample import take_sample
from hw1.analysis.figures.inside.unused import unused_units
from hw1.analysis.figures.inside.weights import weight_histograms
from hw1.analysis.figures.style import Figure
from hw1.analysis.network import Network
from hw1.datasets import Dataset

__all__ = [
    "effective_receptive_fields",
    "feature_maps",
    "first_layer_weights",
    "inside_figures",
    "maximized_outputs",
    "maximized_units",
    "saliency",
    "unit_profiles",
    "units_along_input",
    "unused_units",
    "weight_histograms",
]


def inside_figures(
    trained: Network,
    initial: Network,
    dataset: Dataset,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
) -> list[Figure]:
    """All figures of the network that make sense for it and for its data.

    Args:
        trained: the network.
        initial: the same before training.
        dataset: the training rows, of which a sample is used.
        seed: of the sample, and of what is searched for.
        say: hears of the progress.
    """
    sample = take_sample(dataset, seed)
    steps: list[tuple[str, Callable[[], Figure | None]]] = [
        ("weights", lambda: weight_histograms(trained, initial, sample)),
        ("first layer", lambda: first_layer_weights(trained, sample)),
        # Along a single feature there is more to see than by bins of the target.
        (
            "hidden units",
            lambda: (
                units_along_input(trained, sample, seed=seed)
                or unit_profiles(trained, sample, seed=seed)
            ),
        ),
        ("dead units", lambda: unused_units(trained, sample, seed=seed)),
        ("feature maps", lambda: feature_maps(trained, sample, seed=seed)),
        ("receptive fields", lambda: effective_receptive_fields(trained, sample, seed=seed)),
        ("images that maximise outputs", lambda: maximized_outputs(trained, sample, seed=seed)),
        ("images that maximise units", lambda: maximized_units(trained, sample, seed=seed)),
        ("saliency", lambda: saliency(trained, sample, seed=seed)),
    ]
    figures = []
    for what, make in steps:
        say(f"looking inside the network: {what}")
        figure = make()
        if figure is not None:
            figures.append(figure)
    return figures
