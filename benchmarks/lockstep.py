"""The same search with hw1, timed as the baselines are: without imports and reading the data.

    python benchmarks/lockstep.py --study fashion_cnn --seed 1 --trials 4 --epochs 2 --data data \\
        --storage sqlite:///lockstep.db --write configurations.json splits.npz

Draws random configurations without early stopping and pruning, trains them, and writes them and
the folds for the baselines. The last line of its output is a JSON object.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as run_study.py does

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from hw1.cross_validation import Splits
from hw1.datasets import Dataset
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.objective import Objective
from hw1.optuna_store.storage import Storage
from hw1.optuna_store.working_copy import WorkingCopy
from hw1.study import Study
from hw1.study_files import find_device
from hw1.training.precision import choose_precision

STUDIES = Path(__file__).resolve().parent.parent / "studies"
WITHOUT_PATIENCE = """from dataclasses import replace
from pathlib import Path
from hw1.study_files import load_definition

definition = load_definition(Path({path!r}))

def search_space(trial):
    return replace(definition.configure(trial), patience=None)

study = replace(definition, search_space=search_space)
"""


class Clock:
    """Adds up the time in some methods, that within each other once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def watch(self, owner: type, name: str) -> None:
        """Count the time in a method."""
        method: Callable[..., Any] = getattr(owner, name)

        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def make_job(args: argparse.Namespace, folder: str) -> Job:
    path = Path(folder) / f"{args.study}.py"
    path.write_text(WITHOUT_PATIENCE.format(path=str(STUDIES / f"{args.study}.py")))
    return Job(
        definition_name=args.study,
        source=path,
        storage_url=args.storage,
        name=args.name or f"{args.study}-{args.seed}-{args.jobs}-{args.trials_per_batch}",
        data_dir=Path(args.data),
        device=find_device(args.device),
        trials_per_batch=args.trials_per_batch,
    )


def main() -> None:
    """Run the search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True)
    parser.add_argument("--data", required=True, help="the data folder, or a CSV file")
    parser.add_argument("--storage", required=True)
    parser.add_argument("--name")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--trials-per-batch", type=int)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--pruner", default="none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", nargs=2, metavar=("CONFIGURATIONS", "SPLITS"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if args.threads:
        torch.set_num_threads(args.threads)
    csv = args.data if args.data.endswith(".csv") else None
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(args, folder)
        options = Options(
            sampler=args.sampler,
            pruner=args.pruner,
            n_trials=args.trials,
            epochs=args.epochs,
            seed=args.seed,
            train_size=args.train_size,
            train_csv=csv,
            finalists=0,  # the others have no final round
            search_rows=2**31,  # and search on all rows
        )
        study, dataset = prepare(job, options)
        before = len(study.trials())
        load_compiled_code(job, dataset)
        clock = Clock()
        for owner, name in (
            (WorkingCopy, "__init__"),
            (WorkingCopy, "refresh"),
            (WorkingCopy, "save"),
            (Storage, "record_heartbeats"),
            (Study, "fail_orphans"),
            (Study, "progress"),
        ):
            clock.watch(owner, name)
        start = time.perf_counter()
        execute(job, study, dataset, jobs=args.jobs)
        seconds = time.perf_counter() - start
        trials = study.trials()[before:]
        if args.write:
            write(job, study, args)
    began = min(t.datetime_start for t in trials)
    fields = ("fold_scores", "seconds", "trials_per_batch", "backend", "precision")
    result = {
        "seconds": seconds,
        "storage_seconds": clock.seconds if args.jobs == 1 else None,
        "trials": [
            {"value": t.value, "ended": (t.datetime_complete - began).total_seconds()}
            | {name: t.user_attrs.get(name) for name in fields}
            for t in trials
        ],
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


def load_compiled_code(job: Job, dataset: Dataset) -> None:
    """Train a little: what is compiled is read from disk, which is a part of importing."""
    little = dataset.sample(min(len(dataset), 200), seed=0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")
    objective = Objective(
        job.definition,
        little,
        Splits.draw(little, 2, seed=0),
        seed=0,
        epochs=1,
        device=job.device,
        precision=choose_precision(job.device),
    )
    study.optimize(objective, n_trials=3)


def write(job: Job, study: Study, args: argparse.Namespace) -> None:
    """Write the configurations and the folds, with the rows of the data that were drawn."""
    configurations = [
        {"params": t.params, "configuration": t.user_attrs["configuration"]} for t in study.trials()
    ]
    Path(args.write[0]).write_text(json.dumps(configurations))
    settings = replace(study.settings, train_size=None)
    everything = job.load_data(settings, settings.seed)
    rows = np.arange(len(everything))
    if args.train_size:
        # The place of a row stands for it while the sample is drawn.
        numbers = torch.arange(len(everything), dtype=torch.float64)[:, None]
        numbered = replace(everything, inputs=numbers, feature_names=())
        rows = numbered.sample(args.train_size, settings.seed).inputs[:, 0].long().numpy()
    np.savez(args.write[1], rows=rows, folds=study.splits().folds)


if __name__ == "__main__":
    main()
