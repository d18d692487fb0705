"""Rounds of real studies: what is trained, stored, interrupted and gone on with."""

import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_CNN, WITH_FINAL_ROUND, call, replacing, run, sql, with_family

from hw1.console import Console
from hw1.cross_validation import ROUND_NETWORKS, Splits, cross_validate
from hw1.errors import InputError
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.optuna_store.storage import networks_folder
from hw1.processes import start_time
from hw1.progress import ProgressLine
from hw1.standings import FINAL_REPEATS, FINALISTS, Entry, Round
from hw1.study import ROUNDS_KEY, ROUNDS_WORKER, Study
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.watching import Watcher

Make = Callable[..., Job]
OPTIONS = {"sampler": "random", "pruner": "none", "epochs": 6, "n_trials": 6}
IMPORTED = replacing(WITH_FINAL_ROUND, "import StudyDefinition", "import Round, StudyDefinition")
CNN = replacing(TINY_CNN, "import StudyDefinition", "import Round, StudyDefinition")
TWICE = "rounds=[Round(2, 2, epochs=24)]"


def with_rounds(rounds: str, more: str = "") -> str:
    return replacing(IMPORTED, "epochs=2,", f"epochs=6, rounds={rounds}, {more}")


def comparable(study: Study) -> list[object]:
    """What is found in the final round, whatever was trained together and how long it took."""
    return [(e.trial, e.best_epoch, e.scores, e.curves) for e in study.standings().final]


def curves_alone(job: Job, study: Study, trial: int, repeat: int) -> np.ndarray:
    """The scores of a trial in a repeat of the only round, trained by itself."""
    dataset, settings = job.load_unchanged(study), study.settings
    configuration = Configuration(**study.trials()[trial].user_attrs["configuration"])
    splits = Splits.draw_round(dataset, settings.n_splits, settings.seed, 0, repeat)
    seed = derive_seed(settings.seed, repeat, 0, ROUND_NETWORKS)
    found = cross_validate(job.definition.model, {trial: configuration}, dataset, splits, seed=seed)
    return next(found)[1].curves


def test_the_best_few_are_trained_again_on_new_folds_and_the_best_mean_wins(
    make_job: Make,
) -> None:
    job = make_job(WITH_FINAL_ROUND)
    study = run(job, **OPTIONS, seed=3)
    assert study.settings.rounds == (Round(FINALISTS, FINAL_REPEATS),)
    values = {trial.number: trial.value for trial in study.trials()}
    finalists = sorted(values, key=lambda n: values[n])[:FINALISTS]
    means = {}
    for entry in study.standings().final:
        curves = np.stack([curves_alone(job, study, entry.trial, r) for r in range(FINAL_REPEATS)])
        mean = curves.reshape(FINAL_REPEATS, 6, 3).mean(axis=(0, 2))
        assert entry.best_epoch == 1 + int(mean.argmin())
        assert entry.scores == curves[:, entry.best_epoch - 1].tolist()
        assert entry.score == pytest.approx(mean.min())
        means[entry.trial] = mean.min()
    assert sorted(means) == sorted(finalists)
    assert study.best_trial().number == min(means, key=lambda n: means[n])
    assert study.progress().complete


def test_no_folds_are_those_of_the_search_the_evaluation_or_another_repeat(make_job: Make) -> None:
    study, dataset = prepare(make_job(WITH_FINAL_ROUND), Options())
    drawn = [Splits.draw_round(dataset, 3, 0, number, r) for number in (0, 1) for r in range(3)]
    drawn += [Splits.draw_fresh(dataset, 3, 0, r) for r in range(3)]
    drawn += [Splits.draw_outer(dataset, 3, 0), study.splits()]
    assert len({splits.hash for splits in drawn}) == len(drawn)


def stop_when(said: str) -> Watcher:
    """Interrupts the training in the midst of what is said."""
    heard: list[str] = []

    def step() -> None:
        if heard and said in heard[-1]:
            raise KeyboardInterrupt

    return Watcher(say=heard.append, on_step=step)


def test_an_interrupted_round_goes_on_where_it_stopped(make_job: Make) -> None:
    whole = comparable(run(make_job(WITH_FINAL_ROUND, name="whole"), **OPTIONS))
    job = make_job(WITH_FINAL_ROUND, name="stopped")
    study, dataset = prepare(job, Options(**OPTIONS))
    with pytest.raises(KeyboardInterrupt):
        execute(job, study, dataset, watcher=stop_when("repeat 2 of 3"))
    half = study.progress()
    assert (half.searched, half.complete, half.state) == (True, False, "stopped")
    assert (half.standings.done, half.standings.total) == (4, 12)
    assert study.best_trial().number == study.ranked()[0].number  # by its value, until it is done
    said: list[str] = []
    execute(job, study, dataset, watcher=Watcher(say=said.append))
    assert not [what for what in said if "repeat 1 of" in what]
    assert comparable(study) == whole
    assert all(curves is None for _, _, _, curves in comparable(study))  # what is done is short


@pytest.mark.parametrize(
    "text",
    [replacing(IMPORTED, "epochs=2,", f"epochs=2, {TWICE},"), replacing(CNN, "rounds=()", TWICE)],
)
def test_an_interrupted_cross_validation_goes_on_to_the_last_bit(
    text: str, make_job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hw1.unfinished.SECONDS_BETWEEN_SAVES", 0)
    whole = comparable(run(make_job(text, name="whole"), n_trials=3))
    job = make_job(text, name="stopped")
    study, dataset = prepare(job, Options(n_trials=3))

    def interrupt(what: str) -> None:
        if re.search("repeat 2 of 2, .* epoch 23 of 24", what):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, study, dataset, watcher=Watcher(say=interrupt))
    assert list(networks_folder(study.storage.url, study.name).glob("*.safetensors"))
    said: list[str] = []
    execute(job, study, dataset, watcher=Watcher(say=said.append))
    assert re.search("repeat 2 of 2, .* epoch 23 of 24", said[0])
    assert comparable(study) == whole
    assert not list(networks_folder(study.storage.url, study.name).iterdir())


def test_the_time_left_counts_the_epochs_and_rows_of_later_rounds(make_job: Make) -> None:
    text = with_rounds("[Round(2, 1, rows=20), Round(1, 1, epochs=24, rows=10)]")
    job = make_job(text)
    study, dataset = prepare(job, Options(sampler="random", pruner="none", n_trials=6))
    with pytest.raises(KeyboardInterrupt):
        execute(job, study, dataset, watcher=stop_when("round 1 of 2"))
    line = ProgressLine(study, Console(file=io.StringIO(), width=80))
    assert "left" not in line.line(study.progress())
    with pytest.raises(KeyboardInterrupt):
        execute(job, study, dataset, watcher=stop_when("final round"))
    assert line._rounds_start is not None
    started, done = line._rounds_start
    line._rounds_start = started - 6000, done
    # Two of 6 epochs on 20 rows are done, and one of 24 epochs on 10 is left.
    assert re.search(r"^2/3 .* 1 h 40 min left$", line.line(study.progress()))


def test_further_trials_are_trained_in_the_round_and_the_others_not_again(make_job: Make) -> None:
    at_once = comparable(
        run(make_job(WITH_FINAL_ROUND, name="at once"), **OPTIONS | {"n_trials": 14})
    )
    job = make_job(WITH_FINAL_ROUND, name="in parts")
    first = {entry.trial for entry in run(job, **OPTIONS).standings().final}
    study, dataset = prepare(job, Options(n_trials=14))
    said: list[str] = []
    execute(job, study, dataset, watcher=Watcher(say=said.append))
    assert comparable(study) == at_once
    last = {entry.trial for entry in study.standings().final}
    named = [re.search(r"trials? ([0-9, and]+), epoch", what) for what in said]
    again = {int(n) for found in named if found for n in re.findall(r"[0-9]+", found[1])}
    assert again == last - first
    assert again


def test_where_the_last_epoch_counts_a_round_takes_it(make_job: Make) -> None:
    text = with_rounds("[Round(2, 2)]")
    job = make_job(replacing(text, 'optimizer="adam",', 'optimizer="adam", checkpoint="last",'))
    study = run(job, **{k: v for k, v in OPTIONS.items() if k != "epochs"})
    completed = [t for t in study.trials() if t.value is not None]
    assert {t.user_attrs["best_epoch"] for t in completed} == {6}
    final = study.standings().final
    assert [entry.best_epoch for entry in final] == [6, 6]
    curves = curves_alone(job, study, final[0].trial, 1)
    assert final[0].scores[1] == pytest.approx(curves[-1].tolist(), rel=1e-5)


def test_rounds_have_epochs_and_rows_of_their_own(make_job: Make) -> None:
    job = make_job(with_rounds("[Round(3, 1, rows=30), Round(2, 2, epochs=9)]", "search_rows=40,"))
    study = run(job, **{k: v for k, v in OPTIONS.items() if k != "epochs"})
    settings, standings = study.settings, study.standings()
    assert (settings.search_rows, settings.n_rows) == (40, 100)
    assert len(study.splits().folds) == 40
    assert [len(found) for found in standings.entrants] == [3, 2]
    scores = {n: standings.entry(0, n).score for n in standings.entrants[0]}  # type: ignore[union-attr]
    assert standings.entrants[1] == sorted(scores, key=lambda n: scores[n])[:2]
    one = standings.final[0]
    dataset = job.load_unchanged(study)
    kept = study.trials()[one.trial].user_attrs["configuration"]
    ((_, alone),) = cross_validate(
        job.definition.model,
        {one.trial: replace(Configuration(**kept), epochs=9)},
        dataset,
        Splits.draw_round(dataset, 3, 0, 1, 1),
        seed=derive_seed(0, 1, 1, ROUND_NETWORKS),
    )
    assert one.scores[1] == alone.curves[one.best_epoch - 1].tolist()


def test_fewer_epochs_and_rows_are_fewer_in_rounds_too(make_job: Make) -> None:
    source = with_rounds("[Round(2, 1, epochs=9, rows=70)]", "search_rows=80,")
    study = make_study_of(make_job(source), epochs=2, train_size=60)
    assert study.settings.rounds == (Round(2, 1, None, 70),)
    assert study.settings.search_rows is None  # 60 are all there are
    assert study.settings.n_rows == 60
    execute(make_job(source), study, make_job(source).load_unchanged(study))
    assert study.progress().complete


def make_study_of(job: Job, **options: object) -> Study:
    return prepare(job, Options(**options))[0]  # type: ignore[arg-type]


def test_rows_that_cannot_be_split_are_refused_before_the_search(make_job: Make) -> None:
    with pytest.raises(InputError, match="too few for 3 folds"):
        make_study_of(make_job(with_rounds("[Round(2, 1, rows=2)]")))


def test_no_rounds_are_as_before(make_job: Make) -> None:
    study = run(make_job(WITH_FINAL_ROUND), **OPTIONS, finalists=0)
    assert study.settings.rounds == ()
    assert ROUNDS_KEY not in study.optuna_study.user_attrs
    assert study.progress().complete
    assert study.best_trial().number == study.optuna_study.best_trial.number


def test_a_study_of_an_earlier_version_has_no_rounds(make_job: Make, url: str) -> None:
    study = run(make_job(WITH_FINAL_ROUND), **OPTIONS, finalists=0)
    query = "FROM study_user_attributes WHERE key = 'settings'"
    ((text,),) = sql(url, f"SELECT value_json {query}")
    settings = json.loads(text)
    del settings["rounds"], settings["search_rows"]
    update = "UPDATE study_user_attributes SET value_json = ? WHERE key = 'settings'"
    sql(url, update, json.dumps(settings))
    again = run(make_job(WITH_FINAL_ROUND), n_trials=7)
    assert again.settings == study.settings
    assert len(again.trials()) == 7
    assert again.progress().complete


@pytest.mark.parametrize(
    ("option", "words"),
    [({"finalists": 2}, "with --finalists 4"), ({"final_repeats": 2}, "with --final-repeats 3"),
     ({"search_rows": 50}, "without --search-rows")],
)  # fmt: skip
def test_other_rounds_are_another_study(make_job: Make, option: dict[str, int], words: str) -> None:
    make_study_of(make_job(WITH_FINAL_ROUND), **OPTIONS)
    make_study_of(make_job(WITH_FINAL_ROUND), finalists=4, final_repeats=3, search_rows=100)
    with pytest.raises(InputError, match=words):
        make_study_of(make_job(WITH_FINAL_ROUND), **option)


FAILING = """
def __init__(self, *args, **kwargs):
    import os
    if os.environ.get("HW1_FAILS"):
        raise {error}
    super().__init__(*args, **kwargs)
"""


@pytest.mark.parametrize(
    ("error", "reason"),
    [("MemoryError()", "out of memory"),
     ('__import__("hw1.errors").errors.ArchitectureError("no")', "no")],
)  # fmt: skip
def test_trials_that_cannot_be_trained_in_a_round_are_out(
    make_job: Make, monkeypatch: pytest.MonkeyPatch, error: str, reason: str
) -> None:
    job = make_job(with_family(WITH_FINAL_ROUND, FAILING.format(error=error)))
    study, dataset = prepare(job, Options(**OPTIONS))
    job.work(study, dataset, Watcher(), float("inf"))
    assert study.progress().searched
    with pytest.raises(KeyboardInterrupt):
        execute(job, study, dataset, watcher=stop_when("repeat 1 of 3"))
    failing = study.standings().entrants[0][0]
    monkeypatch.setenv("HW1_FAILS", "1")
    job.definition  # noqa: B018 -- it is loaded already
    execute(job, study, dataset)
    standings = study.standings()
    assert standings.complete
    assert standings.final == []
    entry = standings.entry(0, failing)
    assert entry is not None
    assert entry.failure == reason
    assert study.best_trial().number == study.ranked()[0].number


def test_rounds_are_left_to_the_process_that_works_on_them(make_job: Make, url: str) -> None:
    job = make_job(WITH_FINAL_ROUND)
    study, dataset = prepare(job, Options(**OPTIONS))
    job.work(study, dataset, Watcher(), float("inf"))
    storage, study_id = study.storage, study.storage.get_study_id_from_name(study.name)
    host = study.trials()[0].user_attrs["worker"]["host"]
    parent = {"host": host, "pid": os.getppid(), "start": start_time(os.getppid())}
    storage.set_study_system_attr(study_id, ROUNDS_WORKER, parent | {"seen": time.time()})
    execute(job, study, dataset)
    assert study.standings().done == 0
    assert study.progress().state == "running"
    assert call(url, "run", job.definition_name, "--name", "tiny").exit_code == 3
    for gone in (parent | {"start": "1"}, {"host": "elsewhere", "seen": 0.0}, "damaged"):
        storage.set_study_system_attr(study_id, ROUNDS_WORKER, gone)
        assert study.rounds_worker() is None
    execute(job, study, dataset)
    assert study.progress().complete
    assert study.rounds_worker() is None


def test_no_repeat_begins_after_the_deadline(make_job: Make) -> None:
    job = make_job(WITH_FINAL_ROUND)
    study, dataset = prepare(job, Options(**OPTIONS))
    job.work(study, dataset, Watcher(), float("inf"))
    execute(job, study, dataset, deadline=time.time() - 1)
    assert study.standings().done == 0


@pytest.mark.parametrize(
    "damage",
    [lambda found: 7, lambda found: [1], lambda found: [{"trial": 1}],
     lambda found: [found[0] | {"scores": [[1.0, 2.0]]}],
     lambda found: [found[0] | {"best_epoch": 10**9}],
     lambda found: [found[0] | {"round": 5}]],
)  # fmt: skip
def test_damaged_rounds_are_told(make_job: Make, damage: Callable[[object], object]) -> None:
    study = run(make_job(WITH_FINAL_ROUND), **OPTIONS)
    found = study.optuna_study.user_attrs[ROUNDS_KEY]
    assert isinstance(found[0], dict)
    assert Entry(**found[0]).score > 0
    study.optuna_study.set_user_attr(ROUNDS_KEY, damage(found))
    with pytest.raises(InputError, match=r"the rounds of 'tiny'.+is damaged"):
        study.best_trial()


def test_what_the_command_line_says_of_rounds(make_job: Make, url: str) -> None:
    job = make_job(WITH_FINAL_ROUND)
    options = ["--name", "tiny", "--epochs", "4"]
    ended = call(url, "run", job.definition_name, *options)
    assert ended.exit_code == 0
    assert "4 trials x 3 repeats (75% of the training)" in ended.stdout
    final = prepare(job, Options())[0].standings().final
    assert "12/12  final round  best" in ended.stdout
    assert "in the final round" in ended.stdout
    best = call(url, "best", "tiny").stdout
    assert f"best of {len(final)} trials, epoch {final[0].best_epoch}" in best
    as_json = json.loads(call(url, "best", "tiny", "--json").stdout)
    assert as_json["trial"] == final[0].trial
    assert as_json["final_score"] == final[0].score
    rows = json.loads(call(url, "trials", "tiny", "--json").stdout)
    assert {r["trial"]: r["final_score"] for r in rows if r["final_score"] is not None} == {
        entry.trial: entry.score for entry in final
    }
    (study,) = json.loads(call(url, "list", "--json").stdout)["studies"]
    assert (study["final_score"], study["best_trial"]) == (final[0].score, final[0].trial)
    wrong = call(url, "run", job.definition_name, *options, "--finalists", "2")
    assert (wrong.exit_code, "with --finalists 4" in wrong.stderr) == (2, True)


def test_the_help_names_the_default_round_and_its_share(url: str) -> None:
    text = " ".join(call(url, "run", "--help").stdout.split())
    assert f"{FINALISTS} trials x {FINAL_REPEATS} repeats" in text
    assert f"mostly {FINALISTS}" in text
    assert f"mostly {FINAL_REPEATS}" in text
    trials = FINALISTS * FINAL_REPEATS
    assert f"{trials} trials, {trials / (trials + 30):.0%} of that of a study of 30" in (
        text.replace(" %", "%")
    )
