"""All figures of a study and of its best networks, in a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from optuna.trial import FrozenTrial
from sklearn.metrics import confusion_matrix as count_confusions

from hw1.analysis.ablation import stored_ablation
from hw1.analysis.curves import LearningCurves
from hw1.analysis.evaluation import stored_evaluation
from hw1.analysis.figures import search
from hw1.analysis.figures.ablation import ablation_figures
from hw1.analysis.figures.beside import beside_figures
from hw1.analysis.figures.gallery import Gallery, write
from hw1.analysis.figures.inside import inside_figures
from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.training import (
    confident_mistakes,
    confusion_matrix,
    fitted_function,
    fold_scores,
    learning_curves,
    predictions,
)
from hw1.analysis.results import StudyResults, require_writable
from hw1.analysis.training import cross_validate_again, fold_networks, retrain
from hw1.places import home
from hw1.training.configuration import words_of
from hw1.watching import UNWATCHED, Watcher
from hw1.words import number, value_text

COMPARED_TRIALS = 10
"""Whose scores by fold are shown together."""


def default_folder(results: StudyResults) -> Path:
    """Where the figures of a study are written to unless a folder is named."""
    return home() / "storage" / "figures" / results.file_stem


def analyze(
    results: StudyResults,
    trials: Sequence[FrozenTrial],
    folder: Path | None = None,
    *,
    watcher: Watcher = UNWATCHED,
) -> Path:
    """Draw the search, and how trials train and what their networks have learned.

    Each trial is trained again on the study's folds, and on all training data.

    Args:
        trials: completed ones.
        folder: where to write; None for `default_folder`.

    Returns:
        The page that shows all figures.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = folder or default_folder(results)
    require_writable(folder)
    watcher.say("drawing the search")
    sections = {"The search": search_figures(results)}
    for trial in trials:
        of_trial = {
            "Training": training_figures(results, trial, watcher=watcher),
            "Inside the network": network_figures(results, trial, watcher=watcher),
        }
        for heading, figures in of_trial.items():
            if len(trials) > 1:
                heading = f"Trial {trial.number}: {heading[0].lower()}{heading[1:]}"
                figures = [replace(f, name=f"trial{trial.number}_{f.name}") for f in figures]
            sections[heading] = figures
    evaluation = stored_evaluation(results)
    sections["Evaluation"] = beside_figures(evaluation) if evaluation else []
    ablation = stored_ablation(results)
    sections["Ablation"] = ablation_figures(ablation) if ablation else []
    watcher.say("writing the figures")
    return write(
        Gallery(results.name, tuple(trial.number for trial in trials), sections),
        folder,
        f"{results.name}: {'trial' if len(trials) == 1 else 'trials'} "
        + ", ".join(str(trial.number) for trial in trials),
        introduction(results, trials),
    )


def introduction(results: StudyResults, trials: Sequence[FrozenTrial]) -> list[str]:
    """What the figures are about."""
    settings, progress = results.settings, results.study.progress()
    metric = results.metric
    lines = [
        f"{settings.dataset}: {settings.n_rows} training examples in {settings.n_splits} folds. "
        f"{progress.done} trials by {settings.sampler}, {progress.pruned} of them pruned; the "
        f"value of a trial is its {metric.words}, the mean over the folds at the "
        f"best epoch ({metric.preference}).",
    ]
    for trial in trials:
        params = ", ".join(
            f"{words_of(name)} {value_text(value)}" for name, value in sorted(trial.params.items())
        )
        lines.append(f"Trial {trial.number}, {number(trial.values[0])}: {params}.")
    return lines


def search_figures(results: StudyResults) -> list[Figure]:
    """How the search went, as far as the study is large enough for a figure."""
    results.checked_trials()
    return search.search_figures(results.study)


def training_figures(
    results: StudyResults, trial: FrozenTrial, *, watcher: Watcher = UNWATCHED
) -> list[Figure]:
    """How a completed trial trains, and where the networks of its folds are right and wrong."""
    dataset, metric = results.search_data, results.metric
    is_function = dataset.task == "regression" and dataset.input_shape == (1,)
    found = cross_validate_again(results, [trial], keep_models=is_function, watcher=watcher)[
        trial.number
    ]
    assert found.outputs is not None, "a completed trial has a best epoch"
    others = [t for t in results.top(COMPARED_TRIALS) if t.number != trial.number]
    compared = results.study.ranked([trial, *others])
    figures: list[Figure | None] = [
        learning_curves(LearningCurves.found(found), metric),
        fold_scores([(t.number, t.user_attrs["fold_scores"]) for t in compared], metric),
    ]
    outputs, truth = found.outputs.double().numpy(), dataset.targets.cpu().double().numpy()
    if dataset.task == "classification":
        counts = count_confusions(truth, outputs.argmax(1), labels=range(dataset.n_outputs))
        figures.append(confusion_matrix(counts, dataset.class_names))
        figures.append(confident_mistakes(found.outputs, dataset))
    else:
        if found.state is not None:
            networks = fold_networks(results, trial, found.state)
            figures.append(fitted_function(networks, dataset, results.test_rows()))
        figures.append(predictions(truth[:, 0], outputs[:, 0], dataset.target_name))
    return [figure for figure in figures if figure is not None]


def network_figures(
    results: StudyResults, trial: FrozenTrial, *, watcher: Watcher = UNWATCHED
) -> list[Figure]:
    """What the network of a completed trial, trained on all training data, has learned."""
    retrained = retrain(results, trial, watcher=watcher)
    return inside_figures(
        retrained.networks[0],
        retrained.initial[0],
        results.dataset,
        seed=results.settings.seed,
        say=watcher.say,
    )
