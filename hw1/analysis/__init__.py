"""From a study's best trials to the answer: evaluate, compare, look inside, export.

Example:
    >>> from hw1.analysis import evaluate, load_best, network_figures, open_study
    >>> results = open_study("regression_mlp-tpe")  # doctest: +SKIP
    >>> results.trials.sort_values("value").head()  # doctest: +SKIP
    >>> evaluate(results).cross_validation.estimate  # doctest: +SKIP
    >>> best = load_best(results)  # doctest: +SKIP
    >>> best.model(results.dataset.inputs)  # doctest: +SKIP
    >>> for figure in network_figures(results, results.trial()):  # doctest: +SKIP
    ...     display(figure)
"""

from hw1.analysis.ablation import ablate, ablation_table
from hw1.analysis.analyze import analyze, network_figures, search_figures, training_figures
from hw1.analysis.comparison import compare
from hw1.analysis.evaluation import evaluate
from hw1.analysis.export import export, load_best
from hw1.analysis.replay import replay
from hw1.analysis.results import list_studies, open_study
from hw1.analysis.searches import compare_searches
from hw1.analysis.standings import scores_table

__all__ = [
    "ablate",
    "ablation_table",
    "analyze",
    "compare",
    "compare_searches",
    "evaluate",
    "export",
    "list_studies",
    "load_best",
    "network_figures",
    "open_study",
    "replay",
    "scores_table",
    "search_figures",
    "training_figures",
]
