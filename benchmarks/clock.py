"""How good a network is after 15 or 60 minutes on a clock, from raw images to the test score.

    python benchmarks/clock.py 15
    python benchmarks/clock.py 60 --seed 1

Both search `fashion_cnn` on few images, train the winner on all 60,000 with two seeds, and score
the test images, as `run` and `evaluate` do. The clock starts before the first process and stops
after the last, so that imports, compilation and reading the files are in it. What is found goes to
clock.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from run import hardware, say, versions

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "clock.json"
SEARCHES = {
    15: "--trials 4 --search-rows 3000 --epochs 10 --finalists 0",
    60: "--trials 5 --search-rows 3000 --epochs 24 --finalists 0",
}
"""For each number of minutes, what leaves enough of them for the final training."""
EVALUATION = "--repeats 0 --seeds 2"


def main() -> None:
    """Search, evaluate and write what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=int, choices=SEARCHES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    search = f"run fashion_cnn --name clock --seed {args.seed} {SEARCHES[args.minutes]}"
    evaluation = f"evaluate clock {EVALUATION}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTUNA_STORAGE"] = f"sqlite:///{folder}/studies.db"
        started = time.monotonic()
        call(search)
        searched = time.monotonic()
        found = json.loads(call(f"{evaluation} --json"))
        ended = time.monotonic()
        params = json.loads(call("best clock --json"))["params"]
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result = {
        "commands": [search, evaluation],
        "search_minutes": round((searched - started) / 60, 1),
        "minutes": round((ended - started) / 60, 1),
        "test_each_seed": found["test"]["scores"],
        "test_ensemble": found["test"]["ensemble"],
        "params": params,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware("cpu"),
        "versions": versions(),
    }
    say(json.dumps(result, indent=1))
    stored[f"{args.minutes} minutes, seed {args.seed}"] = result
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


def call(text: str) -> str:
    """Run a command of hw1 with the data that are at hand; what it prints."""
    line: list[Any] = [sys.executable, HERE.parent / "run_study.py", *text.split()]
    return subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
