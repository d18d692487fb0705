"""Replay searches from the trained table: which defaults find the better network.

    python -m benchmarks.search_quality.replay --table /tmp/table

Writes results.json and the tables between the marks in README.md; minutes.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.run import hardware, versions
from benchmarks.search_quality.effects import effects
from benchmarks.search_quality.playing import Option, Played, play, ratio
from benchmarks.search_quality.problems import problems as make_problems
from benchmarks.search_quality.references import references
from benchmarks.search_quality.table import FUNCTIONS, OTHERS, Problem, load

HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
SAMPLER_SEEDS = 20
"""A search with a sampler that learns takes a hundred times as long as a random one."""


def experiments(trials: int) -> dict[str, list[Option]]:
    """What is compared: in each list the first one is the base, 1.00."""
    base = Option(f"{trials} trials", trials)

    def on_top(k: int, r: int) -> dict[str, Any]:
        return base.settings | {"best_of": k, "rounds": r}

    return {
        "Trials": [
            base,
            replace(base, label="the default alone", n_trials=1),
            *(Option(f"{n} trials", n) for n in (trials // 3, 2 * trials, 4 * trials)),
            replace(base, label=f"{trials} trials, none of them the default", default=False),
        ],
        "Sampler": [
            base,
            *(replace(base, label=sampler, sampler=sampler) for sampler in ("qmc", "cmaes", "gp")),
            replace(base, label="tpe, one trial at a time", sampler="tpe"),
            replace(base, label="tpe, a tenth at a time", sampler="tpe", batch=trials // 10),
            Option(f"random, {2 * trials} trials", 2 * trials),
            Option(f"tpe, {2 * trials} trials, a tenth at a time", 2 * trials, "tpe", trials // 5),
        ],
        "Pruner": [
            replace(base, label=pruner, settings=base.settings | {"pruner": pruner})
            for pruner in ("none", "median", "percentile", "halving")
        ],
        "Value": [
            replace(base, label="last epoch"),
            replace(
                base, label="mean of the last 25 epochs", settings={"rule": "last", "window": 25}
            ),
            replace(base, label="least of the mean curve", settings={"rule": "least"}),
            *(
                replace(
                    base, label=f"least, smoothed by {w}", settings={"rule": "least", "window": w}
                )
                for w in (5, 15, 51, 101)
            ),
        ],
        "Rounds at equal cost": [
            base,
            *(
                Option(f"{n} trials, best {k} by {r}", n, settings=on_top(k, r))
                for k in (2, 3, 5, 10)
                for r in (1, 2)
                if (n := trials - k * r) >= k
            ),
        ],
        "Rounds on top": [
            base,
            *(
                replace(base, label=f"best {k} by {r}", settings=on_top(k, r))
                for k in (2, 3, 5, 10)
                for r in (1, 2)
            ),
        ],
        "Folds": [
            replace(base, label="random folds"),
            replace(base, label="and folds that are intervals", intervals=True),
        ],
        "Final networks": [
            replace(base, label="one network on all rows"),
            replace(base, label="5 seeds on all rows", networks="seeds"),
            replace(base, label="the search's 5 networks", networks="folds"),
            *(
                replace(base, label=f"{label} of each of the best {m}", networks=n, members=m)
                for m in (2, 3, 5, 10)
                for label, n in (("5 seeds", "seeds"), ("the 5 networks", "folds"))
            ),
        ],
    }


def compare(
    problems: dict[str, Problem], options: Sequence[Option], n_seeds: int
) -> list[dict[str, Any]]:
    """Of each option the ratios of errors to those of the first one."""
    base: dict[str, Played] = {}
    rows = []
    smallest = min(len(p.numbers) for p in problems.values())
    for option in options:
        if option.n_trials > smallest and base:  # it would be a search of all, under another name
            continue
        n = n_seeds if option.sampler == "random" else min(n_seeds, SAMPLER_SEEDS)
        played = {name: play(p, option, n) for name, p in problems.items()}
        base = base or played
        print(f"  {option.label}", file=sys.stderr)
        rows.append({"option": option.label} | _row(played, base))
    return rows


def _row(played: dict[str, Played], base: dict[str, Played]) -> dict[str, Any]:
    """What is said of an option."""
    n = min(len(p.test) for p in (*played.values(), *base.values()))

    def of(part: str, names: Sequence[str]) -> tuple[float, float, float]:
        there = [name for name in names if name in played]
        return ratio(*([getattr(one[name], part)[:n] for name in there] for one in (played, base)))

    distances = [p.distance.mean() for p in played.values() if np.isfinite(p.distance).all()]
    return {
        "test_functions": of("test", FUNCTIONS),
        "test_others": of("test", OTHERS),
        "honest": of("honest", list(played)),
        "honest_homework": of("honest", ["homework"])[0],
        "gaps_homework": of("gaps", ["homework"])[0],
        "cost": float(np.mean([p.cost.mean() for p in played.values()])),
        "seeds": n,
        "distance": float(np.mean(distances)) if distances else None,
        "test": {k: float(np.exp(np.log(p.test).mean())) for k, p in played.items()},
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| | test error, functions | test error, others | honest CV | homework: honest CV, gaps "
        "| cost in trials |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_range(row[k]) for k in ("test_functions", "test_others", "honest")]
        homework = f"{row['honest_homework']:.2f}, {row['gaps_homework']:.2f}"
        cells += [homework, f"{row['cost']:.1f}"]
        lines.append(f"| {row['option']} | {' | '.join(cells)} |".replace("nan", "–"))
    return "\n".join(lines)


def _range(values: tuple[float, float, float]) -> str:
    mean, low, high = values
    return "–" if np.isnan(mean) else f"**{mean:.2f}** ({low:.2f} to {high:.2f})"


def references_table(found: dict[str, dict[str, float]]) -> str:
    """As Markdown."""
    lines = [f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    names = list(dict.fromkeys(name for own in found.values() for name in own))
    for name in names:
        cells = [f"{own[name]:.4g}" if name in own else "–" for own in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_references(
    problems: dict[str, Problem], n_trials: int, n_seeds: int
) -> dict[str, dict[str, float]]:
    """Test errors of each problem: of scikit-learn's estimators, and of a search's networks."""
    base = Option(f"{n_trials} trials, one network", n_trials)
    ours = [
        base,
        replace(base, label=f"{n_trials} trials, 5 seeds", networks="seeds"),
        replace(base, label=f"{n_trials} trials, the search's 5 networks", networks="folds"),
    ]
    makers = make_problems(Path())
    found = {}
    for name, problem in problems.items():
        if problem.has_test:
            found[name] = references(makers[name]())
            for option in ours:
                test = play(problem, option, n_seeds).test
                found[name][option.label] = float(np.exp(np.log(test).mean()))
            best = np.nanmin(problem.test["test_seed_ensembles"][:, -1])
            found[name]["the best 5 seeds in the table, last epoch"] = float(best)
    return found


def effects_table(rows: Sequence[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = ["| parameter | value | n | functions | others |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [_range(row[kind]) for kind in ("functions", "others")]
        lines.append(f"| {row['parameter']} | {row['value']} | {row['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Replay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="the folder that train.py filled")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--trials", type=int, default=30, help="of the search that is the base")
    parser.add_argument("--only", nargs="+", help="some of the experiments; writes no file")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problems, wide = (load(args.table, space) for space in ("study", "wide"))
    if not problems:
        parser.error(f"{args.table} has no configurations: fill it with train.py")
    found: dict[str, Any] = {}
    texts = []
    for name, options in experiments(args.trials).items():
        if args.only and name not in args.only:
            continue
        print(name, file=sys.stderr)
        found[name] = compare(problems, options, args.seeds)
        texts.append(f"### {name}\n\n{table(found[name])}")
    if wide and (not args.only or "Effects" in args.only):
        found["Effects"] = effects(wide)
        texts.append(f"### Effects in the wide space\n\n{effects_table(found['Effects'])}")
    if not args.only or "References" in args.only:
        found["References"] = with_references(problems, args.trials, args.seeds)
        texts.append(f"### References\n\n{references_table(found['References'])}")
    sizes = {name: [len(p.numbers), 0] for name, p in problems.items()}
    for name, problem in wide.items():
        sizes[name][1] = len(problem.numbers)
    about = {
        "command": "python -m benchmarks.search_quality.replay --table TABLE "
        f"--trials {args.trials} --seeds {args.seeds}",
        "configurations": sizes,
        "seeds": args.seeds,
        "seconds_of_training": {n: float(p.seconds.sum()) for n, p in problems.items()},
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware("cpu"),
        "versions": versions(),
    }
    text = "\n\n".join(texts)
    if args.only:
        print(text)
        return
    write(about, found, text)
    print(text)


def write(about: dict[str, Any], found: dict[str, Any], text: str) -> None:
    """Write results.json, and the tables with what they come from into README.md."""
    RESULTS.write_text(json.dumps(about | {"experiments": found}, indent=1) + "\n")
    counted = ", ".join(f"{name} {n} and {m}" for name, (n, m) in about["configurations"].items())
    note = f"`{about['command']}`; samplers other than random with {SAMPLER_SEEDS} seeds. "
    note += f"Configurations of the study's space and of the wide one: {counted}. "
    note += f"{about['date']}, {about['hardware']}; {about['versions']}."
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{note}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
