"""The commands that a report quotes, and those that would fill what it lacks."""

import shlex
from collections.abc import Iterator, Sequence

from hw1.analysis.evaluation import REPEATS
from hw1.analysis.report.facts import Facts, Problem, StudyFacts
from hw1.places import program
from hw1.study_files import naming
from hw1.words import counted, listed


class Commander:
    """Command lines that can be pasted.

    Args:
        options: what each is given besides, such as ``("--storage", "sqlite:///studies.db")``.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = options

    def _line(self, command: str, *arguments: object) -> str:
        return shlex.join([*program(), command, *map(str, arguments), *self.options])

    def run(self, study: StudyFacts) -> str:
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
        if "bfloat16" not in study.kept("precision"):
            arguments += ["--precision", "float32"]
        return self._line("run", *arguments)

    def evaluate(self, study: StudyFacts, *, nested: bool = False) -> str:
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
        n_repeats, n_splits, seed = problem.repeats
        if n_repeats not in (0, REPEATS):
            arguments += ["--repeats", n_repeats]
        if n_splits != problem.studies[0].settings.n_splits:
            arguments += ["--folds", n_splits]
        if seed:
            arguments += ["--seed", seed]
        return self._line("compare", *arguments, *_naming(problem.studies))

    def trials(self, study: StudyFacts) -> str:
        """Prints all trials."""
        return self._line("trials", study.name, "--csv")

    def analyze(self, study: StudyFacts) -> str:
        """Draws the figures of the best trial's network."""
        return self._line("analyze", study.name, *_naming([study]))

    def report(self, facts: Facts, author: str, title: str | None) -> str:
        """Writes this report."""
        named = [study.name for study in facts.studies]
        given = [*(["--author", author] if author else []), *(["--title", title] if title else [])]
        return self._line("report", *named, *given, *_naming(facts.studies))

    def everything(self, facts: Facts, author: str, title: str | None) -> Iterator[str]:
        """Does again all that the report tells of."""
        for study in facts.studies:
            yield self.run(study)
            if study.evaluation is not None:
                yield self.evaluate(study)
            if study.nested:
                yield self.evaluate(study, nested=True)
            if study.analyzed:
                yield self.analyze(study)
        yield from (self.compare(problem) for problem in facts.problems if problem.comparison)
        yield self.report(facts, author, title)

    def missing(self, facts: Facts) -> Iterator[tuple[str, str]]:
        """What a report could hold and storage lacks, each with the command that would fill it."""
        for study in facts.studies:
            name, done, nested = study.name, study.evaluation, study.nested[-1:]
            left = study.progress.n_trials - study.progress.done
            if not study.progress.complete:
                yield f"{counted(left, 'trial')} of {name}", self.run(study)
            if done is None:
                yield f"the evaluation of {name}", self.evaluate(study)
            elif done.test is None and study.has_test_set:
                yield f"the test scores of {name}", self.evaluate(study)
            if nested and not study.finished_nested:
                folds = counted(nested[0].n_outer - len(nested[0].scores), "outer fold")
                what = f"{folds} of the nested cross-validation of {name}"
                yield what, self.evaluate(study, nested=True)
            elif not nested and study.settings.outer_fold is None:
                what = f"a nested cross-validation of {name}"
                yield what, self.evaluate(study, nested=True)
            if study.best.number not in study.analyzed:
                what = f"figures of the network of trial {study.best.number} of {name}"
                yield what, self.analyze(study)
        for problem in facts.problems:
            if problem.left_out:
                names = listed([study.name for study in problem.left_out])
                yield f"the comparison with {names}", self.compare(problem)


def _naming(studies: Sequence[StudyFacts]) -> list[str]:
    return naming(*(study.settings.definition for study in studies))
