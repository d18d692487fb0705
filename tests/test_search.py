import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import PercentilePruner
from optuna.trial import TrialState

from hw1.errors import InputError
from hw1.search import PRUNERS, SAMPLERS, CurvePruner, make_pruner, make_sampler


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
def test_the_curve_pruner_decides_as_optunas_percentile_pruner(
    direction: str, percentile: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    arguments = {"n_startup_trials": 3, "n_warmup_steps": 2}
    ours = CurvePruner(percentile, **arguments)
    theirs = PercentilePruner(percentile, **arguments)
    study = optuna.create_study(direction=direction)
    decisions = []
    running: list[optuna.Trial] = []
    for _ in range(12):
        # Trials overlap, end in every state, and leave out epochs or report what is no number.
        running.append(study.ask())
        for epoch in random.permutation(6) + 1:
            trial = running[random.integers(len(running))]
            if epoch > (max(_steps(study, trial), default=0)):
                trial.report(random.choice([random.normal(), math.nan], p=[0.9, 0.1]), int(epoch))
            frozen = study.get_trials(deepcopy=False)[trial.number]
            decisions.append(ours.prune(study, frozen))
            assert decisions[-1] == theirs.prune(study, frozen)
        if len(running) > 2:
            ended = running.pop(random.integers(len(running)))
            states = [TrialState.COMPLETE] * 4 + [TrialState.PRUNED, TrialState.FAIL]
            state = states[random.integers(len(states))]
            value = float(random.normal()) if state == TrialState.COMPLETE else None
            study.tell(ended, value, state=state)
    assert len(decisions) == 72


def _steps(study: optuna.Study, trial: optuna.Trial) -> list[int]:
    return list(study.get_trials(deepcopy=False)[trial.number].intermediate_values)


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
