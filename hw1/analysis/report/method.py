"""The second section of a report: networks, search, cross-validation, evaluation, machine."""

from collections.abc import Callable, Sequence

from hw1.analysis.report.content import Content, StudyContent
from hw1.analysis.report.document import Block, Column, Heading, Paragraph, Table
from hw1.analysis.report.parameters import constants_text, grid_text, heads, space_tables
from hw1.analysis.report.wording import Ref, Strong, Text, joined, line, listed, named
from hw1.words import counted, duration, in_words, integer

MOST_LISTED = 4
"""Families, grids or machines of which the text tells."""

_SAMPLERS = {
    "tpe": "a tree-structured Parzen estimator (Bergstra et al., 2011)",
    "random": "random search (Bergstra and Bengio, 2012)",
    "grid": "the cells of a grid, in random order",
    "gp": "Bayesian optimisation with a Gaussian process",
    "cmaes": "CMA-ES (Hansen and Ostermeier, 2001)",
    "qmc": "a quasi-random sequence",
}
_PRUNERS = {
    "median": "its best mean so far was worse than the median of completed trials at that epoch",
    "percentile": "its best mean so far was not in the best quarter of completed trials at that "
    "epoch",
    "hyperband": "Hyperband (Li et al., 2018) gave its epochs to better ones",
    "halving": "successive halving (Jamieson and Talwalkar, 2016) gave its epochs to better ones",
}
_OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
_REGULARISERS = {
    "weight_decay": "L2 (weight decay)",
    "l1": "L1",
    "dropout": "dropout",
    "label_smoothing": "label smoothing",
    "max_grad_norm": "clipping of the gradient’s norm",
    "flip": "mirrored images",
    "shift": "shifted images",
    "erase": "random erasing",
}


def method(content: Content) -> list[Block]:
    """How it was done."""
    studies, spaces = content.studies, content.spaces()
    tables = space_tables(spaces)
    grids = [text for text in map(grid_text, studies) if text is not None]
    return [
        Heading("Method"),
        Heading("Networks and search space", 2),
        Paragraph(_families(spaces)),
        Paragraph(_explored(studies, tables)),
        *tables,
        *([Paragraph(_constants(spaces))] if _constants(spaces) else []),
        Heading("Search", 2),
        Paragraph(_search(studies)),
        *(Paragraph(text) for text in grids[:MOST_LISTED]),
        _search_table(studies),
        Heading("Cross-validation and evaluation", 2),
        Paragraph(_cross_validation(studies)),
        Paragraph(_evaluation(content)),
        Heading("Computation", 2),
        Paragraph(_computation(studies)),
    ]


def _families(spaces: Sequence[Sequence[StudyContent]]) -> Text:
    by_family = {studies[0].family: studies[0].family_words for studies in spaces}
    told = [
        line(Strong(f"{family}. "), said or "A family of the study’s own.")
        for family, said in by_family.items()
    ]
    return line(*(part for text in told[:MOST_LISTED] for part in (*text, " ")))


def _choices(studies: Sequence[StudyContent], name: str) -> list[str]:
    """All choices of a categorical parameter, over all studies."""
    found: dict[str, None] = {}
    for study in studies:
        for distribution in study.distributions.get(name, ()):
            for choice in getattr(distribution, "choices", ()):
                found[str(choice)] = None
    return list(found)


def _explored(studies: Sequence[StudyContent], tables: Sequence[Table]) -> Text:
    """The optimisers and regularisers of the search spaces."""
    parts: list[Text] = []
    for name, what, known in (
        ("optimizer", "optimisers", _OPTIMIZERS),
        ("schedule", "learning-rate schedules", {"one_cycle": "one-cycle"}),
        ("initialization", "initialisation schemes", {"default": "PyTorch’s default"}),
    ):
        choices = _choices(studies, name)
        if choices:
            chosen = listed([known.get(c, in_words(c)) for c in choices], 8)
            parts.append(line(f"the {what} ", chosen))
    used = {name for study in studies for name in study.distributions}
    regularisers = [what for name, what in _REGULARISERS.items() if name in used]
    if _stops_early(studies):
        regularisers.append("early stopping")
    if regularisers:
        parts.append(line("for regularisation ", listed(regularisers)))
    refs = listed([line(Ref(table.key)) for table in tables], 3)
    verb = "gives" if len(tables) == 1 else "give"
    return line(
        *(["Explored are ", *joined(parts, "; "), ". "] if parts else []),
        *refs,
        f" {verb} all parameters with their ranges or choices.",
    )


def _stops_early(studies: Sequence[StudyContent]) -> bool:
    """Whether a trial of theirs had a patience."""
    configurations = [t.kept.get("configuration", {}) for s in studies for t in s.trials]
    return any(configuration.get("patience") is not None for configuration in configurations)


def _constants(spaces: Sequence[Sequence[StudyContent]]) -> Text:
    told = [(heads(studies), constants_text(studies)) for studies in spaces]
    told = [(head, text) for head, text in told if text][:MOST_LISTED]
    if not told:
        return ()
    if len({text for _, text in told}) == 1:
        return (f"The same in all trials: {told[0][1]}.",)
    return ("The same in all trials: " + "; ".join(f"{t} in {h}" for h, t in told) + ".",)


def _grouped(studies: Sequence[StudyContent], key: Callable[[StudyContent], str]) -> Text:
    """``"X (a, b); Y (c)"``, or ``"X"`` alone if it is the same for all."""
    by_key: dict[str, list[str]] = {}
    for study in studies:
        by_key.setdefault(key(study), []).append(study.name)
    if len(by_key) == 1:
        return (next(iter(by_key)),)
    parts = [line(what, " (", named(names, 3), ")") for what, names in by_key.items()]
    return joined(parts, "; ")


def _search(studies: Sequence[StudyContent]) -> Text:
    pruned = [study for study in studies if study.settings.pruner in _PRUNERS]
    sentences: list[Text] = [
        line(
            Ref("searches"),
            " lists the searches. Configurations were proposed by ",
            _grouped(studies, lambda s: _SAMPLERS.get(s.settings.sampler, s.settings.sampler)),
            ".",
        )
    ]
    if pruned:
        sentences.append(
            line(
                " After a warm-up a trial was pruned where ",
                _grouped(pruned, lambda study: _PRUNERS[study.settings.pruner]),
                ".",
            )
        )
    return line(
        *sentences,
        " All that is random follows from the study’s seed: folds, proposals, initial weights, "
        "the order of rows, dropout.",
    )


def _search_table(studies: Sequence[StudyContent]) -> Table:
    rows: list[list[Text]] = []
    for study in studies:
        settings, progress = study.settings, study.progress
        done = integer(progress.done)
        target = integer(progress.n_trials)
        rows.append(
            [
                (study.name,),
                (settings.sampler,),
                (settings.pruner,),
                (done if progress.complete else f"{done} of {target}",),
                (integer(progress.completed),),
                (integer(progress.pruned),),
                (integer(progress.failed + progress.interrupted + progress.refused),),
                (str(settings.n_splits),),
                (integer(settings.epochs),),
                (str(settings.seed),),
                (duration(sum(t.kept.get("seconds") or 0.0 for t in study.trials)),),
            ]
        )
    return Table(
        "searches",
        (
            "The searches. “Other” are trials that failed, were interrupted or had a network that "
            "cannot exist; epochs are the most that a trial has; time is that of all trainings.",
        ),
        [
            Column("study", share=1),
            Column("sampler"),
            Column("pruner"),
            Column("trials", right=True),
            Column("completed", right=True),
            Column("pruned", right=True),
            Column("other", right=True),
            Column("folds", right=True),
            Column("epochs", right=True),
            Column("seed", right=True),
            Column("time", right=True),
        ],
        rows,
    )


def _cross_validation(studies: Sequence[StudyContent]) -> Text:
    stratified = any(study.task == "classification" for study in studies)
    return line(
        "The training rows are divided once into ",
        _grouped(studies, lambda study: counted(study.settings.n_splits, "fold")),
        ", " + ("with even shares of the classes, " if stratified else ""),
        "and all trials of a study share them. A trial trains one network a fold on the rows "
        "outside it. After every epoch each network is scored on the rows of its fold, and the "
        "scores are averaged over the folds. The best point of that curve of means is the value "
        "of the trial; no fold picks an epoch of its own. ",
        "Early stopping ends a trial whose mean has not improved for as many epochs as its "
        "patience. "
        if _stops_early(studies)
        else "",
        "A retraining on all rows goes to the epoch of the best mean, with the batch size of the "
        "trial: the number of steps of an epoch follows the number of rows, and rows that do not "
        "fill a batch sit that epoch out.",
    )


def _evaluation(content: Content) -> Text:
    several = any(len(problem.studies) > 1 for problem in content.problems)
    return line(
        "The value of the best trial is optimistically biased: it is the best of many. "
        "Therefore its configuration is trained again under repeated cross-validation, on fresh "
        "folds with fresh seeds and to the epoch that the study has chosen. The 95 % intervals "
        "allow for the rows "
        "that folds share: the variance of the mean is that of the scores times "
        "1/J + 1/(K − 1) for J scores of K folds a repeat (Nadeau and Bengio, 2003). Intervals of "
        "errors are worked out for the logarithm, those of accuracies for the log odds. ",
        "The best configurations of two studies of the same rows are compared by the t-test with "
        "that variance, on the same folds, with p values and intervals adjusted for the number of "
        "pairs (Bonferroni); that does not compare the searches, which with another seed find "
        "another configuration. "
        if several
        else "",
        "Networks that are trained on all training rows from several seeds are scored on the test "
        "rows, each by itself and as an ensemble that averages their predictions. Their intervals "
        "cover other test rows and other seeds, with the same training rows: for errors by a "
        "studentized bootstrap over rows and seeds (Efron and Tibshirani, 1993), for accuracies by "
        "Student’s t with the variance of both. A nested "
        "cross-validation repeats the whole search outside each of several outer folds and scores "
        "what it finds in it: the only estimate that the choice of hyperparameters does not "
        "flatter.",
    )


def _computation(studies: Sequence[StudyContent]) -> Text:
    kept = [trial.kept.get("provenance") for study in studies for trial in study.trials]
    stored = [provenance for provenance in kept if provenance is not None]
    machines = sorted({_machine(provenance) for provenance in stored})
    versions = sorted({f"PyTorch {provenance['torch']}" for provenance in stored})
    precision = _grouped(studies, _precision)
    return line(
        "The folds of a trial, and several trials where possible, are trained in lockstep, epoch "
        "by epoch in one program, so that pruning and early stopping act on the true mean over the "
        "folds. The trials ran on ",
        listed(machines, MOST_LISTED) or ("a machine that is not stored",),
        " with ",
        listed(versions, 3) or ("an unknown version of PyTorch",),
        ", in ",
        precision,
        ".",
    )


def _machine(provenance: dict[str, object]) -> str:
    return f"{provenance['processor']} ({provenance['threads']} threads, {provenance['system']})"


def _precision(study: StudyContent) -> str:
    used = {t.kept["precision"] for t in study.trials if t.kept.get("precision")}
    devices = {str(t.kept["device"]) for t in study.trials if t.kept.get("device")}
    where = sorted({"a GPU" if device.startswith("cuda") else "the CPU" for device in devices})
    return f"{' and '.join(sorted(used)) or 'float32'} on {' and '.join(where) or 'the CPU'}"
