"""Figures that show what a network has learned.

Each is a function of a `Subject` in a module of its own; it returns None where the figure makes no
sense for the network or its data. To add one, name its function in `FIGURES`.
"""

from collections.abc import Callable

from hw1.analysis.figures.inside.maps import effective_receptive_fields, feature_maps
from hw1.analysis.figures.inside.maximization import maximized_outputs, maximized_units
from hw1.analysis.figures.inside.saliency import saliency
from hw1.analysis.figures.inside.subject import Subject, take_sample
from hw1.analysis.figures.inside.units import unit_profiles, units_along_input, unused_units
from hw1.analysis.figures.inside.weights import first_layer_weights, weight_histograms
from hw1.analysis.figures.marks import Figure
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import in_words

FIGURES: tuple[Callable[[Subject], Figure | None], ...] = (
    weight_histograms,
    first_layer_weights,
    units_along_input,
    unit_profiles,
    unused_units,
    feature_maps,
    effective_receptive_fields,
    maximized_outputs,
    maximized_units,
    saliency,
)
"""In the order in which they are shown."""


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
        dataset: the training data, of which a sample is used.
        seed: of the sample, and of what is searched for.
        say: is told of the progress.
    """
    subject = Subject(trained, initial, take_sample(dataset, seed), seed)
    figures = []
    for make in FIGURES:
        say(f"looking inside the network: {in_words(make.__name__)}")
        figure = make(subject)
        if figure is not None:
            figures.append(figure)
    return figures
