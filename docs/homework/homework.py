"""The whole homework: searches, evaluations, ablations, comparisons, figures, report, notebooks.

    python docs/homework/homework.py           # all steps that are not done yet
    python docs/homework/homework.py --small   # the same steps on little data, as a trial run
    python docs/homework/homework.py --table   # the results so far, as a table

Each step is an hw1 command that you could run yourself, or a notebook. When a step is finished, its
results are written to ``results.json``, and it is not run again; a step that was interrupted
resumes where it stopped. The course's files are expected in ``homework1/`` of the data folder
(``HW1_DATA``).
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed
NOT_KEPT = ("run", "analyze", "report")
"""Commands whose output is not kept: it is files, or in storage."""
IMAGES = ("fashion_mlp", "fashion_cnn", "fashion_resnet")
NOTEBOOKS: dict[str, dict[str, Any]] = {
    "regression": {
        "STUDY": "regression_mlp-tpe",
        "OTHER": "regression_mlp-random",
        "OPTIONS": {},
        "NESTED": (5, 3),
    },
    "fashion_mnist": {
        "STUDY": "fashion_cnn-tpe",
        "BASELINE": "fashion_mlp-tpe",
        "OPTIONS": {},
        "REPEATS": 1,
        "SEEDS": 3,
    },
    "best_parameters": {},
}
"""The notebooks, and what is changed in their cell of parameters: the studies are complete."""


@dataclass(frozen=True)
class Step:
    """A command of hw1, or a notebook.

    Attributes:
        name: the key of its result.
        arguments: of ``run_study.py``; none for a notebook.
        keeps: whether it prints JSON that is to be kept.
    """

    name: str
    arguments: tuple[str, ...] = ()
    keeps: bool = False


def steps(data: Path, folder: Path, small: bool) -> Iterator[Step]:
    """All steps, in their order."""

    def step(name: str, text: str, *more: str) -> Step:
        return Step(name, (*text.split(), *more), keeps=text.split()[0] not in NOT_KEPT)

    def run(study: str, sampler: str, *options: str) -> Iterator[Step]:
        name = f"{study}-{sampler}"
        few = ["--trials", "4"] if small else []
        yield step(f"run {name}", f"run {study} --sampler {sampler}", *options, *few)
        yield step(f"best {name}", f"best {name}")

    def analyze(name: str) -> Step:
        return step(f"analyze {name}", f"analyze {name} --output", str(folder / "figures" / name))

    tuned, others = "regression_mlp-tpe", ("regression_mlp-random", "regression_mlp-grid")
    own = [f"--{part}-csv={data / 'homework1' / f'{part}_data.csv'}" for part in ("train", "test")]
    own += ["--epochs", "20"] if small else []
    for sampler in ("tpe", "random", "grid"):
        name = f"regression_mlp-{sampler}"
        yield from run("regression_mlp", sampler, *own)
        yield step(f"evaluate {name}", f"evaluate {name}")
    nested = "2x2" if small else "5x3"
    yield step(f"nested {tuned}", f"evaluate {tuned} --no-test --nested {nested}")
    yield step("compare regression_mlp", f"compare {tuned} {' '.join(others)}")
    yield step(f"ablate {tuned}", f"ablate {tuned} --repeats {1 if small else 5}")
    yield analyze(tuned)

    size = ["--train-size", "600", "--epochs", "1", "--finalists", "0"] if small else []
    images = [f"{study}-tpe" for study in IMAGES]
    for study, name in zip(IMAGES, images, strict=True):
        yield from run(study, "tpe", *size)
        yield step(f"evaluate {name}", f"evaluate {name} --repeats 1 --seeds 3")
        yield analyze(name)
    few = "--train-size 600 --epochs 1" if small else "--train-size 6000 --epochs 10"
    for name in images[:2]:
        yield step(f"ablate {name}", f"ablate {name} --repeats 1 {few}")
    yield step(
        "report",
        f"report {' '.join([tuned, *others, *images])} --output",
        str(folder / "report.pdf"),
    )
    yield from map(Step, NOTEBOOKS)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="little data and few epochs")
    parser.add_argument("--table", action="store_true", help="print the results so far")
    parser.add_argument("--only", metavar="TEXT", default="", help="steps with this in their name")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for all results [default: docs/homework]"
    )
    options = parser.parse_args()
    folder = (options.output or Path(__file__).parent).resolve()
    results = Results(folder / "results.json")
    if options.table:
        print(results.table())
        return 0
    data = Path(os.environ.get("HW1_DATA", ROOT / "data")).resolve()
    if not (data / "homework1" / "train_data.csv").is_file():
        print(
            f"the course's train_data.csv and test_data.csv are not in {data / 'homework1'}: put "
            "them there, or set HW1_DATA to the folder that holds homework1/",
            file=sys.stderr,
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"HW1_DATA": str(data), "OPTUNA_STORAGE": f"sqlite:///{folder / 'studies.db'}"}
    for step in steps(data, folder, options.small):
        if options.only in step.name and step.name not in results.steps:
            print(f"\n== {step.name}", flush=True)
            if status := results.run(step):
                return status
    return 0


def execute_notebook(name: str, folder: Path) -> None:
    """Run a notebook of the project on the studies that are there, and keep it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    [cell] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in NOTEBOOKS[name].items())
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where).execute()
    nbformat.write(notebook, folder / f"{name}.ipynb")


class Results:
    """What the steps have found, in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = json.loads(path.read_text()) if path.is_file() else {}
        self.steps: dict[str, dict[str, Any]] = found.get("steps", {})
        self._seconds: dict[str, float] = found.get("interrupted", {})

    def run(self, step: Step) -> int:
        """Run a step and keep what it prints; the exit status."""
        started = time.monotonic()
        kept: dict[str, Any] = {}
        if step.arguments:
            shown = " ".join(shlex.quote(self._shown(argument)) for argument in step.arguments)
            kept["command"] = f"python run_study.py {shown}"
            printed, status = _call([*step.arguments, *["--json"] * step.keeps], step.keeps)
        else:
            kept["notebook"] = f"{step.name}.ipynb"
            execute_notebook(step.name, self.path.parent)
            status = 0
        self._seconds[step.name] = self._seconds.get(step.name, 0) + time.monotonic() - started
        if not status:
            kept["minutes"] = round(self._seconds.pop(step.name) / 60, 2)
            kept["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
            kept["hardware"] = hardware()
            if step.keeps:
                kept["found"] = _short(json.loads(printed))
            self.steps[step.name] = kept
        text = json.dumps({"steps": self.steps, "interrupted": self._seconds}, indent=1)
        self.path.write_text(text + "\n")
        return status

    def _shown(self, argument: str) -> str:
        """An argument as one would type it in the checkout, with the data in ``data``."""
        for folder, name in ((os.environ["HW1_DATA"], "data"), (f"{ROOT}/", "")):
            argument = argument.replace(folder, name)
        return argument

    def table(self) -> str:
        """The scores of all evaluated studies, as Markdown."""
        lines = [
            "| study | cross-validation | test, one network | test, ensemble "
            "| best of scikit-learn | search and rounds |",
            "|---|---|---|---|---|---|",
        ]
        for name, step in self.steps.items():
            if name.startswith("evaluate"):
                lines.append(self._row(name.removeprefix("evaluate "), step["found"]))
        return "\n".join(lines)

    def _row(self, name: str, found: dict[str, Any]) -> str:
        def shown(score: float | None) -> str:
            return "–" if score is None else f"{score:.2%}" if found["maximize"] else f"{score:.3f}"

        def mean(scores: list[Any]) -> str:
            flat = [s for row in scores for s in (row if isinstance(row, list) else [row])]
            known = [s for s in flat if s is not None]
            return shown(sum(known) / len(known)) if len(known) == len(flat) and flat else "–"

        test, part = found["test"], found["cross_validation"]
        beside = found["baselines"][0] if found["baselines"] else None
        best = (
            f"{shown(beside['test']['score'])}, {beside['name']}"
            if beside and beside["test"]
            else "–"
        )
        run = self.steps.get(f"run {name}", {})
        cells = [
            f"`{name}`",
            mean(part["scores"]),
            mean(test["scores"]),
            shown(test["ensemble"]),
            best,
            f"{run['minutes']:.0f} min" if run else "–",
        ]
        return f"| {' | '.join(cells)} |"


def _call(arguments: list[str], keeps: bool) -> tuple[str, int]:
    """What a command of hw1 prints, if it is kept, and its exit status."""
    line = [sys.executable, str(ROOT / "run_study.py"), *arguments]
    with subprocess.Popen(line, stdout=subprocess.PIPE if keeps else None, text=True) as command:
        while True:
            try:
                printed, _ = command.communicate()
                return printed or "", command.returncode
            except KeyboardInterrupt:  # the command hears of it, too, and ends at a safe moment
                continue


def _short(found: Any) -> Any:
    """Without curves and provenance, which are in storage."""
    if isinstance(found, dict):
        return {k: _short(v) for k, v in found.items() if k not in ("curves", "provenance")}
    return [_short(value) for value in found] if isinstance(found, list) else found


def hardware() -> str:
    """The processor in words."""
    import torch

    from hw1.provenance import provenance
    from hw1.training.precision import processor_flags

    known = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
    best = [flag for flag in known if flag in processor_flags()][:1]
    processor = provenance(torch.device("cpu"))["processor"]
    return ", ".join([processor, f"{os.cpu_count()} processors", *best])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
