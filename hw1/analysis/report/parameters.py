"""Tables of hyperparameters: what is searched, and what was found."""

from collections.abc import Sequence
from typing import Any

from hw1.analysis.report.content import StudyContent, Trial
from hw1.analysis.report.document import Column, Table
from hw1.analysis.report.wording import (
    Code,
    Text,
    distribution_text,
    line,
    named,
    values_text,
)
from hw1.words import DASH, in_words, integer, natural, plus_minus, value_text

SPACES_A_TABLE = 3
STUDIES_A_TABLE = 5

_GROUPS = {
    "Optimisation": (
        "optimizer",
        "lr",
        "schedule",
        "momentum",
        "nesterov",
        "batch_size",
        "initialization",
    ),
    "Regularisation": (
        "weight_decay",
        "l1",
        "dropout",
        "label_smoothing",
        "max_grad_norm",
        "patience",
        "flip",
        "shift",
        "erase",
    ),
}
"""Of `hw1.training.Configuration`, and dropout; every other parameter is of the architecture."""


def space_tables(spaces: Sequence[Sequence[StudyContent]]) -> list[Table]:
    """What is searched: a row a parameter, a column a search space; several tables if many."""
    tables = []
    for i in range(0, len(spaces), SPACES_A_TABLE):
        some = spaces[i : i + SPACES_A_TABLE]
        columns = [_searched(studies) for studies in some]
        tables.append(
            Table(
                f"space-{i // SPACES_A_TABLE}",
                line(
                    "The search space of ",
                    named([study.name for studies in some for study in studies]),
                    ". Ranges with “log” are searched evenly in the logarithm.",
                ),
                [
                    Column("parameter"),
                    *(Column(heads(studies), share=1) for studies in some),
                ],
                _rows(columns),
            )
        )
    return tables


def heads(studies: Sequence[StudyContent]) -> str:
    """What a search space is called above its column."""
    study = studies[0]
    return f"{study.settings.definition.rpartition('/')[2].removesuffix('.py')} ({study.family})"


def best_tables(studies: Sequence[StudyContent]) -> list[Table]:
    """The hyperparameters of the best trials: a row a parameter, a column a study."""
    tables = []
    for i in range(0, len(studies), STUDIES_A_TABLE):
        some = studies[i : i + STUDIES_A_TABLE]
        columns = [{n: value_text(v) for n, v in s.best.params.items()} for s in some]
        facts: list[tuple[str, list[Text]]] = [
            ("trial", [(str(s.best.number),) for s in some]),
            ("value", [(plus_minus(s.best.value, s.best.kept.get("std")),) for s in some]),
            ("best epoch", [(_epochs(s.best),) for s in some]),
            ("weights and biases", [(_size(s.best),) for s in some]),
        ]
        tables.append(
            Table(
                f"best-{i // STUDIES_A_TABLE}",
                (
                    "The best trial of each study. Its value is the mean over the folds, with "
                    "the standard deviation between them; a dash is a parameter that it was not "
                    "given.",
                ),
                [Column("parameter"), *(Column(s.name, share=1) for s in some)],
                [*([(name,), *cells] for name, cells in facts), *_rows(columns)],
            )
        )
    return tables


def _epochs(trial: Trial) -> str:
    best, trained = trial.kept.get("best_epoch"), trial.kept.get("epochs")
    return f"{best} of {trained}" if best is not None else DASH


def _size(trial: Trial) -> str:
    size = trial.kept.get("n_parameters")
    return integer(size) if size is not None else DASH


def _rows(columns: Sequence[dict[str, str]]) -> list[list[Text]]:
    """A row for each parameter of any column, under the heading of its group."""
    names = list(dict.fromkeys(name for column in columns for name in sorted(column, key=natural)))
    # A parameter for a part of the space, such as sgd_lr, stands beside that of the whole.
    groups = {
        group: [n for known in those for n in names if n == known or n.endswith(f"_{known}")]
        for group, those in _GROUPS.items()
    }
    known = [name for those in groups.values() for name in those]
    groups = {"Architecture": [name for name in names if name not in known]} | groups
    rows: list[list[Text]] = []
    for group, those in groups.items():
        if those:
            rows.append([(group,)])
            rows += [
                [(in_words(name),), *((column.get(name, DASH),) for column in columns)]
                for name in those
            ]
    return rows


def _searched(studies: Sequence[StudyContent]) -> dict[str, str]:
    """Each parameter's choices or range, and when it is suggested."""
    return {
        name: "; ".join(filter(None, ["; or ".join(map(distribution_text, seen)), when]))
        for name, seen in studies[0].distributions.items()
        for when in [_condition(name, studies)]
    }


def _condition(name: str, studies: Sequence[StudyContent]) -> str:
    """When a parameter is suggested that not every configuration has; empty for the others.

    Of a definition that has changed since, all that is known is how many trials have it.
    """
    known = studies[0].conditions
    if known is not None:
        return known.get(name, "")
    trials = [trial for study in studies for trial in study.trials if trial.trained]
    n = sum(name in trial.params for trial in trials)
    return "" if n == len(trials) else f"in {n} of {len(trials)} trials" if n else "in no trial"


def grid_text(study: StudyContent) -> Text | None:
    """The values of a grid; None if the study has none."""
    cells = study.settings.grid
    if cells is None:
        return None
    values: dict[str, list[Any]] = {}
    for cell in cells:
        for name, value in cell.items():
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    varied = {name: those for name, those in values.items() if len(those) > 1}
    held = {name: those[0] for name, those in values.items() if name not in varied}
    return line(
        "The grid of ",
        Code(study.name),
        f" has {integer(len(cells))} cells: ",
        "; ".join(f"{in_words(name)} {values_text(those)}" for name, those in varied.items()),
        *(
            [". It holds ", ", ".join(f"{in_words(n)} {value_text(v)}" for n, v in held.items())]
            if held
            else []
        ),
        ".",
    )


def constants_text(studies: Sequence[StudyContent]) -> str:
    """What of the training is the same in all trials and at work, but not searched."""
    configurations = [
        trial.kept["configuration"]
        for study in studies
        for trial in study.trials
        if "configuration" in trial.kept
    ]
    if not configurations:
        return ""
    searched = studies[0].distributions
    same = {
        name: value
        for name, value in configurations[0].items()
        if name not in ("model", *searched)
        and all(other.get(name) == value for other in configurations)
        and value not in (0, None, False)
    }
    return ", ".join(
        f"{in_words(name)} {value_text(value)}" for name, value in sorted(same.items())
    )
