"""Studies in storage: their settings, their progress, their next trial."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

import hw1
from hw1.errors import ForeignStudyError, InputError, choose
from hw1.names import require_study
from hw1.optuna_store.storage import GRACE_SECONDS, Storage
from hw1.processes import lives, this_process
from hw1.samplers import PRUNERS, SAMPLERS
from hw1.standings import ENTRY_FIELDS, Entry, Progress, Round, Standings
from hw1.tasks import METRICS, Metric

if TYPE_CHECKING:  # what only reads a study does without torch
    from hw1.cross_validation import Splits

OUT_OF_MEMORY = "out of memory"
COUNTED = ("running", "completed", "pruned", OUT_OF_MEMORY)
"""The trials that count towards a study's target, by `state_name`: not those that were interrupted,
which are made up for, nor those that were never trained."""
SPLITS_KEY, SHOWN_KEY, FACTS_KEY = "hw1:splits", "hw1:shown", "hw1:facts"
"""The attributes of a study that hold its folds, its `hw1.objective.shown_data`, and the facts of
its data, `hw1.datasets.Dataset.facts`."""
ROUNDS_KEY, ROUNDS_WORKER = "rounds", "hw1:rounds_worker"
"""The user attribute of a study that holds what was scored in its rounds, as `Entry`, and the
system attribute that says which process works on them."""
RETRY_OF, CRASHES = "retry_of", "crashes"
"""The user attributes of a trial that repeats an interrupted one: that one's number, and how often
a process has died with these parameters."""
MOST_CRASHES = 3
"""After which parameters are not tried again: they may be the reason."""
NUMBER = int | float
KEPT: dict[str, Any] = {
    "worker": dict,
    "configuration": dict,
    "provenance": dict | None,
    **dict.fromkeys(("curves", "training_losses", "training_scores", "validation_losses"), list),
    "fold_scores": list,
    "batch": list,
    "best_epoch": int,
    "epochs": int,
    "n_parameters": int,
    "trials_per_batch": int,
    "grid_cell": int,
    RETRY_OF: int,
    CRASHES: int,
    "std": NUMBER,
    "seconds": NUMBER,
    "stopped": str,
    "device": str,
    "backend": str,
    "way": str,  # what earlier versions called it
    "precision": str,
    "failure": str,
    "refused": str,
}
"""The types of what is kept with a trial; see `hw1.objective.Objective`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a study is made of: stored with it and the same for all its trials.

    Attributes:
        definition: a name in ``studies/``, or the path of a study file.
        sampler: one of `SAMPLERS`.
        pruner: one of `PRUNERS`.
        n_splits: the number of folds.
        epochs: the epochs of a trial at most.
        seed: decides all that is random.
        train_size: the number of training examples drawn from the data; None for all.
        train_csv: the CSV file that replaces the definition's data.
        test_csv: the test examples beside it.
        target: their target column.
        dataset: the name of the data.
        fingerprint: of the training examples; see `hw1.datasets.Dataset`.
        n_rows: the number of training examples.
        splits: the hash of the folds.
        metric: what a trial's value measures.
        search_space: each parameter's distribution as JSON.
        grid: the cells of a grid study, in the order in which they are visited.
        version: of hw1 when the study was made.
        outer_fold: ``(n_splits, fold)`` for a study that is part of a nested cross-validation and
            searches on the examples outside this outer fold alone.
        search_rows: the training examples that trials are cross-validated on; None for all.
        rounds: what follows the search.
    """

    definition: str
    sampler: str
    pruner: str
    n_splits: int
    epochs: int
    seed: int
    train_size: int | None
    train_csv: str | None
    test_csv: str | None
    target: str | None
    dataset: str
    fingerprint: str
    n_rows: int
    splits: str
    metric: str
    search_space: dict[str, str]
    grid: list[dict[str, Any]] | None
    version: str
    outer_fold: tuple[int, int] | None = None
    search_rows: int | None = None
    rounds: tuple[Round, ...] = ()

    def __post_init__(self) -> None:
        rounds = tuple(Round(**one) if isinstance(one, dict) else one for one in self.rounds)
        object.__setattr__(self, "rounds", rounds)
        if self.outer_fold is not None:  # JSON has no tuples
            object.__setattr__(self, "outer_fold", tuple(self.outer_fold))
        for name, hint in get_type_hints(Settings).items():
            kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
            if not isinstance(getattr(self, name), tuple(get_origin(k) or k for k in kinds)):
                raise TypeError(name)
        choose("sampler", self.sampler, SAMPLERS)
        choose("pruner", self.pruner, PRUNERS)
        if not all(isinstance(one, Round) for one in rounds):
            raise TypeError("rounds")

    @property
    def finalists(self) -> int:
        """The trials in the final round."""
        return self.rounds[-1].trials if self.rounds else 0

    @property
    def final_repeats(self) -> int:
        """The cross-validations of each of them."""
        return self.rounds[-1].repeats if self.rounds else 0

    def rounds_share(self, n_trials: int) -> float:
        """The part of a study's training that its rounds take, if no trial is pruned."""
        search = n_trials * self.epochs * (self.search_rows or self.n_rows)
        rounds = sum(
            min(one.trials, n_trials) * one.repeats * self.examples(one) for one in self.rounds
        )
        return rounds / (rounds + search)

    def examples(self, one: Round) -> int:
        """The examples of all epochs of a cross-validation in a round."""
        return (one.epochs or self.epochs) * min(one.rows or self.n_rows, self.n_rows)


class Study:
    """A study of hw1's in a storage.

    Args:
        storage: where it is.
        name: what it is called there.

    Raises:
        ForeignStudyError: it was not made by hw1.
        InputError: there is no such study, it is damaged or of another version, or its direction
            is not that of its metric.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        self.name = name
        require_study(storage, name)
        with storage.readable(f"the study {name!r}"):
            self.optuna_study = optuna.load_study(
                study_name=name, storage=storage, sampler=RandomSampler(), pruner=NopPruner()
            )
            attributes = self.optuna_study.user_attrs
            if "settings" not in attributes:
                raise ForeignStudyError(
                    f"the study {name!r} was not made by hw1: choose another --name"
                )
            try:
                self.settings = Settings(**attributes["settings"])
            except TypeError as error:
                raise InputError(
                    f"the settings of {name!r} are not those of hw1 {hw1.__version__}: continue it "
                    "with the version that made it, or choose another --name"
                ) from error
            directions = [direction.name.lower() for direction in self.optuna_study.directions]
            if directions != [self.metric.direction]:
                raise InputError(
                    f"the study {name!r} is to {' and '.join(directions)}, but its "
                    f"{self.metric.name} is to {self.metric.direction}: choose another --name"
                )
            _ = self.n_trials  # that it can be read

    @property
    def metric(self) -> Metric:
        """What a trial's value measures."""
        return METRICS[self.settings.metric]

    @property
    def n_trials(self) -> int:
        """The number of trials that the study is to have."""
        return int(self.optuna_study.user_attrs["n_trials"])

    def kept(self) -> dict[str, Any]:
        """What is stored of its folds and its data, under `SPLITS_KEY` and the like."""
        return self.storage.get_study_system_attrs(self.storage.get_study_id_from_name(self.name))

    @property
    def facts(self) -> dict[str, Any] | None:
        """`hw1.datasets.Dataset.facts` of its data; None if an earlier version made the study.

        Raises:
            InputError: they are damaged.
        """
        with self.storage.readable(f"the study {self.name!r}"):
            facts = self.kept().get(FACTS_KEY)
            if facts is not None:
                lists = [facts[key] for key in ("input_shape", "class_names", "feature_names")]
                if not all(isinstance(value, list) for value in lists) or not (
                    isinstance(facts["n_outputs"], int) and isinstance(facts["target_name"], str)
                ):
                    raise TypeError(FACTS_KEY)
        return facts

    def splits(self) -> "Splits":
        """The folds that all trials share.

        Raises:
            InputError: they are damaged.
        """
        from hw1.cross_validation import Splits

        with self.storage.readable(f"the study {self.name!r}"):
            splits = Splits.decode(self.kept()[SPLITS_KEY])
            if splits.hash != self.settings.splits:
                raise ValueError("its folds are others")
        return splits

    def trials(self) -> list[FrozenTrial]:
        """All trials, not to be changed.

        Raises:
            InputError: one of them is damaged.
        """
        trials = self.optuna_study.get_trials(deepcopy=False)
        with self.storage.readable(f"the study {self.name!r}"):
            for number, trial in enumerate(trials):
                if trial.number != number:
                    raise ValueError(f"trial {number} is missing")
                if trial.state == TrialState.COMPLETE and len(trial.values) != 1:
                    raise ValueError(f"the values of trial {number}")
                for name in trial.user_attrs.keys() & KEPT.keys():
                    if not isinstance(trial.user_attrs[name], KEPT[name]):
                        raise TypeError(f"{name} of trial {number}")
                    if KEPT[name] is NUMBER:
                        float(trial.user_attrs[name])  # a whole number may be too large for one
                if not all(isinstance(x, float) for x in trial.user_attrs.get("fold_scores", ())):
                    raise TypeError(f"fold_scores of trial {number}")
        return trials

    def best_trial(self) -> FrozenTrial:
        """The completed trial that wins: by the final round, or by its value if there is none yet.

        Raises:
            InputError: no trial has completed yet.
        """
        best = self.progress().best
        if best is None:
            raise InputError(f"no trial of {self.name!r} has completed yet: run it for longer")
        return best

    def trial(self, number: int | None = None, *, pruned: bool = False) -> FrozenTrial:
        """The completed trial of that number, or with ``pruned`` a pruned one; None for the best.

        Raises:
            InputError: there is none.
        """
        if number is None:
            return self.best_trial()
        trials = self.trials()
        if not 0 <= number < len(trials):
            has = f"0 to {len(trials) - 1}" if trials else "none yet"
            raise InputError(f"{self.name!r} has no trial {number}: its trials are {has}")
        state, wanted = state_name(trials[number]), ("completed", "pruned")[: 1 + pruned]
        if state not in wanted:
            raise InputError(
                f"trial {number} of {self.name!r} is {state}: choose a {' or '.join(wanted)} one, "
                "as `trials` shows them"
            )
        return trials[number]

    def ranked(self, trials: Sequence[FrozenTrial] | None = None) -> list[FrozenTrial]:
        """The completed trials, those of the study unless some are given, the best first."""
        trials = self.trials() if trials is None else trials
        completed = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        return self.metric.best_first(completed, lambda trial: trial.values[0])

    def standings(self, trials: Sequence[FrozenTrial] | None = None) -> Standings:
        """Who takes part in the rounds and what they score, as far as the study is.

        Raises:
            InputError: what is stored of them is damaged.
        """
        ranked = [t.number for t in self.ranked(trials) if "configuration" in t.user_attrs]
        with self.storage.readable(f"the rounds of {self.name!r}"):
            stored = self.optuna_study.user_attrs.get(ROUNDS_KEY, [])
            if not isinstance(stored, list) or any(one.keys() != ENTRY_FIELDS for one in stored):
                raise TypeError("not a list of entries")
            entries = [Entry(**one) for one in stored]
            for entry in entries:
                one = self.settings.rounds[entry.round]
                entry.check(one, self.settings.n_splits, self.settings.epochs)
            return Standings(self.settings.rounds, ranked, entries, self.metric)

    def progress(self, trials: Sequence[FrozenTrial] | None = None) -> Progress:
        """How far the study is, from its trials in storage unless they have just been read."""
        trials = self.trials() if trials is None else trials
        n = Counter(map(state_name, trials))
        n_trials = self.n_trials
        if self.settings.grid is not None:
            n_trials = min(n_trials, len(self.settings.grid) - n["invalid"])
        ranked, standings = self.ranked(trials), self.standings(trials)
        best = trials[standings.final[0].trial] if standings.final else next(iter(ranked), None)
        in_rounds = not standings.complete and self.rounds_worker() is not None
        return Progress(
            n_trials=n_trials,
            done=sum(n[state] for state in COUNTED) - n["running"],
            running=n["running"],
            completed=n["completed"],
            pruned=n["pruned"],
            failed=n["failed"] + n[OUT_OF_MEMORY],
            interrupted=n["interrupted"],
            refused=n["invalid"],
            best=best,
            standings=standings,
            in_rounds=in_rounds,
        )

    def rounds_worker(self) -> dict[str, Any] | None:
        """The process that works on the rounds, if there is one and it lives."""
        worker = self.kept().get(ROUNDS_WORKER)
        if not isinstance(worker, dict) or not lives(worker):
            return None
        seen = worker.get("seen")  # all that is known of a process of another machine
        is_late = not isinstance(seen, NUMBER) or time.time() - seen > GRACE_SECONDS
        return None if is_late else worker

    def fail_orphans(self, *, own: bool = False) -> None:
        """Mark as failed the running trials that are lost, and queue their parameters again.

        Lost are on this machine those whose process is gone, on others those without a heartbeat
        for `GRACE_SECONDS`, and with ``own`` those of this process, which it gives up. Trials that
        plain Optuna runs are left alone. The cells of a grid need no queue: they are asked for
        until they have been visited.
        """
        with self.storage.lock:
            study_id = self.storage.get_study_id_from_name(self.name)
            stale = self.storage.stale_trials(study_id)
            trials = self.trials()
            retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
            for trial in trials:
                worker = trial.user_attrs.get("worker")
                if trial.state != TrialState.RUNNING or worker is None:
                    continue
                given_up = own and worker == this_process()
                if not (given_up or trial.number in stale or not lives(worker)):
                    continue
                crashes = trial.user_attrs.get(CRASHES, 0) + (not given_up)
                if (
                    self.settings.grid is None
                    and trial.number not in retried
                    and crashes <= MOST_CRASHES
                ):
                    attributes = {RETRY_OF: trial.number, CRASHES: crashes}
                    self.optuna_study.enqueue_trial(trial.params, user_attrs=attributes)
                self.optuna_study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards the study's target; see `COUNTED`."""
    return state_name(trial) in COUNTED


def state_name(trial: FrozenTrial) -> str:
    """What became of a trial, in a word; invalid is one whose network is."""
    if trial.state == TrialState.PRUNED and "refused" in trial.user_attrs:
        return "invalid"
    if trial.state == TrialState.FAIL:
        failure = trial.user_attrs.get("failure")
        return failure if failure == OUT_OF_MEMORY else "failed" if failure else "interrupted"
    return "completed" if trial.state == TrialState.COMPLETE else trial.state.name.lower()
