import optuna
import pytest
from optuna.trial import TrialState

from hw1.errors import InputError
from hw1.search import PRUNERS, SAMPLERS, make_pruner, make_sampler


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


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'random'"):
        make_sampler("randon", 0, 0)
    with pytest.raises(InputError, match="did you mean 'hyperband'"):
        make_pruner("hyberband", 10)
