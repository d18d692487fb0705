"""What a report lacks since it is not in storage, with the commands that would put it there."""

from collections.abc import Iterator, Sequence

from hw1.analysis.report.commands import Commander
from hw1.analysis.report.content import Content, Problem, StudyContent
from hw1.analysis.report.document import Block, Column, Paragraph, Table
from hw1.analysis.report.wording import Code, Ref, Strong, Text, line, listed
from hw1.words import counted


def missing(content: Content, commander: Commander) -> list[Block]:
    """A sentence and a table; nothing if nothing is missing."""
    absent = [part for study in content.studies for part in _of_study(study, commander)]
    absent += [part for problem in content.problems for part in _of_problem(problem, commander)]
    if not absent:
        return []
    return [
        Paragraph(
            line(
                Strong("Not stored. "),
                f"{counted(len(absent), 'part')} of what a report can hold "
                f"{'is' if len(absent) == 1 else 'are'} not in storage; ",
                Ref("missing"),
                f" names {'it' if len(absent) == 1 else 'each'} with the command that would fill "
                "it.",
            )
        ),
        _table(absent),
    ]


def _table(absent: Sequence[tuple[Text, str]]) -> Table:
    return Table(
        "missing",
        ("What is not stored, and the commands that would fill it.",),
        [Column("missing", share=1), Column("command", share=2)],
        [[what, (Code(command),)] for what, command in absent],
    )


def _of_study(study: StudyContent, commander: Commander) -> Iterator[tuple[Text, str]]:
    name, done = Code(study.name), study.evaluation
    if not study.progress.complete:
        left = study.progress.n_trials - study.progress.done
        yield line(f"{counted(left, 'trial')} of ", name), commander.run(study)
    if done is None:
        yield line("the evaluation of ", name), commander.evaluate(study)
    elif done.test is None and study.has_test_rows:
        yield line("the test scores of ", name), commander.evaluate(study)
    nested = study.nested[-1] if study.nested else None
    if nested is not None and len(nested.scores) < nested.n_outer:
        folds = counted(nested.n_outer - len(nested.scores), "outer fold")
        yield (
            line(f"{folds} of the nested cross-validation of ", name),
            commander.evaluate(study, nested=True),
        )
    elif nested is None and study.settings.outer_fold is None:
        yield (
            line("a nested cross-validation of ", name),
            commander.evaluate(study, nested=True),
        )
    if study.best.number not in study.analysed:
        yield (
            line(f"figures of the network of trial {study.best.number} of ", name),
            commander.analyze(study),
        )


def _of_problem(problem: Problem, commander: Commander) -> Iterator[tuple[Text, str]]:
    left_out = [s.name for s in problem.studies if s.name not in problem.compared]
    if len(problem.studies) > 1 and left_out:
        yield (
            line(
                f"the comparison on {problem.studies[0].settings.dataset} with ",
                listed([(Code(name),) for name in left_out]),
            ),
            commander.compare(problem),
        )
