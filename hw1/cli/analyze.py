"""The commands that tell how good the best trials are and what they have learned."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hw1.cli import options
from hw1.cli.app import app, example, open_results, open_study, show, storage_option, watched
from hw1.errors import InputError
from hw1.places import REPORT_FILE, program, shortest

Repeats = Annotated[int, options.count("R", "Number of repeats of the cross-validation.")]
SplitSeed = Annotated[
    int,
    typer.Option("--seed", min=0, max=2**32 - 1, metavar="S", help="Random seed of the splits."),
]
Folds = Annotated[
    int | None, options.count("K", "Number of folds. [default: those of the (first) study]", 2)
]
GOES_ON = "what is finished is stored; the same command goes on from there."


@app.command(**example("evaluate regression_mlp-tpe --repeats 10"))
def evaluate(
    name: options.Name,
    trial: options.Trial = None,
    repeats: Annotated[
        int,
        options.count("R", "Repeats of the cross-validation; 0 scores the test data alone.", 0),
    ] = 5,
    folds: Folds = None,
    seeds: Annotated[
        int, options.count("S", "Number of networks trained on all training data.")
    ] = 5,
    seed: SplitSeed = 0,
    nested: Annotated[
        str | None,
        typer.Option(
            metavar="OUTERxINNER",
            help="Repeat the whole search outside each of OUTER folds, with INNER folds: 5x3.",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Whether to score the test data.")
    ] = True,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines", help="Whether to score scikit-learn's models beside it."
        ),
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Repeat what is stored already.")] = False,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Estimate how good the best configuration is on unseen data.

    Cross-validates it on new splits, then trains it on all training data with several seeds and
    scores the test data. Models of scikit-learn, from the mean to gradient boosting, are scored
    beside it on the same folds and test data. Results are stored with the study; the same command
    again shows them.
    """
    folds_of_nested = parse_nested(nested)
    results = open_results(storage, name, definition, data_dir, device, precision, trial)
    from hw1.analysis.evaluation import evaluate as evaluate_study
    from hw1.analysis.scores import for_json
    from hw1.analysis.text import evaluation_lines

    with watched(GOES_ON) as watcher:
        found = evaluate_study(
            results,
            trial,
            n_repeats=repeats,
            n_splits=folds,
            n_seeds=seeds,
            seed=seed,
            nested=folds_of_nested,
            test=test,
            baselines=baselines,
            again=again,
            watcher=watcher,
        )
    show(for_json(found), evaluation_lines(found), as_json)


def parse_nested(text: str | None) -> tuple[int, int] | None:
    """Outer and inner folds from "5x3"."""
    if text is None:
        return None
    outer, _, inner = text.lower().partition("x")
    if not (outer.isdecimal() and inner.isdecimal() and min(int(outer), int(inner)) >= 2):
        raise InputError(f"invalid --nested {text!r}: give outer and inner folds as 5x3")
    return int(outer), int(inner)


@app.command(
    **example(
        "compare regression_mlp-tpe regression_mlp-random\n\n"
        f"And of searches: {' '.join(program())} compare "
        "tpe-0 tpe-1 tpe-2 random-0 random-1 random-2 --searches"
    )
)
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Two studies or more of the same data.")
    ],
    repeats: Repeats = 5,
    folds: Folds = None,
    seed: SplitSeed = 0,
    searches: Annotated[
        bool,
        typer.Option(
            "--searches",
            help="Compare searches: name studies of three seeds or more of each. Studies that "
            "differ in their seed alone are one search.",
        ),
    ] = False,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Test whether one study's best configuration beats another's.

    All are cross-validated on the same new splits, and each pair is compared by the corrected
    resampled t-test (Nadeau and Bengio), which allows for the data that training sets share.

    That compares two configurations, not the searches that found them: two searches that differ
    in their seed alone find different ones. --searches compares searches, by a t-test over the
    seeds of what their best configurations score, paired where the seeds are the same. Its
    confidence intervals are over seeds, with these training data; studies with --train-size draw
    other data for each seed, and so cannot be compared like that.
    """
    from hw1.names import require_different

    require_different(names)
    for name in names:
        open_study(storage, name).best_trial()
    studies = [
        open_results(storage, name, definition, data_dir, device, precision) for name in names
    ]
    from hw1.analysis.comparison import compare as compare_studies
    from hw1.analysis.scores import for_json
    from hw1.analysis.searches import compare_searches
    from hw1.analysis.text import comparison_lines, search_comparison_lines

    how: dict[str, Any] = {"n_repeats": repeats, "n_splits": folds, "seed": seed}
    with watched(GOES_ON) as watcher:
        if searches:
            of_searches = compare_searches(studies, **how, watcher=watcher)
            found, lines = for_json(of_searches), search_comparison_lines(of_searches)
        else:
            of_studies = compare_studies(studies, **how, watcher=watcher)
            found, lines = for_json(of_studies), comparison_lines(of_studies)
    show(found, lines, as_json)


@app.command(**example("ablate regression_mlp-tpe --only optimizer,l1"))
def ablate(
    name: options.Name,
    trial: options.Trial = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="What to change: optimizer,l1 for instance."),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Change the definition's defaults, not a trial.")
    ] = False,
    repeats: Repeats = 5,
    folds: Folds = None,
    epochs: Annotated[int | None, options.count("E", "Epochs of each training.")] = None,
    train_size: Annotated[
        int | None, options.count("N", "A stratified random subset of N training examples.")
    ] = None,
    seed: SplitSeed = 0,
    again: Annotated[bool, typer.Option("--again", help="Repeat what is stored already.")] = False,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Change one thing at a time in the best configuration, and test what that does.

    Optimizers (each with a learning rate of its own, chosen on other folds), schedules,
    initializations, L1 and L2 penalties, dropout, early stopping and whatever else the model class
    and the data take. All are cross-validated on the same new splits and compared with the base
    by the corrected resampled t-test. Results are stored with the study.
    """
    if defaults and trial is not None:
        raise InputError("give one of --trial and --defaults, not both")
    results = open_results(storage, name, definition, data_dir, device, precision, trial)
    from hw1.analysis.ablation import ablate as ablate_study
    from hw1.analysis.scores import for_json
    from hw1.analysis.text import ablation_lines

    with watched(GOES_ON) as watcher:
        found = ablate_study(
            results,
            trial,
            only=[] if only is None else [word.strip() for word in only.split(",")],
            defaults=defaults,
            n_repeats=repeats,
            n_splits=folds,
            epochs=epochs,
            train_size=train_size,
            seed=seed,
            again=again,
            watcher=watcher,
        )
    show(for_json(found), ablation_lines(found), as_json)


@app.command(**example("replay regression_mlp-tpe 12"))
def replay(
    name: options.Name,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="The trial's number.")],
    final_round: Annotated[
        bool, typer.Option("--final-round", help="What it scored in the final round instead.")
    ] = False,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Train a stored trial again and compare its scores.

    On the same machine and versions they are the same, bit for bit; what differs in machine,
    versions or code is named.
    """
    results = open_results(storage, name, definition, data_dir, device, "auto", trial, pruned=True)
    from hw1.analysis.replay import replay as replay_trial
    from hw1.analysis.replay import replay_final_round
    from hw1.analysis.scores import for_json
    from hw1.analysis.text import replay_lines

    with watched("nothing is stored.") as watcher:
        again = replay_final_round if final_round else replay_trial
        found = again(results, trial, watcher=watcher)
    metric = results.metric.name
    as_dict = {"study": name, "metric": metric, **for_json(found)}
    show(as_dict, replay_lines(name, metric, found), as_json)


@app.command(**example("analyze regression_mlp-tpe --output figures"))
def analyze(
    name: options.Name,
    trial: options.Trial = None,
    top: Annotated[int | None, options.count("K", "The best K trials instead of one.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write. [default: storage/figures/NAME]"),
    ] = None,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Draw the search and what the best network has learned.

    Trains the best trial again. Writes index.html, which shows all figures, and each of them as
    interactive HTML and as SVG.
    """
    if trial is not None and top is not None:
        raise InputError("give one of --trial and --top, not both")
    results = open_results(storage, name, definition, data_dir, device, precision, trial)
    from hw1.analysis.analyze import analyze as analyze_study

    trials = [results.trial(trial)] if top is None else results.top(top)
    with watched("nothing is written.") as watcher:
        page = analyze_study(results, trials, output, watcher=watcher)
    files = sorted(str(path) for path in page.parent.glob("*") if path.is_file())
    found = {"study": name, "trials": [t.number for t in trials], "files": files}
    show(found, [f"The figures are in {shortest(page.parent)}: open {shortest(page)}"], as_json)


@app.command(**example("report regression_mlp-tpe regression_mlp-random --author 'A. Student'"))
def report(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Studies that `list` shows.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=options.ends_in(*REPORT_FILE),
            help="A .pdf file; the HTML page is written next to it. "
            "[default: storage/reports/NAME.pdf]",
        ),
    ] = None,
    author: Annotated[str, typer.Option(metavar="TEXT", help="The author's name.")] = "",
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The title. [default: from the data's name]")
    ] = None,
    definition: options.Definition = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Write a report of studies: a PDF and a page of HTML.

    The main part has six pages at most; everything else is in the appendix. A report shows what is
    stored, so run `evaluate`, `compare` and `analyze` first. If something is missing, the command
    to run is printed.
    """
    for name in names:
        open_study(storage, name).best_trial()
    from hw1.analysis.report.write import write_report

    studies = [open_results(storage, name, definition, None, "auto", "auto") for name in names]
    found = write_report(
        studies, output, author=author, title=title, options=storage_option(storage)
    )
    files, missing = [str(found.pdf), str(found.page)], dict(found.missing)
    lines = [f"Wrote {shortest(found.pdf)} and {shortest(found.page)}."]
    lines += [f"Missing: {what}. To add it, run: {command}" for what, command in missing.items()]
    lines += ["Then run `report` again."] * bool(missing)
    show({"studies": names, "files": files, "missing": missing}, lines, as_json)
