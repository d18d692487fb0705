"""The commands that a report quotes."""

import shlex
from collections.abc import Sequence

from hw1.analysis.evaluation import REPEATS
from hw1.analysis.report.content import Content, Problem, StudyContent
from hw1.places import program
from hw1.study_files import naming


class Commander:
    """Command lines that can be pasted.

    Args:
        options: what each is given besides, such as ``("--storage", "sqlite:///studies.db")``.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = options

    def _line(self, command: str, *arguments: object) -> str:
        return shlex.join([*program(), command, *map(str, arguments), *self.options])

    def run(self, study: StudyContent) -> str:
        """Runs the study, or continues it."""
        settings = study.settings
        if settings.outer_fold is not None:
            whole = study.name.rpartition("-outer")[0]
            folds = f"{settings.outer_fold[0]}x{settings.n_splits}"
            named = naming(settings.definition)
            return self._line("evaluate", whole, "--nested", folds, "--no-test", *named)
        arguments: list[object] = [settings.definition, "--name", study.name]
        arguments += ["--sampler", settings.sampler, "--pruner", settings.pruner]
        arguments += ["--trials", study.progress.n_trials, "--folds", settings.n_splits]
        arguments += ["--epochs", settings.epochs, "--seed", settings.seed]
        for flag in ("train_size", "train_csv", "test_csv", "target"):
            if getattr(settings, flag) is not None:
                arguments += ["--" + flag.replace("_", "-"), getattr(settings, flag)]
        if "bfloat16" not in {trial.kept.get("precision") for trial in study.trials}:
            arguments += ["--precision", "float32"]
        return self._line("run", *arguments)

    def evaluate(self, study: StudyContent, *, nested: bool = False) -> str:
        """Evaluates the best trial as it was evaluated, or for the first time."""
        found = study.evaluation
        arguments: list[object] = [study.name]
        if found is not None:
            part = found.cross_validation
            arguments += ["--repeats", len(part.scores), "--folds", part.n_splits]
            arguments += ["--seed", part.seed]
            if found.test is not None:
                arguments += ["--seeds", len(found.test.seeds)]
        if nested:
            stored = study.nested[-1] if study.nested else None
            folds = f"{stored.n_outer}x{stored.n_inner}" if stored else "5x3"
            arguments += ["--nested", folds, "--no-test"]
        return self._line("evaluate", *arguments, *_naming([study]))

    def compare(self, problem: Problem) -> str:
        """Compares the studies of a problem on the folds that most of them have."""
        arguments: list[object] = [study.name for study in problem.studies]
        if problem.n_repeats not in (0, REPEATS):
            arguments += ["--repeats", problem.n_repeats]
        if problem.n_splits != problem.studies[0].settings.n_splits:
            arguments += ["--folds", problem.n_splits]
        if problem.seed:
            arguments += ["--seed", problem.seed]
        return self._line("compare", *arguments, *_naming(problem.studies))

    def trials(self, study: StudyContent) -> str:
        """Prints all trials."""
        return self._line("trials", study.name, "--csv")

    def analyze(self, study: StudyContent) -> str:
        """Draws the figures of the best trial's network."""
        return self._line("analyze", study.name, *_naming([study]))

    def report(self, content: Content, author: str, title: str | None) -> str:
        """Writes this report."""
        named = [study.name for study in content.studies]
        given = [*(["--author", author] if author else []), *(["--title", title] if title else [])]
        return self._line("report", *named, *given, *_naming(content.studies))


def _naming(studies: Sequence[StudyContent]) -> list[str]:
    return naming(*(study.settings.definition for study in studies))
