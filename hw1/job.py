"""From a definition and options to a study in storage, new or continued."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from optuna.study import StudyDirection

import hw1
from hw1.cross_validation import Splits
from hw1.datasets import Dataset, Loader, tabular
from hw1.datasets.given import GIVEN, Given
from hw1.definition import CONFIGURATIONS, StudyDefinition
from hw1.errors import InputError, choose, is_count
from hw1.names import check_name
from hw1.objective import Objective, shown_data
from hw1.optuna_store.storage import Storage
from hw1.places import data_folder, storage_url
from hw1.rounds import Rounds, round_data, search_data
from hw1.samplers import PRUNERS, SAMPLERS
from hw1.standings import Round, with_last
from hw1.study import FACTS_KEY, SHOWN_KEY, SPLITS_KEY, Settings, Study, counts
from hw1.study_files import IN_PYTHON, find_definition, find_device, find_precision, load_definition
from hw1.tasks import METRICS
from hw1.training.precision import Precision, choose_precision
from hw1.watching import Watcher
from hw1.worker import Worker

# The command line's words for options whose names differ there.
FLAGS = {"n_splits": "folds", "n_trials": "trials"}
LEAST = {
    "n_trials": 1,
    "n_splits": 2,
    "epochs": 1,
    "seed": 0,
    "train_size": 1,
    "search_rows": 1,
    "finalists": 0,
    "final_repeats": 1,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run asks for; None where the study's own setting or the definition's serves.

    `finalists` and `final_repeats` change the last one of the definition's rounds; ``rounds``
    replaces all. Where ``epochs`` are given but not the rounds, rounds have as many.
    """

    sampler: str | None = None
    pruner: str | None = None
    n_trials: int | None = None
    n_splits: int | None = None
    epochs: int | None = None
    seed: int | None = None
    train_size: int | None = None
    train_csv: str | None = None
    test_csv: str | None = None
    target: str | None = None
    outer_fold: tuple[int, int] | None = None
    search_rows: int | None = None
    finalists: int | None = None
    final_repeats: int | None = None
    rounds: tuple[Round, ...] | None = None

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and not is_count(value, least):
                raise InputError(
                    f"invalid {FLAGS.get(name, name)} {value!r:.60}: give a whole number from "
                    f"{least}"
                )
        if self.seed is not None and self.seed >= 2**32:
            raise InputError(f"invalid seed {self.seed}: give a whole number below 2**32")


@dataclass(frozen=True)
class Job:
    """A study to be run: all that a worker process needs to start on it.

    Attributes:
        definition_name: what the study's settings call its definition.
        source: the study file, or the definition itself.
        storage_url: where the study is, or will be.
        name: what it is called there.
        data_dir: the data folder.
        device: where to train.
        precision: of convolutions and matrix products; None for what the device is made for.
        trials_per_batch: see `hw1.worker.Worker`.
        data: what is given in place of the definition's data.
    """

    definition_name: str
    source: Path | StudyDefinition
    storage_url: str = dataclasses.field(repr=False)  # it may hold a password
    name: str
    data_dir: Path
    device: torch.device
    precision: Precision | None = None
    trials_per_batch: int | None = None
    data: Given | None = dataclasses.field(default=None, repr=False)

    @cached_property
    def definition(self) -> StudyDefinition:
        """The study's definition."""
        return load_definition(self.source) if isinstance(self.source, Path) else self.source

    def loader(self, settings: Options | Settings) -> Loader:
        """The definition's loader, or that of the data or CSV files that replace its data."""
        if self.data is not None:
            return self.data
        if settings.train_csv is None:
            return self.definition.load
        return tabular.loader(
            settings.train_csv, settings.test_csv, target=settings.target, task=self.definition.task
        )

    def load_data(self, settings: Options | Settings, seed: int) -> Dataset:
        """The training examples of a study with these settings."""
        dataset = self.loader(settings)("train", self.data_dir)
        if settings.train_size is not None:
            dataset = dataset.sample(settings.train_size, seed)
        if settings.outer_fold is not None:
            n_splits, fold = settings.outer_fold
            outside = Splits.draw_outer(dataset, n_splits, seed).training_rows()[fold]
            dataset = dataset.take(outside)
        return dataset

    def load_unchanged(self, study: Study) -> Dataset:
        """The training examples of a stored study.

        Raises:
            InputError: they are no longer those that it was made with.
        """
        settings = study.settings
        dataset = self.load_data(settings, settings.seed)
        if dataset.fingerprint != settings.fingerprint:
            lacks_data = self.data is None and settings.dataset in GIVEN
            raise InputError(
                f"the study {study.name!r} was made of {settings.dataset} in Python: open it there "
                "with the same data=..."
                if lacks_data
                else f"the training examples of {study.name!r} have changed since it was made "
                f"(fingerprint {settings.fingerprint}, now {dataset.fingerprint}): undo that, or "
                "give the new study another --name"
            )
        return dataset

    def objective(self, study: Study, dataset: Dataset) -> Objective:
        """The objective of the study over its folds, of the training examples ``dataset``."""
        return Objective(
            self.definition,
            search_data(dataset, study.settings.search_rows, study.settings.seed),
            study.splits(),
            seed=study.settings.seed,
            epochs=study.settings.epochs,
            device=self.device,
            precision=self.precision or choose_precision(self.device),
        )

    def work(self, study: Study, dataset: Dataset, watcher: Watcher, deadline: float) -> None:
        """Run trials of the study in this process; see `Worker.run`."""
        objective = self.objective(study, dataset)
        worker = Worker(study, objective, trials_per_batch=self.trials_per_batch, watcher=watcher)
        worker.run(deadline)

    def work_on_rounds(
        self, study: Study, dataset: Dataset, watcher: Watcher, deadline: float
    ) -> None:
        """Run what is missing of the rounds after the search; see `hw1.rounds.Rounds.run`."""
        precision = self.precision or choose_precision(self.device)
        data = dataset.to(self.device)
        Rounds(study, self.definition, data, precision=precision, watcher=watcher).run(deadline)


def make_job(
    definition: StudyDefinition | str | Path,
    *,
    name: str | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    trials_per_batch: int | None = None,
) -> Job:
    """A study to be run, as the command line and `hw1.run` describe it.

    Args:
        definition: the study, or what `find_definition` finds it by.
        name: of the study in storage; None for that of the definition and of the sampler.
        sampler: None for the definition's.
        storage: None for `hw1.places.storage_url`.
        data_dir: None for `hw1.places.data_folder`.
        device, precision: see `hw1.study_files`.
        trials_per_batch: see `Job`.

    Raises:
        InputError: one of them is wrong, or a definition that has no name is not given one.
    """
    source: Path | StudyDefinition
    if isinstance(definition, StudyDefinition):
        label, source = IN_PYTHON, definition
    else:
        label, source = find_definition(str(definition))
    if name is None:
        if not isinstance(source, Path):
            raise InputError("a StudyDefinition has no name: give the study one, as name=...")
        chosen = sampler or load_definition(source).sampler
        name = f"{source.stem}-{choose('sampler', chosen, SAMPLERS)}"
    return Job(
        definition_name=label,
        source=source,
        storage_url=storage_url(storage),
        name=name,
        data_dir=data_folder(data_dir),
        device=find_device(device),
        precision=find_precision(precision),
        trials_per_batch=trials_per_batch,
    )


def prepare(job: Job, options: Options) -> tuple[Study, Dataset]:
    """Make the study, or take up the one of that name.

    Returns:
        The study, its target set, and its training examples.

    Raises:
        InputError: an option is wrong or differs from the study's setting; the search space or
            the data have changed since it was made; the data cannot be loaded.
    """
    check_name(job.name)
    storage = Storage(job.storage_url)
    settings = None
    if job.name not in storage.study_names():
        settings, dataset = _create(job, storage, options)
    study = Study(storage, job.name)
    if study.settings != settings:  # it was there, or another process was faster
        dataset = _check(job, study, options)
        stored = study.kept()  # less, if an earlier version made it
        searched = search_data(dataset, study.settings.search_rows, study.settings.seed)
        for key, value in _kept(searched).items():
            if key not in stored:
                study_id = storage.get_study_id_from_name(job.name)
                storage.set_study_system_attr(study_id, key, value)
    if options.n_trials is not None:
        with storage.lock:  # the total is never less than what there is already
            total = max(options.n_trials, sum(map(counts, study.trials())))
            if total != study.n_trials:
                study.optuna_study.set_user_attr("n_trials", total)
    return study, dataset


def _check(job: Job, study: Study, options: Options) -> Dataset:
    """Check that a run goes on with the study that is stored, and load its data."""
    settings, name = study.settings, study.name
    names = {job.definition_name, settings.definition}
    if len(names - {IN_PYTHON}) > 1:
        raise InputError(
            f"the study {name!r} is one of {settings.definition}, not of {job.definition_name}: "
            "give another --name"
        )
    for field in dataclasses.fields(options):
        given = getattr(options, field.name)
        if field.name == "n_trials" or given is None:
            continue
        stored = getattr(settings, field.name)
        if field.name == "search_rows" and given >= settings.n_rows:
            given = None  # all of them
        if given != stored:
            flag = "--" + FLAGS.get(field.name, field.name).replace("_", "-")
            made = f"with {flag} {stored}" if stored is not None else f"without {flag}"
            raise InputError(
                f"the study {name!r} was made {made}: leave {flag} {given} out to continue it, or "
                "give the new study another --name"
            )
    if job.definition.metric != settings.metric:
        raise InputError(
            f"the study {name!r} is scored by {settings.metric}, its definition now by "
            f"{job.definition.metric}: undo that, or give the new study another --name"
        )
    changes = _changes(settings.search_space, job.definition.fingerprint())
    if settings.grid is not None and _in_order(settings.grid) != _in_order(job.definition.cells()):
        changes.append("the grid or the defaults differ")
    if changes:
        raise InputError(
            f"the search space of {name!r} has changed since the study was made "
            f"({'; '.join(changes)}): undo that, or give the new study another --name"
        )
    return job.load_unchanged(study)


def _changes(stored: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs between two fingerprints of a search space, in words."""
    added = [f"{name} is new" for name in now.keys() - stored.keys()]
    removed = [f"{name} is gone" for name in stored.keys() - now.keys()]
    both = sorted((now.keys() & stored.keys()) - {CONFIGURATIONS})
    changed = [f"{name} differs" for name in both if now[name] != stored[name]]
    if not (added or removed or changed) and now != stored:
        return ["it makes other configurations of the same parameters"]
    return sorted(added + removed) + changed


def _create(job: Job, storage: Storage, options: Options) -> tuple[Settings, Dataset]:
    """Make the study, unless there is one by now; its settings and its data, if it was made."""
    for flag, value in (("--test-csv", options.test_csv), ("--target", options.target)):
        if value is not None and options.train_csv is None and job.data is None:
            raise InputError(f"{flag} needs --train-csv")
    definition = job.definition
    seed = options.seed or 0
    sampler = choose("sampler", options.sampler or definition.sampler, SAMPLERS)
    pruner = choose("pruner", options.pruner or definition.pruner, PRUNERS)
    search_space = definition.fingerprint()
    grid = None
    if sampler == "grid":  # in a random order, so that a part of the cells is a sample of the whole
        cells = definition.cells()
        order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(seed))
        grid = [cells[i] for i in order.tolist()]
    dataset = job.load_data(options, seed)
    if dataset.task != definition.task:
        raise InputError(
            f"{dataset.name} is data for {dataset.task}, but the study is for {definition.task}"
        )
    search_rows = options.search_rows or definition.search_rows
    if search_rows is not None and search_rows >= len(dataset):
        search_rows = None
    searched = search_data(dataset, search_rows, seed)
    splits = Splits.draw(searched, options.n_splits or definition.n_splits, seed)
    rounds = _rounds(definition, options)
    for number, one in enumerate(rounds):
        if one.rows is not None:  # that they suffice is known before the search
            Splits.draw(round_data(dataset, one, seed, number), splits.n_splits, seed)
    metric = METRICS[definition.metric]
    asked = vars(options).copy()
    n_trials = asked.pop("n_trials") or (definition.n_trials if grid is None else len(grid))
    del asked["finalists"], asked["final_repeats"]
    decided = {
        "sampler": sampler,
        "pruner": pruner,
        "n_splits": splits.n_splits,
        "epochs": options.epochs or definition.epochs,
        "seed": seed,
        "search_rows": search_rows,
        "rounds": rounds,
    }
    settings = Settings(
        **asked | decided,
        definition=job.definition_name,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        n_rows=len(dataset),
        splits=splits.hash,
        metric=metric.name,
        search_space=search_space,
        grid=grid,
        version=hw1.__version__,
    )
    with storage.lock:
        if job.name not in storage.study_names():
            storage.insert_study(
                job.name,
                StudyDirection[metric.direction.upper()],
                metric.name,
                user_attrs={"n_trials": n_trials, "settings": dataclasses.asdict(settings)},
                system_attrs={SPLITS_KEY: splits.encode()} | _kept(searched),
            )
    return settings, dataset


def _rounds(definition: StudyDefinition, options: Options) -> tuple[Round, ...]:
    """The rounds of a new study."""
    rounds = tuple(definition.rounds) if options.rounds is None else options.rounds
    if options.epochs is not None and options.rounds is None:
        rounds = tuple(dataclasses.replace(one, epochs=None) for one in rounds)
    return with_last(rounds, options.finalists, options.final_repeats)


def _kept(dataset: Dataset) -> dict[str, Any]:
    """What a study keeps of its data, by the names of its attributes."""
    return {FACTS_KEY: dataset.facts, SHOWN_KEY: shown_data(dataset)}


def _in_order(cells: list[dict[str, Any]]) -> list[str]:
    """Cells as text, sorted: a grid is the same whatever the order in which it is visited."""
    return sorted(json.dumps(cell, sort_keys=True) for cell in cells)
