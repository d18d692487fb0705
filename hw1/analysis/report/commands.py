"""The commands that a report quotes, and those that would fill what it lacks."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hw1.analysis.evaluation import REPEATS
from hw1.analysis.report.facts import Facts, Problem, StudyFacts
from hw1.job import FLAGS
from hw1.places import program
from hw1.study_files import IN_PYTHON, naming
from hw1.words import counted, listed

_FLAGS = FLAGS | {"n_repeats": "repeats", "n_seeds": "seeds"}


class Commander:
    """Command lines that can be pasted.

    Where the definition or the data of a study were given in Python they are calls there:
    ``definition`` and ``data`` are what `hw1.run` was given, ``results`` is what it returned, and
    ``studies`` is a list of such results.

    Args:
        facts: all that the report says.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def _line(self, *arguments: str, named: Sequence[str] = (), **options: Any) -> str:
        words = [*program(), *arguments]
        for name, value in options.items():
            flag = _FLAGS.get(name, name).replace("_", "-")
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            on = [f"--{flag}"] if value is True else [f"--{flag}", text]
            words += [f"--no-{flag}"] if value is False else on
        return shlex.join([*words, *named, *self.facts.options])

    def _analysis(
        self, command: str, studies: Sequence[StudyFacts], given: str = "results", **options: Any
    ) -> str:
        if any(study.in_python for study in studies):
            function = "report.write_report" if command == "report" else command
            return _call(f"hw1.analysis.{function}", given, **options)
        named = naming(*(study.settings.definition for study in studies))
        names = [study.name for study in studies]
        return self._line(command, *names, named=named, **options)

    def run(self, study: StudyFacts) -> str:
        """Runs the study, or continues it."""
        settings = study.settings
        if settings.outer_fold is not None:
            whole = replace(study, name=study.name.rpartition("-outer")[0])
            nested = settings.outer_fold[0], settings.n_splits
            return self._analysis("evaluate", [whole], nested=nested, test=False)
        options: dict[str, Any] = {
            "name": study.name,
            "sampler": settings.sampler,
            "pruner": settings.pruner,
            "trials": study.progress.n_trials,
            "n_splits": settings.n_splits,
            "epochs": settings.epochs,
            "seed": settings.seed,
        }
        for name in ("train_size", "train_csv", "test_csv", "target"):
            if getattr(settings, name) is not None:
                options[name] = getattr(settings, name)
        if "bfloat16" not in study.kept("precision"):
            options["precision"] = "float32"
        if not study.in_python:
            return self._line("run", settings.definition, **options)
        in_python = settings.definition == IN_PYTHON
        definition = "definition" if in_python else repr(settings.definition)
        data = ", data=data" if study.is_given else ""
        return _call("hw1.run", definition + data, **options)

    def evaluate(self, study: StudyFacts, *, nested: bool = False) -> str:
        """Evaluates the best trial as it was evaluated, or for the first time."""
        options: dict[str, Any] = {}
        if study.evaluation is not None:
            part, test = study.evaluation.cross_validation, study.evaluation.test
            if part is not None:
                options |= {"n_repeats": len(part.scores), "n_splits": part.n_splits}
                options |= {"seed": part.seed}
            options |= {"n_seeds": len(test.seeds)} if test else {}
        if nested:
            stored = study.nested[-1] if study.nested else None
            folds = (stored.n_outer, stored.n_inner) if stored else (5, 3)
            options |= {"nested": folds, "test": False}
        return self._analysis("evaluate", [study], **options)

    def ablate(self, study: StudyFacts) -> str:
        """Changes one thing at a time, as it was done or for the first time."""
        options: dict[str, Any] = {}
        if study.ablation is not None:
            base = study.ablation.base
            own = {"n_repeats": REPEATS, "n_splits": study.settings.n_splits}
            own |= {"epochs": study.settings.epochs, "seed": 0}
            options = {n: getattr(base, n) for n, v in own.items() if getattr(base, n) != v}
            if base.n_rows != study.settings.n_rows:
                options["train_size"] = base.n_rows
            if base.trial is None:
                options["defaults"] = True
        return self._analysis("ablate", [study], **options)

    def compare(self, problem: Problem) -> str:
        """Compares the studies of a problem on the folds that most of them have."""
        n_repeats, n_splits, seed = problem.repeats
        options = {
            "n_repeats": n_repeats if n_repeats != REPEATS else 0,
            "n_splits": n_splits if n_splits != problem.studies[0].settings.n_splits else 0,
            "seed": seed,
        }
        given = {name: value for name, value in options.items() if value}
        return self._analysis("compare", problem.studies, "studies", **given)

    def trials(self, study: StudyFacts) -> str:
        """Prints all trials."""
        return self._line("trials", study.name, "--csv")

    def analyze(self, study: StudyFacts) -> str:
        """Draws the figures of the best trial's network."""
        return self._analysis("analyze", [study], "results, [results.trial()]")

    def report(self) -> str:
        """Writes this report."""
        given = {"author": self.facts.author, "title": self.facts.title}
        options = {name: text for name, text in given.items() if text}
        return self._analysis("report", self.facts.studies, "studies", **options)

    def everything(self) -> Iterator[str]:
        """Does again all that the report tells of."""
        for study in self.facts.studies:
            yield self.run(study)
            if study.evaluation is not None:
                yield self.evaluate(study)
            if study.nested:
                yield self.evaluate(study, nested=True)
            if study.ablation is not None:
                yield self.ablate(study)
            if study.analyzed:
                yield self.analyze(study)
        yield from (self.compare(problem) for problem in self.facts.problems if problem.comparison)
        yield self.report()

    def missing(self) -> Iterator[tuple[str, str]]:
        """What a report could hold and storage lacks, each with the command that would fill it."""
        for study in self.facts.studies:
            name, done, nested = study.name, study.evaluation, study.nested[-1:]
            left = study.progress.n_trials - study.progress.done
            if not study.progress.complete:
                what = counted(left, "trial") if left > 0 else "the final round"
                yield f"{what} of {name}", self.run(study)
            if done is None:
                yield f"the evaluation of {name}", self.evaluate(study)
            elif done.test is None and study.has_test_set:
                yield f"the test scores of {name}", self.evaluate(study)
            elif not done.baselines:
                yield f"the baselines of {name}", self.evaluate(study)
            what = f"a nested cross-validation of {name}"
            if nested:
                folds = counted(nested[0].n_outer - len(nested[0].scores), "outer fold")
                what = f"{folds} of the nested cross-validation of {name}"
            if study.finished_nested is None and study.settings.outer_fold is None:
                yield what, self.evaluate(study, nested=True)
            if study.best.number not in study.analyzed:
                what = f"figures of the network of trial {study.best.number} of {name}"
                yield what, self.analyze(study)
        for problem in self.facts.problems:
            if problem.lead.ablation is None:
                yield f"an ablation of {problem.lead.name}", self.ablate(problem.lead)
            if problem.left_out:
                names = listed([study.name for study in problem.left_out])
                yield f"the comparison with {names}", self.compare(problem)


def _call(function: str, given: str, **options: Any) -> str:
    """A call in Python."""
    return f"{function}({', '.join([given, *(f'{k}={v!r}' for k, v in options.items())])})"
