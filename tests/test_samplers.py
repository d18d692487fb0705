import math
import os
import pickle
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import PercentilePruner
from optuna.trial import TrialState, create_trial

from hw1.errors import InputError
from hw1.samplers import PRUNERS, SAMPLERS, CurvePruner, make_pruner, make_sampler


def suggest(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -2, 2)
    y = trial.suggest_float("y", 1e-3, 1, log=True)
    n = trial.suggest_int("n", 1, 20)
    return x**2 + y + n + {"a": 0, "b": 1}[trial.suggest_categorical("kind", ["a", "b"])]


def run(study: optuna.Study, name: str, numbers: range) -> None:
    for number in numbers:
        study.sampler = make_sampler(name, 7, number)
        trial = study.ask()
        study.tell(trial, suggest(trial))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_a_continued_search_goes_on_as_if_it_had_never_stopped(name: str, tmp_path: object) -> None:
    straight, stopped = (
        optuna.create_study(storage=f"sqlite:///{tmp_path}/{i}.db", study_name="s") for i in "ab"
    )
    run(straight, name, range(14))
    run(stopped, name, range(9))
    stopped = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/b.db")
    run(stopped, name, range(9, 14))
    parameters = [trial.params for trial in straight.trials]
    assert [trial.params for trial in stopped.trials] == parameters
    assert len({tuple(p.items()) for p in parameters}) == 14


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_model_based_samplers_learn(name: str) -> None:
    study = optuna.create_study()
    run(study, name, range(30))
    values = [trial.value or 0.0 for trial in study.trials]
    assert sum(values[-10:]) < sum(values[:10])


def pruned_at(name: str, epochs: int = 20) -> int | None:
    """The epoch at which a hopeless trial is pruned after six good ones."""
    study = optuna.create_study(
        pruner=make_pruner(name, epochs), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for i in range(6):
        trial = study.ask()
        for epoch in range(1, epochs + 1):
            trial.report(i + 1 / epoch, epoch)
            trial.should_prune()  # halving keeps its rungs only when it is asked
        study.tell(trial, float(i))
    for _ in range(5):  # hyperband has brackets that never prune
        trial = study.ask()
        for epoch in range(1, epochs + 1):
            trial.report(1e6, epoch)
            if trial.should_prune():
                return epoch
        study.tell(trial, state=TrialState.FAIL)
    return None


def test_pruners_end_what_is_hopeless_after_a_quarter_of_the_epochs() -> None:
    ends = {name: pruned_at(name) for name in PRUNERS}
    assert ends.pop("none") is None
    assert all(end is not None and 5 <= end <= 20 for end in ends.values()), ends


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # Optuna's
@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["minimize", "maximize"]),
    st.sampled_from([25.0, 50.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_curve_pruner_decides_as_optunas_if_ended_trials_went_on_at_their_best(
    direction: str, percentile: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    arguments = {"n_startup_trials": 3, "n_warmup_steps": 2}
    ours = CurvePruner(percentile, **arguments)
    theirs = PercentilePruner(percentile, **arguments)
    study, gone_on = (optuna.create_study(direction=direction) for _ in range(2))
    decisions = []
    running: list[optuna.Trial] = []
    for _ in range(12):
        # Trials overlap, end in every state, and leave out epochs or report what is no number.
        running.append(study.ask())
        for epoch in random.permutation(6) + 1:
            trial = running[random.integers(len(running))]
            reported = study.get_trials(deepcopy=False)[trial.number].intermediate_values
            if epoch > max(reported, default=0):
                trial.report(random.choice([random.normal(), math.nan], p=[0.9, 0.1]), int(epoch))
            frozen = study.get_trials(deepcopy=False)[trial.number]
            decisions.append(ours.prune(study, frozen))
            assert decisions[-1] == theirs.prune(gone_on, frozen)
        if len(running) > 2:
            ended = running.pop(random.integers(len(running)))
            states = [TrialState.COMPLETE] * 4 + [TrialState.PRUNED, TrialState.FAIL]
            state = states[random.integers(len(states))]
            value = float(random.normal()) if state == TrialState.COMPLETE else None
            study.tell(ended, value, state=state)
            curve = dict(study.get_trials(deepcopy=False)[ended.number].intermediate_values)
            reports = [report for report in curve.values() if not math.isnan(report)]
            if state == TrialState.COMPLETE:
                if reports:
                    best = max(reports) if direction == "maximize" else min(reports)
                    curve |= dict.fromkeys(range(max(curve) + 1, 7), best)
                gone_on.add_trial(create_trial(value=value, intermediate_values=curve))
    assert len(decisions) == 72


def test_a_trial_ahead_of_most_goes_on_though_the_best_survive() -> None:
    study = optuna.create_study()
    for value, end in ((1.0, 100), *[(3.0, 50)] * 5):  # five stopped early
        trial = study.ask()
        for epoch in range(1, end + 1):
            trial.report(value, epoch)
        study.tell(trial, value)
    trial = study.ask()
    pruner = make_pruner("median", 100)
    for epoch in range(1, 101):
        trial.report(2.0, epoch)
        assert not pruner.prune(study, study.get_trials(deepcopy=False)[trial.number])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cmaes_learns_without_a_pickle_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study()
    run(study, "cmaes", range(20))
    assert max(trial.system_attrs.get("cma:generation", 0) for trial in study.trials) > 0
    assert not any("optimizer" in key for trial in study.trials for key in trial.system_attrs)
    last = study.trials[-1]
    attribute = pickle.dumps(Bomb()).hex()
    study._storage._get_trial(last._trial_id).system_attrs["cma:optimizer:0"] = attribute
    assert "cma:optimizer:0" in study.trials[-1].system_attrs
    run(study, "cmaes", range(20, 22))
    assert not Path("exploded").exists()
    pickle.loads(bytes.fromhex(attribute))  # it was a live one
    assert Path("exploded").exists()


@pytest.mark.parametrize("name", ["tpe", "cmaes", "gp"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_sampler_that_takes_over_what_the_last_one_found_suggests_the_same(name: str) -> None:
    anew, taken_over = optuna.create_study(), optuna.create_study()
    run(anew, name, range(13))
    for number in range(13):
        taken_over.sampler = make_sampler(name, 7, number, previous=taken_over.sampler)
        trial = taken_over.ask()
        taken_over.tell(trial, suggest(trial))
    assert [t.params for t in taken_over.trials] == [t.params for t in anew.trials]


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'random'"):
        make_sampler("randon", 0, 0)
    with pytest.raises(InputError, match="did you mean 'hyperband'"):
        make_pruner("hyberband", 10)
