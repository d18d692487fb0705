"""The third section of a report: scores, comparisons, the best hyperparameters, figures."""

import math
from collections.abc import Sequence

from hw1.analysis.report.appendix import MOST_TRIALS
from hw1.analysis.report.commands import Commander
from hw1.analysis.report.content import Content, Problem, StudyContent
from hw1.analysis.report.document import Block, Heading, Paragraph, Picture, Table
from hw1.analysis.report.missing import missing
from hw1.analysis.report.parameters import best_tables
from hw1.analysis.report.pictures import main_pictures
from hw1.analysis.report.score_tables import pairs, scores, tests
from hw1.analysis.report.wording import (
    Code,
    Ref,
    Text,
    joined,
    line,
    listed,
    named,
    shortened,
)
from hw1.analysis.statistics import LEVEL, Estimate
from hw1.analysis.text import heavy_tails
from hw1.words import between, counted, in_words, integer, number, places, plus_minus

MOST_TOLD = 4
"""Data sets of which the text tells more than the tables."""


def results(content: Content, commander: Commander) -> list[Block]:
    """What was found, and what is missing."""
    studies, problems = content.studies, content.problems
    several = [problem for problem in problems if len(problem.studies) > 1]
    tested = any(study.tests for study in studies)
    best = best_tables(studies)
    blocks: list[Block] = [
        Heading("Results"),
        Heading("Scores", 2),
        Paragraph(_scores(content, tested)),
        scores(problems),
        *([tests(problems)] if tested else []),
    ]
    if several:
        verdicts = [_verdict(problem) for problem in several[:MOST_TOLD]]
        blocks += [Heading("Comparison", 2), Paragraph(joined(verdicts, " "))]
    if any(problem.pairs for problem in several):
        blocks.append(pairs(several))
    return [
        *blocks,
        Heading("Best hyperparameters", 2),
        Paragraph(_best(studies, best)),
        *best,
        Heading("The search and the networks", 2),
        *_figures(content),
        *missing(content, commander),
    ]


def _scores(content: Content, tested: bool) -> Text:
    also = line(", and ", Ref("tests"), " those on the test rows") if tested else ()
    often = [
        line(f"{len(study.tests)} times for ", Code(shortened(study.name)))
        for study in content.studies
        if len(study.tests) > 1
    ]
    warning = line(
        " The test rows have been scored ",
        listed(often, 3),
        ": what is chosen by such scores is no longer measured by them.",
    )
    return line(
        Ref("scores"),
        " gives the scores of the best configurations",
        also,
        ". ",
        joined([_score(problem.lead) for problem in content.problems[:MOST_TOLD]], " "),
        warning if often else "",
    )


def _score(study: StudyContent) -> Text:
    """What is known of the best configuration of a study, in a sentence."""
    found = study.evaluation
    article = "an" if study.metric.name[0] in "aeiou" else "a"
    parts: list[Text] = [
        line(
            f"On {study.settings.dataset}, the best configuration of ",
            Code(shortened(study.name)),
            f" (trial {study.best.number}) had {article} {in_words(study.metric.name)} of "
            f"{number(study.best.value)} in the search",
        )
    ]
    if found is not None:
        estimate = found.cross_validation.estimate
        parts.append(
            line(
                f"and has {plus_minus(estimate.mean, estimate.std)} on fresh folds"
                f"{_interval(estimate)}"
            )
        )
    if found is not None and found.test is not None:
        on_test, together = found.test.estimate, found.test.ensemble_estimate
        parts.append(
            line(
                f"and on {integer(found.test.n_rows)} test rows "
                f"{plus_minus(on_test.mean, on_test.std)}{_interval(on_test)}, and the ensemble of "
                f"{counted(len(found.test.seeds), 'network')} {number(found.test.ensemble)}"
                f"{_interval(together)}"
            )
        )
    nested = study.nested[-1] if study.nested else None
    if nested is not None and len(nested.scores) == nested.n_outer:
        estimate = nested.estimate
        parts.append(line(f"and the nested estimate is {plus_minus(estimate.mean, estimate.std)}"))
    sentence = line(joined(parts, ", "), ".")
    if found is not None and found.test is not None and found.test.share_largest is not None:
        return line(sentence, f" {heavy_tails(found.test)}")
    return sentence


def _interval(found: Estimate) -> str:
    """An interval in brackets; empty if there is none."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return ""
    spread = found.std if math.isfinite(found.std) else (found.high - found.low) / 4
    return f" (95 % interval {between(found.low, found.high, places(found.mean, spread))})"


def _verdict(problem: Problem) -> Text:
    """What the comparison of a problem's studies says."""
    data = problem.studies[0].settings.dataset
    if not problem.pairs:
        return line(
            f"The studies of {data} cannot be compared yet, since their cross-validations on the "
            "same folds are not stored (",
            Ref("missing"),
            ").",
        )
    best = problem.compared[0]
    with_best = [pair for pair in problem.pairs if pair.first == best]
    worse = [pair.second for pair in with_best if pair.test.p < 1 - LEVEL]
    alike = [pair.second for pair in with_best if pair.test.p >= 1 - LEVEL]
    parts = [line(f"On {data}, the configuration of ", Code(shortened(best)), " has the best mean")]
    if worse:
        parts.append(
            line("it is better than that of ", named(worse), " by more than chance explains")
        )
    if alike:
        parts.append(
            line(
                "its lead over that of ",
                named(alike),
                " may be chance, so these rows do not tell which is better",
            )
        )
    left_out = [s.name for s in problem.studies if s.name not in problem.compared]
    if left_out:
        parts.append(line(named(left_out), " cannot be compared yet (", Ref("missing"), ")"))
    return line(joined(parts, "; "), " (", Ref("pairs"), ").")


def _best(studies: Sequence[StudyContent], tables: Sequence[Table]) -> Text:
    every = all(len(study.trials) <= MOST_TRIALS for study in studies)
    return line(
        listed([(Ref(table.key),) for table in tables], 3),
        f" {'lists' if len(tables) == 1 else 'list'} what the "
        f"{'search has' if len(studies) == 1 else 'searches have'} chosen; "
        f"{'all other trials are' if every else 'more of the best trials are'} in the appendix.",
    )


def _figures(content: Content) -> list[Block]:
    blocks: list[Block] = []
    for i, problem in enumerate(content.problems):
        pictures = main_pictures(content, problem)
        if pictures and i < MOST_TOLD:
            blocks.append(Paragraph(_shown(problem, pictures)))
        blocks += pictures
    return blocks


def _shown(problem: Problem, pictures: Sequence[Picture]) -> Text:
    study = problem.lead
    shown = [
        line(p.figure.title[:1].lower() + p.figure.title[1:], " (", Ref(p.key), ")")
        for p in pictures
    ]
    stale = study.analysed and study.best.number not in study.analysed
    warning = (
        f" The figures of the network are those of trial {study.analysed[0]}, not of the best one."
        if stale
        else ""
    )
    return line(
        "Of ",
        Code(shortened(study.name)),
        f" ({study.settings.dataset}) are shown: ",
        listed(shown),
        ".",
        warning,
    )
