"""The commands that tell how good the best trials are and what they have learned."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hw1.cli.app import (
    DataDirOption,
    DefinitionOption,
    DeviceOption,
    JsonOption,
    NameArgument,
    PrecisionOption,
    StorageOption,
    TrialOption,
    app,
    echo,
    ends_in,
    example,
    open_results,
    open_study,
    print_json,
    storage_option,
    watched,
)
from hw1.errors import InputError
from hw1.places import REPORT_FILE, program, shortest

RepeatsOption = Annotated[
    int,
    typer.Option(
        "--repeats", min=1, metavar="R", help="Number of repeats of the cross-validation."
    ),
]
SplitSeedOption = Annotated[
    int,
    typer.Option("--seed", min=0, max=2**32 - 1, metavar="S", help="Random seed of the splits."),
]


@app.command(**example("evaluate regression_mlp-tpe --repeats 10"))
def evaluate(
    name: NameArgument,
    trial: TrialOption = None,
    repeats: RepeatsOption = 5,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Number of folds. [default: the study's]")
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, metavar="S", help="Number of networks trained on all training data."),
    ] = 5,
    seed: SplitSeedOption = 0,
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
    again: Annotated[bool, typer.Option("--again", help="Repeat what is stored already.")] = False,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Estimate how good the best configuration is on unseen data.

    Cross-validates it on new splits, then trains it on all training data with several seeds and
    scores the test data. Results are stored with the study; the same command again shows them.
    """
    folds_of_nested = parse_nested(nested)
    results = open_results(storage, name, definition, data_dir, device, precision, trial)
    from hw1.analysis.evaluation import evaluate as evaluate_study
    from hw1.analysis.scores import for_json
    from hw1.analysis.text import evaluation_lines

    with watched("what is finished is stored; the same command goes on from there.") as watcher:
        found = evaluate_study(
            results,
            trial,
            n_repeats=repeats,
            n_splits=folds,
            n_seeds=seeds,
            seed=seed,
            nested=folds_of_nested,
            test=test,
            again=again,
            watcher=watcher,
        )
    if as_json:
        print_json(for_json(found))
    else:
        echo("\n".join(evaluation_lines(found)))


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
    repeats: RepeatsOption = 5,
    folds: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Number of folds. [default: the first study's]"),
    ] = None,
    seed: SplitSeedOption = 0,
    searches: Annotated[
        bool,
        typer.Option(
            "--searches",
            help="Compare searches: name studies of three seeds or more of each. Studies that "
            "differ in their seed alone are one search.",
        ),
    ] = False,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
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
    for name in names:
        open_study(storage, name).best_trial()
    studies = [
        open_results(storage, name, definition, data_dir, device, precision) for name in names
    ]
    from hw1.analysis.comparison import compare as compare_studies
    from hw1.analysis.scores import for_json
    from hw1.analysis.searches import compare_searches
    from hw1.analysis.text import comparison_lines, search_comparison_lines

    options: dict[str, Any] = {"n_repeats": repeats, "n_splits": folds, "seed": seed}
    with watched("what is finished is stored; the same command goes on from there.") as watcher:
        if searches:
            of_searches = compare_searches(studies, **options, watcher=watcher)
            found, lines = for_json(of_searches), search_comparison_lines(of_searches)
        else:
            of_studies = compare_studies(studies, **options, watcher=watcher)
            found, lines = for_json(of_studies), comparison_lines(of_studies)
    if as_json:
        print_json(found)
    else:
        echo("\n".join(lines))


@app.command(**example("replay regression_mlp-tpe 12"))
def replay(
    name: NameArgument,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="The trial's number.")],
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a stored trial again and compare its scores.

    On the same machine and versions they are the same, bit for bit; what differs in machine,
    versions or code is named.
    """
    results = open_results(storage, name, definition, data_dir, device, "auto", trial, pruned=True)
    from hw1.analysis.replay import replay as replay_trial
    from hw1.analysis.scores import for_json
    from hw1.analysis.text import replay_lines

    with watched("nothing is stored.") as watcher:
        found = replay_trial(results, trial, watcher=watcher)
    if as_json:
        print_json({"study": name, "metric": results.metric.name, **for_json(found)})
    else:
        echo("\n".join(replay_lines(name, results.metric.name, found)))


@app.command(**example("analyze regression_mlp-tpe --output figures"))
def analyze(
    name: NameArgument,
    trial: TrialOption = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="The best K trials instead of one.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write. [default: storage/figures/NAME]"),
    ] = None,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
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
    if as_json:
        files = sorted(str(path) for path in page.parent.glob("*") if path.is_file())
        print_json({"study": name, "trials": [t.number for t in trials], "files": files})
    else:
        echo(f"The figures are in {shortest(page.parent)}: open {shortest(page)}")


@app.command(**example("report regression_mlp-tpe regression_mlp-random --author 'A. Student'"))
def report(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Studies that `list` shows.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=ends_in(*REPORT_FILE),
            help="A .pdf file; the HTML page is written next to it. "
            "[default: storage/reports/NAME.pdf]",
        ),
    ] = None,
    author: Annotated[str, typer.Option(metavar="TEXT", help="The author's name.")] = "",
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The title. [default: from the data's name]")
    ] = None,
    definition: DefinitionOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report of studies: a PDF and a page of HTML.

    Introduction, method and results have six pages at most, the rest is an appendix. All comes
    from storage: what `evaluate`, `compare` and `analyze` have not filled yet is printed, with the
    command that does.
    """
    for name in names:
        open_study(storage, name).best_trial()
    from hw1.analysis.report.write import write_report

    studies = [open_results(storage, name, definition, None, "auto", "auto") for name in names]
    options = storage_option(storage)
    found = write_report(studies, output, author=author, title=title, options=options)
    if as_json:
        files, missing = [str(found.pdf), str(found.page)], dict(found.missing)
        print_json({"studies": names, "files": files, "missing": missing})
        return
    echo(f"Wrote {shortest(found.pdf)} and {shortest(found.page)}.")
    for what, command in found.missing:
        echo(f"It lacks {what}: {command}")
