"""What the dashboard shows of a storage, and that it changes nothing in it."""

import json
from collections.abc import Callable
from typing import Any

import optuna
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from hw1.dashboard.publish import Publisher
from hw1.dashboard.view import LONGEST, View, _brief
from hw1.job import Job, Options, prepare
from hw1.names import outer_name
from hw1.optuna_store.storage import Storage
from hw1.study import Study

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=4))
@settings(deadline=None)
def test_attributes_are_numbers_or_short_lines(attributes: dict[str, Any]) -> None:
    brief = _brief(attributes)
    assert brief.keys() == attributes.keys()
    for name, value in attributes.items():
        if isinstance(value, int | float):
            assert brief[name] is value
        else:
            assert isinstance(brief[name], str)
            assert len(brief[name]) <= LONGEST


def test_short_ones_are_told_in_full() -> None:
    brief = _brief(
        {
            "predicted": [0.123456] * 500,
            "fold_scores": [1.66501, 0.88192, 1.29401],
            "way": "compiled",
            "model": {"widths": [8, 8], "batch_norm": True},
        }
    )
    assert brief == {
        "way": "compiled",
        "fold_scores": "1.665, 0.8819, 1.294",
        "model": "widths 8, 8, batch_norm true",
        "predicted": brief["predicted"],
    }
    assert list(brief) == ["way", "fold_scores", "model", "predicted"]
    assert brief["predicted"].startswith("0.1235, 0.1235")
    assert brief["predicted"].endswith("…")


def test_searches_within_a_study_are_not_listed(
    make_job: Callable[..., Job], make_study: Callable[..., Study]
) -> None:
    study = make_study()
    parts = [outer_name("tiny", fold, 2, 3) for fold in range(2)]
    for fold, name in enumerate([*parts, outer_name("gone", 0, 2, 3)]):
        prepare(make_job(name=name), Options(outer_fold=(2, fold % 2)))
    foreign = outer_name("tiny", 7, 9, 9)  # by its name alone
    optuna.create_study(storage=study.storage, study_name=foreign)
    view = View(study.storage, Publisher(study.storage))
    listed = [s.study_name for s in view.get_all_studies()]
    assert listed == ["tiny", outer_name("gone", 0, 2, 3), foreign]
    assert {*parts, *listed} == set(optuna.get_all_study_names(study.storage))


def test_trials_are_the_same_but_for_long_attributes(make_job: Callable[..., Job]) -> None:
    job = make_job()
    study = run(job, n_trials=3)
    study_id = study.storage.get_study_id_from_name("tiny")
    view = View(study.storage, Publisher(study.storage))
    shown = view.get_all_trials(study_id)
    stored = Storage(job.storage_url).get_all_trials(study_id)
    for short, full in zip(shown, stored, strict=True):
        assert short.user_attrs.keys() == full.user_attrs.keys()
        assert short.user_attrs["best_epoch"] == full.user_attrs["best_epoch"]
        assert len(json.dumps(short.user_attrs)) < 2000
        short.user_attrs = full.user_attrs
        assert short == full
    best = view.get_best_trial(study_id)
    assert best.number == study.best_trial().number
    assert len(best.user_attrs["predicted"]) <= LONGEST
    # What plain Optuna reads through it is whole, as for a study that is renamed.
    again = optuna.load_study(study_name="tiny", storage=view)
    assert again.trials == stored
    view.set_trial_system_attr(again.ask()._trial_id, "note", "kept")
    assert Storage(job.storage_url).get_all_trials(study_id)[-1].system_attrs["note"] == "kept"
    assert again.trials[-1].state == TrialState.RUNNING
