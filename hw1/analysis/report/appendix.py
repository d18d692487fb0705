"""The appendix of a report: all trials, all evaluations, further figures, provenance, commands."""

from collections.abc import Collection, Sequence
from typing import Any

from hw1.analysis.report.commands import Commander
from hw1.analysis.report.content import Content, StudyContent, Trial
from hw1.analysis.report.document import Block, Column, Commands, Heading, Paragraph, Picture, Table
from hw1.analysis.report.pictures import pictures
from hw1.analysis.report.score_tables import DIVERGED
from hw1.analysis.report.wording import Code, Text, line, params_text
from hw1.definition import CONFIGURATIONS
from hw1.words import DASH, duration, in_words, integer, number

STUDIES_A_TABLE = 4
MOST_TRIALS = 300
"""Of a study, those that its table lists: thousands would fill hundreds of pages."""

_REFERENCES = (
    "J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011). Algorithms for hyper-parameter "
    "optimization. NeurIPS 24.",
    "J. Bergstra, Y. Bengio (2012). Random search for hyper-parameter optimization. Journal of "
    "Machine Learning Research 13, 281–305.",
    "B. Efron, R. Tibshirani (1993). An introduction to the bootstrap. Chapman & Hall.",
    "N. Hansen, A. Ostermeier (2001). Completely derandomized self-adaptation in evolution "
    "strategies. Evolutionary Computation 9(2), 159–195.",
    "K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter "
    "optimization. AISTATS, 240–248.",
    "L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar (2018). Hyperband: a novel "
    "bandit-based approach to hyperparameter optimization. Journal of Machine Learning Research "
    "18(185), 1–52.",
    "C. Nadeau, Y. Bengio (2003). Inference for the generalization error. Machine Learning 52, "
    "239–281.",
)


def appendix(
    content: Content,
    commander: Commander,
    moved: Sequence[Block],
    shown: Collection[str],
    report: str,
) -> list[Block]:
    """What the main part has no room for.

    Args:
        content: of the report.
        commander: for the commands.
        moved: tables and figures that were to stand in the main part.
        shown: the keys of those that stand there.
        report: the command that writes the report.
    """
    tables = [block for block in moved if isinstance(block, Table)]
    joint = [block for block in moved if isinstance(block, Picture) and "problem" in block.key]
    blocks: list[Block] = []
    if tables:
        blocks += [Heading("Further tables"), *tables]
    long = [study for study in content.studies if len(study.trials) > MOST_TRIALS]
    blocks.append(Heading("Trials" if long else "All trials"))
    blocks += [_trials(i, study) for i, study in enumerate(content.studies)]
    if long:
        blocks += [
            Paragraph(("All trials, as a table for a spreadsheet, are printed by:",)),
            Commands([commander.trials(study) for study in long]),
        ]
    records = _records(content.studies)
    if records.rows:
        blocks += [Heading("All evaluations"), records]
    blocks += [
        Heading("Provenance"),
        *_provenance(content.studies),
        Heading("Commands", 2),
        Paragraph(("In a checkout of hw1, these do everything again:",)),
        Commands(_commands(content, commander, report)),
        Heading("References"),
        Paragraph((), [(reference,) for reference in _REFERENCES]),
    ]
    figures: list[Block] = list(joint)
    for study in content.studies:
        those = [p for p in pictures(content, study) if p.key not in shown]
        if those:
            figures += [Heading(study.name, 2), *those]
    return [*blocks, *([Heading("Further figures"), *figures] if figures else [])]


def _trials(i: int, study: StudyContent) -> Table:
    shown = listed_trials(study)
    which = "All trials of "
    if len(shown) < len(study.trials):
        which = f"The {integer(len(shown))} best of {integer(len(study.trials))} trials of "
    return Table(
        f"trials-{i}",
        line(
            which,
            Code(study.name),
            f". Score: {in_words(study.metric.name)}, the mean over the folds, and its standard "
            "deviation between them; epoch: the best of those trained.",
        ),
        [
            Column("trial", right=True),
            Column("state"),
            Column("score", right=True),
            Column("± sd", right=True),
            Column("epoch", right=True),
            Column("time", right=True),
            Column("size", right=True),
            Column("hyperparameters", share=1),
        ],
        [_trial(trial) for trial in shown],
        small=True,
    )


def listed_trials(study: StudyContent) -> list[Trial]:
    """The trials that the appendix lists, in their order: all, or the best."""
    ranked = study.metric.best_first(study.trials, lambda trial: trial.value)
    return sorted(ranked[:MOST_TRIALS], key=lambda trial: trial.number)


def _trial(trial: Trial) -> list[Text]:
    kept = trial.kept
    spread = kept.get("std") if trial.value is not None else None
    best, trained = kept.get("best_epoch"), kept.get("epochs")
    seconds, size = kept.get("seconds"), kept.get("n_parameters")
    why = kept.get("refused") or kept.get("failure")
    cells = [
        str(trial.number),
        trial.state,
        number(trial.value),
        number(spread, 3),
        f"{best} / {trained}" if trained is not None else DASH,
        duration(seconds) if seconds is not None else DASH,
        integer(size) if size is not None else DASH,
    ]
    params = line(params_text(trial.params), f" ({why})" if why else "")
    return [*((cell,) for cell in cells), params]


def _records(studies: Sequence[StudyContent]) -> Table:
    rows: list[list[Text]] = []
    for study in studies:
        for part in study.cross_validations:
            rows += [
                _record(
                    study.name,
                    part.trial,
                    f"fresh folds, repeat {r + 1}, seed {part.seed}",
                    scores,
                )
                for r, scores in enumerate(part.scores)
            ]
        for test in study.tests:
            rows.append(
                _record(
                    study.name,
                    test.trial,
                    f"test rows {test.fingerprint}, {test.date[:16].replace('T', ' ')} UTC",
                    test.scores,
                )
            )
        for nested in study.nested:
            rows.append(
                _record(
                    study.name,
                    None,
                    f"nested, {nested.n_outer} × {nested.n_inner} folds, {nested.n_trials} trials",
                    nested.scores,
                )
            )
    return Table(
        "evaluations",
        ("Every evaluation that is stored: the score of each network.",),
        [
            Column("study", share=1),
            Column("trial", right=True),
            Column("evaluation", share=1.3),
            Column("scores", share=1.6),
        ],
        rows,
        small=True,
    )


def _record(study: str, trial: int | None, what: str, scores: Sequence[float | None]) -> list[Text]:
    shown = ", ".join(DIVERGED if score is None else number(score) for score in scores)
    return [(study,), (DASH if trial is None else str(trial),), (what,), (shown,)]


def _provenance(studies: Sequence[StudyContent]) -> list[Block]:
    blocks: list[Block] = []
    for i in range(0, len(studies), STUDIES_A_TABLE):
        some = studies[i : i + STUDIES_A_TABLE]
        facts = [_facts(study) for study in some]
        names = list(dict.fromkeys(name for of_study in facts for name in of_study))
        blocks.append(
            Table(
                f"provenance-{i // STUDIES_A_TABLE}",
                (
                    "What the results depend on. Of several values, trials and evaluations have "
                    "different ones.",
                ),
                [Column(""), *(Column(study.name, share=1) for study in some)],
                [[(name,), *((of.get(name, DASH),) for of in facts)] for name in names],
                small=True,
            )
        )
    return blocks


def _facts(study: StudyContent) -> dict[str, str]:
    settings = study.settings
    facts: dict[str, Any] = {
        "definition": settings.definition,
        "data": settings.dataset,
        "fingerprint of the training rows": settings.fingerprint,
        "hash of the folds": settings.splits,
        "hash of the search space": settings.search_space.get(CONFIGURATIONS, DASH),
        "seed": settings.seed,
        "made with hw1": settings.version,
    }
    batches = {trial.kept["trials_per_batch"] for trial in study.trials if _batch(trial)}
    if batches:
        low, high = min(batches), max(batches)
        facts["trials in a batch"] = low if low == high else f"{low} to {high}"
    found: dict[str, dict[str, None]] = {}
    for provenance in study.provenances:
        for name, value in provenance.items():
            found.setdefault(name, {})["none" if value is None else str(value)] = None
    return {name: str(value) for name, value in facts.items()} | {
        name: ", ".join(values) for name, values in found.items()
    }


def _batch(trial: Trial) -> bool:
    return trial.kept.get("trials_per_batch") is not None


def _commands(content: Content, commander: Commander, report: str) -> list[str]:
    lines = []
    for study in content.studies:
        lines.append(commander.run(study))
        if study.evaluation is not None:
            lines.append(commander.evaluate(study))
        if study.nested:
            lines.append(commander.evaluate(study, nested=True))
        if study.analysed:
            lines.append(commander.analyze(study))
    lines += [commander.compare(problem) for problem in content.problems if problem.pairs]
    return [*lines, report]
