"""How soon hw1 has found what a plain Optuna study finds, and how good it is after as many trials.

    python benchmarks/race.py                        regression_mlp, ten seeds: half an hour
    python benchmarks/race.py --study fashion_mlp --rows 12000 --epochs 20 --seeds 2

Both sides search the same space with Optuna's TPE and its median pruner, on the same data, folds
and epochs, as many trials of each seed, in turn: hw1 as `run` does with its defaults, but without
the final round; the other as one writes it (`plain_pytorch.py`: one fold after another, pruned
between folds). The clock starts with the first trial, so that imports and compilation are not in
it. What counts is the time that the plain study takes, over the time after which hw1 has a value
as good as the best one of that study; and the best values after equal trials, by Wilcoxon's
signed-rank test.

What is found goes to race.json.
"""

import argparse
import json
import os
import statistics
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from run import call, hardware, say, versions
from scipy.stats import wilcoxon

RESULTS = Path(__file__).resolve().parent / "race.json"


def main() -> None:
    """Run both sides for every seed and write what they have found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="regression_mlp")
    parser.add_argument("--data", default=os.environ.get("HW1_DATA", "data"))
    parser.add_argument("--rows", type=int, help="a random subset of the training examples")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    regression = args.study == "regression_mlp"
    data = args.data
    if regression:
        data = str(Path(args.data) / "homework1" / "train_data.csv")
    shared = {"study": args.study, "data": data, "epochs": args.epochs, "trials": args.trials}
    seeds = []
    for seed in range(args.seeds):
        seeds.append(race(shared | {"seed": seed}, args.rows, regression))
        say(json.dumps(seeds[-1]))
        write(shared, args.rows, seeds)


def race(shared: dict[str, Any], rows: int | None, lower: bool) -> dict[str, Any]:
    """Both sides with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        files = (f"{folder}/configurations.json", f"{folder}/splits.npz")
        ours = call(
            "lockstep.py",
            **shared,
            **({"train_size": rows} if rows else {}),
            sampler="tpe",
            pruner="median",
            storage=f"sqlite:///{folder}/hw1.db",
            write=files,
        )
        plain = call(
            "plain_pytorch.py",
            **shared,
            prune=(),
            splits=files[1],
            storage=f"sqlite:///{folder}/plain.db",
        )
    best = min if lower else max
    goal, own = (
        best(t["value"] for t in side["trials"] if t["value"] is not None) for side in (plain, ours)
    )
    reached = [
        t["ended"]
        for t in ours["trials"]
        if t["value"] is not None and best(t["value"], goal) == t["value"]
    ]
    seconds = max(t["ended"] for t in plain["trials"])
    return {
        "plain_best": goal,
        "best": own,
        "plain_seconds": seconds,
        "seconds": max(t["ended"] for t in ours["trials"]),
        "ratio": seconds / min(reached) if reached else None,
    }


def write(shared: dict[str, Any], rows: int | None, seeds: list[dict[str, Any]]) -> None:
    """Add the results of a study to those that are there."""
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    differences = [one["best"] - one["plain_best"] for one in seeds]
    ratios = [one["ratio"] or 0.0 for one in seeds]
    stored[shared["study"]] = {
        "trials": shared["trials"],
        "epochs": shared["epochs"],
        "rows": rows,
        "median_ratio": statistics.median(ratios),
        "not_reached": ratios.count(0.0),
        "median_of_all_trials": statistics.median(o["plain_seconds"] / o["seconds"] for o in seeds),
        "median_difference": statistics.median(differences),
        "p": float(wilcoxon(differences).pvalue) if any(differences) else 1.0,
        "seeds": seeds,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware("cpu"),
        "versions": versions(),
    }
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
