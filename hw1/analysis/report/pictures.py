"""Which figures a report shows, and where."""

from hw1.analysis.figures.marks import Figure
from hw1.analysis.report.content import Content, Problem, StudyContent
from hw1.analysis.report.document import Picture
from hw1.analysis.report.wording import named

MAIN = (
    ("fitted_function", "confusion_matrix", "predictions"),
    ("search_history",),
    ("inside_weights",),
    ("inside_units", "inside_profiles"),
    ("inside_receptive_fields", "inside_first_layer"),
    ("learning_curves",),
    ("search_distribution",),
    ("inside_maximized_outputs",),
    ("search_importances",),
)
"""What may stand in the main part: the most telling first, and of each line the first that is
there."""

_IN_ORDER = (
    "search_history",
    "learning_curves",
    "search_distribution",
    "search_importances",
    "fitted_function",
    "confusion_matrix",
    "predictions",
    "inside_weights",
    "inside_units",
    "inside_profiles",
    "inside_receptive_fields",
    "inside_first_layer",
    "inside_maximized_outputs",
)


def pictures(content: Content, study: StudyContent) -> list[Picture]:
    """All figures of a study."""
    number = content.studies.index(study)
    return [
        Picture(f"figure-{number}-{figure.name}", figure, named([study.name]))
        for figure in (*study.search_figures, *study.network_figures)
    ]


def main_pictures(content: Content, problem: Problem) -> list[Picture]:
    """Those that may stand in the main part: of the problem's best study, and of all searches."""
    found = {picture.figure.name: picture for picture in pictures(content, problem.lead)}
    if problem.distribution is not None:
        number = content.problems.index(problem)
        names = named([study.name for study in problem.studies], 3)
        key = f"figure-problem-{number}"
        found["search_distribution"] = Picture(key, problem.distribution, names)
    else:
        found.pop("search_distribution", None)
    chosen = {next((n for n in names if n in found), "") for names in MAIN}
    return [found[name] for name in _IN_ORDER if name in chosen]


def rank(figure: Figure) -> int:
    """How telling a figure of the main part is: 0 for the most."""
    return next(i for i, names in enumerate(MAIN) if figure.name in names)
