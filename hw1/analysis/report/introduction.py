"""The first section of a report: what was asked of which data."""

import re
from collections.abc import Sequence
from pathlib import Path

from hw1.analysis.figures.marks import Image
from hw1.analysis.report.commands import Commander
from hw1.analysis.report.content import Content, Problem, StudyContent
from hw1.analysis.report.document import Block, Column, Heading, Paragraph, Table
from hw1.analysis.report.wording import Code, Ref, Strong, Text, line, listed, named
from hw1.words import DASH, counted, integer

MOST_DESCRIBED = 3
"""Data sets of which the text tells more than the table."""

_TASKS = {
    "regression": "predict a number",
    "classification": "tell classes apart",
}


_SEARCHED = {
    "optimisers": ("optimizer",),
    "learning-rate schedules": ("schedule",),
    "initialisation schemes": ("initialization",),
    "L2 and L1 penalties": ("weight_decay", "l1"),
    "dropout": ("dropout",),
    "augmented images": ("flip", "shift", "erase"),
}


def introduction(content: Content, commander: Commander) -> list[Block]:
    """The task, the data, what was asked; and which studies are not complete."""
    studies = content.studies
    blocks: list[Block] = [
        Heading("Introduction"),
        Paragraph(_goals(content)),
        Paragraph(_strategy(content)),
    ]
    unfinished = [study for study in studies if not study.progress.complete]
    if unfinished:
        blocks.append(Paragraph(_provisional(unfinished, commander)))
    return [*blocks, _data_table(content.problems), *_descriptions(content.problems)]


def _goals(content: Content) -> Text:
    studies = content.studies
    by_task: dict[str, list[StudyContent]] = {}
    for study in studies:
        by_task.setdefault(study.task, []).append(study)
    tasks = listed(
        [
            line(
                f"to {_TASKS[task]} (",
                named([study.name for study in those]),
                f"; scored by {those[0].metric.words}, {those[0].metric.preference})",
            )
            for task, those in by_task.items()
        ]
    )
    n, problems = len(studies), len(content.problems)
    return line(
        f"This report presents {counted(n, 'hyperparameter study', 'hyperparameter studies')} of "
        f"neural networks on {counted(problems, 'data set')} (",
        Ref("data"),
        "). The networks are trained ",
        tasks,
        ". A study searches for the architecture, the optimisation and the regularisation with "
        "the best score under cross-validation. The questions are",
        *(" ", *_questions(content), "."),
    )


def _questions(content: Content) -> Text:
    asked = ["which hyperparameters are the best", "how good their network is on rows unseen"]
    if any(len(problem.studies) > 1 for problem in content.problems):
        asked.append("whether one search found better ones than another")
    if any(study.analysed for study in content.studies):
        asked.append("what the networks have learnt")
    return listed(asked)


def _strategy(content: Content) -> Text:
    """How, in a few words; the next section has the rest."""
    names = {name for study in content.studies for name in study.distributions}
    searched = [what for what, those in _SEARCHED.items() if names.intersection(those)]
    families = sorted({study.family for study in content.studies})
    beside = line(" Beside their architecture, ", listed(searched), " are searched.")
    return line(
        "The networks are of the ",
        "family " if len(families) == 1 else "families ",
        listed([(Code(family),) for family in families], 4),
        ".",
        beside if searched else "",
        " Every configuration is cross-validated on folds that all trials of a study share, and "
        "scored by the mean over the folds; early stopping and pruning look at the same mean. What "
        "is chosen is evaluated anew, on fresh folds and on test rows that no search has touched.",
    )


def _provisional(unfinished: Sequence[StudyContent], commander: Commander) -> Text:
    parts = [
        line(
            Code(study.name),
            f" has {integer(study.progress.done)} of {counted(study.progress.n_trials, 'trial')}",
            f" ({study.progress.state})",
        )
        for study in unfinished
    ]
    many = len(unfinished) > 1
    return line(
        Strong("Provisional. "),
        listed(parts, 3),
        f". {'They go' if many else 'It goes'} on with ",
        Code(commander.run(unfinished[0])),
        " and the like" if many else "",
        f"; until then {'their' if many else 'its'} results may change.",
    )


def _data_table(problems: Sequence[Problem]) -> Table:
    rows = [_data_row(problem.studies) for problem in problems]
    unknown = any(not all(shapes(problem.studies)) for problem in problems)
    return Table(
        "data",
        ("The data." + (" A dash is what no stored figure shows." if unknown else ""),),
        [
            Column("data"),
            Column("task"),
            Column("training rows", right=True),
            Column("inputs"),
            Column("outputs"),
            Column("test rows", right=True),
            Column("studies", share=1),
        ],
        rows,
    )


def _data_row(studies: Sequence[StudyContent]) -> list[Text]:
    first = studies[0]
    settings = first.settings
    inputs, outputs = shapes(studies)
    tested = next((t.n_rows for s in studies for t in s.tests), None)
    if tested is not None:
        test = integer(tested)
    else:
        test = "not scored yet" if first.has_test_rows else "none"
    return [
        (settings.dataset,),
        (first.task,),
        (integer(settings.n_rows),),
        (inputs or DASH,),
        (outputs or DASH,),
        (test,),
        listed([study.name for study in studies]),
    ]


def shapes(studies: Sequence[StudyContent]) -> tuple[str, str]:
    """Inputs and outputs of the networks, as far as storage shows them; empty if it does not.

    The number of classes is that of a stored confusion matrix; the rest is read off stored
    figures, since no data are loaded.
    """
    inputs = outputs = ""
    for confusion in (trial.kept.get("confusion") for s in studies for trial in s.trials):
        outputs = f"{len(confusion)} classes" if confusion else outputs
    for figure in (figure for study in studies for figure in study.network_figures):
        marks = [mark for panel in figure.panels for mark in panel.marks]
        across, up = figure.panels[0].x, figure.panels[0].y
        images = [mark for mark in marks if isinstance(mark, Image)]
        match figure.name:
            case "fitted_function":
                inputs, outputs = f"1 feature, {across.label}", up.label
            case "predictions":
                outputs = outputs or across.label.removesuffix(", actual")
            case "confusion_matrix" if across.ticks:
                outputs = f"{len(across.ticks)} classes"
            case "confident_mistakes" if images:
                pixels = images[0].pixels.shape
                inputs = f"{pixels[0]} × {pixels[1]} pixels"
            case "inside_first_layer" if up.ticks:
                shown = re.search(r"of ([0-9]+) features", figure.caption)
                inputs = inputs or f"{shown[1] if shown else len(up.ticks)} features"
    return inputs, outputs


def _descriptions(problems: Sequence[Problem]) -> list[Block]:
    """Where the rows come from, for the first data sets."""
    told: dict[str, None] = {}
    for problem in problems[:MOST_DESCRIBED]:
        study = problem.studies[0]
        settings = study.settings
        name = settings.dataset
        if settings.train_csv is not None:
            beside = (
                f"its test rows from {Path(settings.test_csv).name}"
                if settings.test_csv
                else "it has no test rows"
            )
            told[f"{name} is read from {Path(settings.train_csv).name}, {beside}."] = None
        elif study.data_words:
            told[f"{name}: “{study.data_words}”"] = None
        if settings.train_size is not None:
            used = f"{integer(settings.n_rows)} training rows of {name}"
            told[f"The {used} are a part of them, drawn evenly."] = None
        if settings.outer_fold is not None:
            told[f"Of {name} an outer fold of a nested cross-validation is left out."] = None
    return [Paragraph((" ".join(told),))] if told else []
