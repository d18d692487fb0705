"""Measure how much faster hw1 is than what a user would write without it.

    python benchmarks/run.py                     all comparisons: three quarters of an hour
    python benchmarks/run.py fashion_mlp growth  some of them
    python benchmarks/run.py --pairs 1           a first impression

Every comparison trains the same random configurations with the same data, folds and epochs on
both sides, several times, in turn, each time in new processes. What counts is the ratio within
such a pair; the median of the ratios and their spread go to results.json and to the table in
README.md, beside the results that are there from other comparisons.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import wilcoxon

HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PACKAGES = ("torch", "torchvision", "optuna", "scikit-learn", "skorch", "numpy")
PAIRS = 5
AGREE = 0.001
"""Scores are taken to differ if chance would part them so far less often than this."""

# The trials of a pair, their epochs, the rows of the training data, and hw1's side in one way or
# several, each with its target ratio.
COMPARISONS: dict[str, dict[str, Any]] = {
    "regression_mlp": {
        "trials": 12,
        "epochs": 200,
        "ours": {
            "one trial at a time": ({"--trials-per-batch": 1}, 6),
            "batches": ({}, 30),
        },
    },
    "regression_mlp on one thread": {
        "study": "regression_mlp",
        "trials": 12,
        "epochs": 200,
        "baseline": {"--threads": 1},
        "ours": {"batches": ({"--threads": 1}, None)},
    },
    "skorch": {
        "study": "regression_mlp",
        "trials": 4,
        "epochs": 200,
        "script": "skorch_search.py",
        "ours": {"batches": ({}, 20)},
    },
    "fashion_mlp": {"trials": 1, "epochs": 2, "rows": 12_000, "ours": {"": ({}, 12)}},
    "fashion_cnn": {
        "trials": 1,
        "epochs": 1,
        "rows": 12_000,
        "ours": {"": ({}, "4 with bf16, 2 without")},
    },
    "fashion_resnet": {
        "trials": 1,
        "epochs": 1,
        "rows": 3_000,
        "ours": {"": ({}, "3 with bf16")},
    },
}


def call(script: str, **options: Any) -> dict[str, Any]:
    """Run one side in a process of its own; its last line is JSON."""
    arguments = [str(a) for pair in options.items() for a in _flag(*pair)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _flag(name: str, value: Any) -> list[Any]:
    flag = name if name.startswith("--") else f"--{name.replace('_', '-')}"
    return [flag, *value] if isinstance(value, tuple) else [flag, value]


def compare(name: str, n_pairs: int, data: str, csv: str, device: str) -> dict[str, dict[str, Any]]:
    """Train the same configurations on both sides, pair by pair."""
    case = COMPARISONS[name]
    study = case.get("study", name)
    where = csv if study == "regression_mlp" else data
    sides: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {w: [] for w in case["ours"]}
    rows = {"train_size": case["rows"]} if "rows" in case else {}
    with tempfile.TemporaryDirectory() as folder:  # compiled once for all runs to come
        call(
            "lockstep.py", study=study, data=where, device=device, trials=2, epochs=1,
            storage=f"sqlite:///{folder}/first.db", **rows,
        )  # fmt: skip
    for pair in range(n_pairs):
        with tempfile.TemporaryDirectory() as folder:
            files = (f"{folder}/configurations.json", f"{folder}/splits.npz")
            shared = {"data": where, "epochs": case["epochs"], "device": device}
            ours = {}
            for number, (way, (options, _)) in enumerate(case["ours"].items()):
                ours[way] = call(
                    "lockstep.py",
                    study=study,
                    storage=f"sqlite:///{folder}/{number}.db",
                    trials=case["trials"],
                    seed=pair,
                    write=files,
                    **shared,
                    **rows,
                    **options,
                )
            script = case.get("script", "plain_pytorch.py")
            plain = {"study": study, "storage": f"sqlite:///{folder}/plain.db"}
            theirs = call(
                script,
                configurations=files[0],
                splits=files[1],
                **shared,
                **(plain if script == "plain_pytorch.py" else {}),
                **case.get("baseline", {}),
            )
        for way, result in ours.items():
            sides[way].append((result, theirs))
            seconds, baseline = result["seconds"], theirs["seconds"]
            ratio = baseline / seconds
            say(f"{name} {way}: {baseline:.1f} s / {seconds:.1f} s = {ratio:.1f}")
    return {
        ", ".join(filter(None, [name, way])): summarise(case, case["ours"][way][1], pairs)
        for way, pairs in sides.items()
    }


def summarise(
    case: dict[str, Any], target: Any, pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> dict[str, Any]:
    """What pairs of results say."""
    scores: list[tuple[float, float]] = []
    for ours, theirs in pairs:
        for mine, other in zip(ours["trials"], theirs["trials"], strict=True):
            folds = (mine["fold_scores"], other["fold_scores"])
            if None not in folds and np.isfinite(folds).all():  # none has diverged
                scores += zip(*folds, strict=True)
    mine, other = zip(*scores, strict=True)
    shares = [
        ours["storage_seconds"] / ours["seconds"] for ours, _ in pairs if ours["storage_seconds"]
    ]
    n_trials = case["trials"]
    return {
        "target": target,
        **spread([theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]),
        "trials": n_trials,
        "epochs": case["epochs"],
        "seconds_a_trial": statistics.median(ours["seconds"] for ours, _ in pairs) / n_trials,
        "baseline_seconds_a_trial": statistics.median(t["seconds"] for _, t in pairs) / n_trials,
        "score": statistics.median(mine),
        "baseline_score": statistics.median(other),
        "probability_of_the_difference": float(wilcoxon(mine, other).pvalue),
        "storage_share": statistics.median(shares) if shares else None,
        "precision": pairs[0][0]["trials"][0]["precision"],
        "threads": pairs[0][0]["threads"],
    }


def growth(n_pairs: int, csv: str) -> dict[str, Any]:
    """Trials a second at 2,000 stored trials, against those at 100, TPE and pruning included.

    What TPE suggests differs between the two, and so does the time that its networks train. So
    the training of a trial is taken to last as long in both as it does on average, and what it
    costs to ask for, report, prune and store a trial is what was measured in each.
    """
    ratios = []
    for pair in range(n_pairs):
        training, rest = [], []
        for stored in (100, 2000):
            with tempfile.TemporaryDirectory() as folder:
                storage = f"sqlite:///{folder}/studies.db"
                options = {
                    "study": "regression_mlp",
                    "data": csv,
                    "epochs": 200,
                    "storage": storage,
                    "name": "growth",
                    "sampler": "tpe",
                    "pruner": "median",
                    "seed": pair,
                }
                call("lockstep.py", trials=20, **options)
                call("fill.py", storage=storage, name="growth", trials=stored)
                result = call("lockstep.py", trials=stored + 20, **options)
            trained = sum(trial["seconds"] for trial in result["trials"])
            training.append(trained / 20)
            rest.append((result["seconds"] - trained) / 20)
        mean = statistics.mean(training)
        ratios.append((mean + rest[0]) / (mean + rest[1]))
        say(f"growth: {mean:.2f} s + {rest[0]:.3f} s, {rest[1]:.3f} s: {ratios[-1]:.2f}")
    return {"target": 0.8} | spread(ratios)


def memory(data: str) -> dict[str, Any]:
    """The peak memory of a full-size study on two processes, shared pages counted once."""
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("memory: only Linux tells")
    with tempfile.TemporaryDirectory() as folder:
        options = {"study": "fashion_cnn", "data": data, "trials": 2, "epochs": 1, "jobs": 2}
        arguments = [
            str(a)
            for pair in (options | {"storage": f"sqlite:///{folder}/studies.db"}).items()
            for a in _flag(*pair)
        ]
        peak = 0
        process = subprocess.Popen(
            [sys.executable, str(HERE / "lockstep.py"), *arguments], stdout=subprocess.DEVNULL
        )
        while True:
            peak = max(peak, _resident(process.pid))
            try:
                process.wait(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                continue
    say(f"memory: {peak / 2**30:.2f} GiB")
    return {"target": 3.0, "gigabytes": peak / 1e9}


def _resident(pid: int) -> int:
    """Bytes of memory of a process and its children, each page divided by those who share it."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended meanwhile
        return 0
    return total + sum(_resident(int(child)) for child in children)


def spread(ratios: list[float]) -> dict[str, Any]:
    """The median of ratios and their range."""
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "pairs": len(ratios),
    }


def say(text: str) -> None:
    """Tell how it is going."""
    print(text, file=sys.stderr, flush=True)


def hardware(device: str) -> str:
    """What it is measured on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    cpuinfo, matrix = Path("/proc/cpuinfo"), []
    if cpuinfo.exists():
        models = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
        flags = cpuinfo.read_text().split()
        matrix = [
            word for flag, word in (("avx512_bf16", "BF16"), ("amx_bf16", "AMX")) if flag in flags
        ]
    units = ", ".join([torch.backends.cpu.get_cpu_capability(), *matrix])
    return f"{name}, {os.cpu_count()} processors, {units}"


def versions() -> str:
    """The packages that matter."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = [
        "| comparison | target | reached, and range | s a trial, hw1 / baseline | score, hw1 / "
        "baseline | storage | date |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        if "gigabytes" in r:
            reached, times, score = f"{r['gigabytes']:.2f} GB", "", ""
            target = f"≤ {r['target']} GB"
        else:
            digits = 2 if r["ratio"] < 2 else 1
            low, ratio, high = (f"{r[k]:.{digits}f}" for k in ("low", "ratio", "high"))
            reached, target = f"**{ratio} ×** ({low} to {high}, n = {r['pairs']})", r["target"]
            times = score = ""
            if "score" in r:
                times = f"{r['seconds_a_trial']:.2f} / {r['baseline_seconds_a_trial']:.2f}"
                score = f"{r['score']:.3f} / {r['baseline_score']:.3f} (p = "
                score += f"{r['probability_of_the_difference']:.2g})"
            target = f"≥ {target}" if target else ""
        share = r.get("storage_share")
        storage = f"{share:.0%}" if share is not None else ""
        lines.append(
            f"| {name} | {target} | {reached} | {times} | {score} | {storage} | {r['date']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run comparisons and write their results."""
    names = [*COMPARISONS, "growth", "memory"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {'; '.join(names)}")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--data", default=os.environ.get("HW1_DATA", "data"))
    parser.add_argument("--csv", help="regression data; default: DATA/homework1/train_data.csv")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in names]
    if unknown or args.pairs < 1:
        parser.error(f"no comparison {unknown[0]!r}" if unknown else "--pairs is at least 1")
    csv = args.csv or str(Path(args.data) / "homework1" / "train_data.csv")
    if not Path(csv).exists():
        parser.error(f"{csv} is not there: name the folder of the data with --data or HW1_DATA")
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in args.names or names:
        if name == "growth":
            results = {name: growth(args.pairs, csv)}
        elif name == "memory":
            results = {name: memory(args.data)}
        else:
            results = compare(name, args.pairs, args.data, csv, args.device)
        for row, result in results.items():
            stored[row if args.device == "cpu" else f"{row}, {args.device}"] = result | {
                "date": datetime.now(timezone.utc).date().isoformat(),
                "hardware": hardware(args.device),
                "versions": versions(),
            }
        order = {n: names.index(n.partition(",")[0]) for n in stored}
        stored = {n: stored[n] for n in sorted(stored, key=lambda n: order[n])}
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n")
        write_table(stored)
    print(table(stored))
    differing = [
        name
        for name, result in stored.items()
        if result.get("probability_of_the_difference", 1) < AGREE
    ]
    if differing:
        sys.exit(f"the scores of both sides differ in {', '.join(differing)}")


def write_table(results: dict[str, dict[str, Any]]) -> None:
    """Put the table and what it was measured on between the marks in README.md."""
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    places = {(r["hardware"], r["versions"]) for r in results.values()}
    where = "\n".join(f"Measured on: {place}; {packages}." for place, packages in sorted(places))
    README.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{where}\n\n{END}{after}")


if __name__ == "__main__":
    main()
