"""The commands that write a network to a file and predict with it."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hw1.cli import options
from hw1.cli.app import (
    app,
    echo,
    example,
    open_results,
    print_csv,
    print_json,
    print_table,
    show,
    watched,
)
from hw1.errors import printable, require_file
from hw1.places import MODEL_FILE, program, shortest
from hw1.study_files import find_definition, naming


@app.command(**example("export regression_mlp-tpe --output network.onnx"))
def export(
    name: options.Name,
    trial: options.Trial = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=options.ends_in(*MODEL_FILE),
            help="Ends in .safetensors, .pt2 (torch.export) or .onnx. "
            "[default: storage/models/NAME-trialN.safetensors]",
        ),
    ] = None,
    definition: options.Definition = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Write the best network, trained on all data, to a file.

    It is the network of the first seed that `evaluate` scores. The file holds its normalization,
    configuration and provenance, and is checked by predictions before it is kept.
    """
    results = open_results(storage, name, definition, data_dir, device, precision, trial)
    from hw1.analysis.export import export as export_network
    from hw1.analysis.export import usage

    with watched("nothing is written.") as watcher:
        path, difference = export_network(results, trial, output, watcher=watcher)
    same = "exactly" if difference == 0 else f"to within {difference:.1g}"
    # A program needs no study file; weights do, for networks that are not of hw1.
    named = naming(results.settings.definition) if path.suffix == ".safetensors" else []
    command = [*program(), "predict", str(shortest(path)), "INPUT", *named]
    lines = [
        f"Wrote {shortest(path)}, which predicts the same {same}.",
        f"  {shlex.join(command)}",
        "In Python:",
        *(f"  {line}" for line in usage(shortest(path), results)),
    ]
    show({"study": name, "file": str(path), "largest_difference": difference}, lines, as_json)


@app.command(**example("predict storage/models/fashion_cnn-tpe-trial7.safetensors images/"))
def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            callback=options.ends_in(*MODEL_FILE),
            help="A file that `export` wrote.",
        ),
    ],
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="A CSV file, a .npy array, an image or a folder of images."
        ),
    ],
    definition: options.Definition = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Print the predictions of an exported network.

    A CSV file has a header row with the network's columns, in any order and among others.
    """
    options.one_form(as_json, as_csv)
    require_file(model)
    require_file(input, folder=True)
    for file in definition or ():
        find_definition(str(file))
    from hw1.analysis.model_files import load
    from hw1.analysis.prediction import predict as predict_rows
    from hw1.analysis.prediction import read_inputs, to_csv

    loaded = load(model, definition=definition or ())
    inputs = read_inputs(input, loaded.description)
    found = predict_rows(loaded, inputs)
    if inputs.skipped:
        names = (printable(skipped, keep="") for skipped in inputs.skipped)
        echo(f"Skipped, as they are not images: {', '.join(names)}", err=True)
    if as_json:
        print_json([row.to_json() for row in found])
        return
    rows = list(to_csv(found))
    if as_csv:
        print_csv(rows)
        return
    # The probabilities of all classes are for --csv and --json.
    width = 3 if loaded.description.class_names else len(rows[0])
    print_table(rows[0][:width], (row[:width] for row in rows[1:]))
