"""Train the table: every configuration on every problem, once, with all that replays may ask for.

    python -m benchmarks.search_quality.train --data train_data.csv --out /tmp/table

Goes on where it stopped: each configuration and problem is a file of its own. ``--part 0/2`` and
``--part 1/2`` share the work between two processes, ``--minutes`` ends after that long.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as run_study.py does

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.search_quality.problems import OUTSIDE, Problem, problems
from benchmarks.search_quality.space import FIRST_OF_STUDY, MODEL, configuration, draw
from hw1.tasks import TASKS
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import Lockstep

SEEDS = 5
"""Networks that are trained on all training rows: as many as there are folds."""
POINTS = 40
"""At so many epochs, evenly spaced, test errors are kept."""
TOGETHER = 24
"""Configurations that are trained at a time: an epoch's launches are then shared."""


def train(problem: Problem, chosen: dict[int, Configuration]) -> dict[int, dict[str, np.ndarray]]:
    """What is kept of some configurations, which are trained together.

    Args:
        problem: the rows and their folds.
        chosen: the configurations by their numbers.

    Returns:
        By number; ``n_networks`` are those of all folds of all ``n_repeats``, one repeat after
        another; errors are mean squared ones or the share of wrong classes, NaN of what has
        diverged. Outputs are predictions in the target's units or probabilities. "Best" is the
        epoch with the least mean error over the folds of a repeat. Without test rows there is no
        "test".

        - ``curves (epochs, n_networks)``: each network's error on its fold,
        - ``best_epoch (n_repeats,)``; 0 if no error was finite,
        - ``held_out (2, n_repeats, n_train, n_outputs)``: at best and in the end, the outputs for
          each row by the network that has not seen it; NaN for a row that is in no fold,
        - ``epochs (POINTS,)``: at which the following are kept (fewer points of fewer epochs),
        - ``test_folds (POINTS, n_networks)``, ``test_fold_ensembles (POINTS, n_repeats)``,
        - ``test_seeds (POINTS, SEEDS)``, ``test_seed_ensembles (POINTS,)``: of networks that were
          trained on all rows,
        - ``test_outputs (2, 2, n_test, n_outputs)``: of the ensembles of the first repeat's folds
          and of the seeds, at the point nearest to the first repeat's best epoch, and in the end.
    """
    folds = problem.folds()
    owner = [(r, k) for r, f in enumerate(folds) for k in range(int(f[f != OUTSIDE].max()) + 1)]
    starts = [owner.index((r, 0)) for r in range(len(folds))]
    models = Lockstep(
        MODEL,
        [one for one in chosen.values() for _ in owner],
        problem.data,
        [torch.from_numpy(np.flatnonzero(folds[r] != k)) for r, k in owner] * len(chosen),
        [derive_seed(number, r, k) for number in chosen for r, k in owner],
        validation_rows=[torch.from_numpy(np.flatnonzero(folds[r] == k)) for r, k in owner]
        * len(chosen),
    )
    test = _Test(problem)
    epochs = np.unique(np.ceil(np.linspace(0, problem.epochs, POINTS + 1)).astype(int))[1:]
    curves = np.full((problem.epochs, len(chosen), len(owner)), np.nan, np.float32)
    sizes = np.diff([*starts, len(owner)])
    least = np.full((len(chosen), len(folds)), np.inf)
    best_epoch = np.zeros(least.shape, int)
    at_best = np.full(least.shape, None)
    points = []
    for epoch in range(1, problem.epochs + 1):
        models.train_epoch()
        scores, outputs = models.validate_and_predict()
        curves[epoch - 1] = errors = test.error(scores.numpy()).reshape(len(chosen), -1)
        means = np.add.reduceat(errors, starts, axis=1) / sizes
        better = means < least
        least[better], best_epoch[better] = means[better], epoch
        for i, r in np.argwhere(better):
            at_best[i, r] = outputs
        if problem.n_test and epoch in epochs:
            points.append(test.outputs(models).reshape(len(chosen), len(owner), problem.n_test, -1))
    seeds = _train_seeds(problem, chosen, epochs, test) if problem.n_test else []
    kept = {}
    for i, number in enumerate(chosen):
        held_out = np.full((2, len(folds), problem.n_train, test.n_outputs), np.nan, test.dtype)
        for j, (r, k) in enumerate(owner):
            rows = np.flatnonzero(folds[r] == k)
            for kind, found in enumerate((at_best[i, r], outputs)):
                if found is not None:
                    own = found[i * len(owner) + j, : len(rows)]
                    held_out[kind, r, rows] = test.shown(own).numpy()
        kept[number] = {
            "curves": curves[:, i],
            "best_epoch": best_epoch[i],
            "held_out": held_out,
            "epochs": epochs,
        }
        if problem.n_test:
            ends = [int(np.abs(epochs - best_epoch[i, 0]).argmin()), -1]
            folds_own, seeds_own = [p[i] for p in points], [p[i] for p in seeds]
            kept[number] |= _errors(test, folds_own, seeds_own, starts, sizes, ends)
    return kept


def _errors(
    test: "_Test",
    of_folds: list[np.ndarray],
    of_seeds: list[np.ndarray],
    starts: list[int],
    sizes: np.ndarray,
    ends: list[int],
) -> dict[str, np.ndarray]:
    """The test errors of a configuration, from its outputs at all points."""
    shape = (-1, 1, 1)
    together = [np.add.reduceat(p, starts, axis=0) / sizes.reshape(shape) for p in of_folds]
    seeds_together = np.stack([p.mean(0) for p in of_seeds])
    return {
        "test_folds": np.stack([test.errors(p) for p in of_folds]),
        "test_fold_ensembles": np.stack([test.errors(p) for p in together]),
        "test_seeds": np.stack([test.errors(p) for p in of_seeds]),
        "test_seed_ensembles": test.errors(seeds_together),
        "test_outputs": np.stack(
            [np.stack([together[e][0] for e in ends]), seeds_together[ends]]
        ).astype(test.dtype),
    }


def _train_seeds(
    problem: Problem, chosen: dict[int, Configuration], epochs: np.ndarray, test: "_Test"
) -> list[np.ndarray]:
    """At some epochs the test outputs of networks that were trained on all training rows,
    ``(n_configurations, SEEDS, n_test, n_outputs)``."""
    models = Lockstep(
        MODEL,
        [one for one in chosen.values() for _ in range(SEEDS)],
        problem.data,
        [torch.arange(problem.n_train)] * (SEEDS * len(chosen)),
        [derive_seed(number, seed, 0, 1) for number in chosen for seed in range(SEEDS)],
    )
    found = []
    for epoch in range(1, problem.epochs + 1):
        models.train_epoch()
        if epoch in epochs:
            outputs = test.outputs(models)
            found.append(outputs.reshape(len(chosen), SEEDS, problem.n_test, -1))
    return found


class _Test:
    """The test rows of a problem, and errors on them."""

    def __init__(self, problem: Problem) -> None:
        self.task = TASKS[problem.data.task]
        self.rows = torch.arange(problem.n_train, len(problem.data))
        self.targets = problem.data.targets[self.rows].numpy()
        self.n_outputs = problem.data.n_outputs
        self.dtype = np.float32 if self.task.normalizes_targets else np.float16

    def shown(self, outputs: Tensor) -> Tensor:
        """Predictions or probabilities; NaN where a network has diverged."""
        return outputs if self.task.normalizes_targets else outputs.softmax(-1)

    def outputs(self, models: Lockstep) -> np.ndarray:
        """``(n_models, n_test, n_outputs)``."""
        return self.shown(models.predict(self.rows)).double().numpy()

    def error(self, scores: np.ndarray) -> np.ndarray:
        """What is least for the best network, from hw1's scores."""
        return 1 - scores if self.task.metric().maximize else scores

    def errors(self, outputs: np.ndarray) -> np.ndarray:
        """Of ``(n, n_test, n_outputs)``: ``(n,)`` float32; NaN for what has diverged."""
        if self.task.normalizes_targets:
            found: np.ndarray = ((outputs - self.targets) ** 2).mean((1, 2))
        else:
            found = (outputs.argmax(2) != self.targets).mean(1)
            found = np.where(np.isfinite(outputs).all((1, 2)), found, np.nan)
        rounded: np.ndarray = found.astype(np.float32)
        return rounded


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the homework's training rows")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the table")
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--space", choices=("study", "wide"), default="study")
    parser.add_argument("--part", default="0/1", help="I/N: every N-th configuration, from I")
    parser.add_argument("--minutes", type=float, default=np.inf)
    parser.add_argument("--problems", nargs="+", help="default: all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    made = {n: make() for n, make in problems(args.data).items() if n in (args.problems or [n])}
    args.out.mkdir(parents=True, exist_ok=True)
    first, step = map(int, args.part.split("/"))
    start = FIRST_OF_STUDY if args.space == "study" else 0
    numbers = range(start + first, start + args.configurations, step)
    n_trained, ends = 0, time.perf_counter() + 60 * args.minutes
    for few in (numbers[i : i + TOGETHER] for i in range(0, len(numbers), TOGETHER)):
        for name, problem in made.items():
            paths = {number: args.out / f"{name}-{number:05}.npz" for number in few}
            missing = [number for number, path in paths.items() if not path.exists()]
            if not missing:
                continue
            if time.perf_counter() > ends:
                print(f"{n_trained} trained; there is more to do")
                raise SystemExit(3)
            before = time.perf_counter()
            kept = train(problem, {n: configuration(draw(n), problem) for n in missing})
            seconds = (time.perf_counter() - before) / len(missing)
            for number in missing:
                save(paths[number], kept[number], draw(number), seconds)
            n_trained += len(missing)
    print(f"{n_trained} trained; the table has all {args.configurations}")


def save(
    path: Path, kept: dict[str, np.ndarray], parameters: dict[str, Any], seconds: float
) -> None:
    """Write a file of the table; nobody sees a part of it."""
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            parameters=np.array(json.dumps(parameters)),
            seconds=np.array(seconds),
            **kept,  # type: ignore[arg-type]
        )
    partial.rename(path)


if __name__ == "__main__":
    main()
