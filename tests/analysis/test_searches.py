from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_REGRESSION, run
from scipy import stats

from hw1.analysis.evaluation import evaluate
from hw1.analysis.results import StudyResults, open_study
from hw1.analysis.scores import for_json
from hw1.analysis.searches import compare_searches
from hw1.analysis.text import search_comparison_lines
from hw1.errors import InputError
from hw1.job import Job, Options, prepare


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[StudyResults]]:
    """Opens studies of two searches, ``grid-0`` to ``grid-3`` and ``random-0`` to ``random-2``."""
    folder = tmp_path_factory.mktemp("searches")
    path = folder / "tiny.py"
    path.write_text(TINY_REGRESSION)
    url = f"sqlite:///{folder}/studies.db"

    def job(name: str) -> Job:
        return Job(str(path), path, url, name, folder, torch.device("cpu"))

    for seed in range(4):
        run(job(f"grid-{seed}"), sampler="grid", seed=seed)
    random: dict[str, Any] = {"sampler": "random", "n_trials": 6}
    for seed in range(3):
        run(job(f"random-{seed}"), seed=seed, **random)
    run(job("again"), seed=2, **random)
    run(job("longer"), seed=2, epochs=3, **random)
    run(job("small"), seed=2, train_size=30, **random)
    prepare(job("begun"), Options(seed=3, **random))
    return lambda *names: [open_study(name, storage=url, definition=path) for name in names]


Opened = Callable[..., list[StudyResults]]
RANDOM = [f"random-{seed}" for seed in range(3)]


def scores(opened: Opened, *names: str) -> np.ndarray:
    """What the best configuration of each study scores, by `evaluate`."""
    found = [
        evaluate(r, n_repeats=2, test=False, baselines=False).cross_validation
        for r in opened(*names)
    ]
    return np.array([part.estimate.mean for part in found])


def test_searches_are_paired_by_their_seeds(opened: Opened) -> None:
    names = ["grid-2", "random-1", "grid-0", "random-0", "grid-1", "random-2"]
    found = compare_searches(opened(*names), n_repeats=2)
    by_label = {search.label: search for search in found.searches}
    assert set(by_label) == {"sampler grid", "sampler random"}
    of = {}
    for label, sampler in (("sampler grid", "grid"), ("sampler random", "random")):
        search = by_label[label]
        assert search.seeds == [0, 1, 2]
        assert search.studies == [f"{sampler}-{seed}" for seed in range(3)]
        of[label] = scores(opened, *search.studies)
        assert search.scores == pytest.approx(of[label])
        assert search.estimate.mean == pytest.approx(of[label].mean())
    (pair,) = found.pairs
    assert pair.paired
    assert by_label[pair.first].estimate.mean <= by_label[pair.second].estimate.mean
    expected = stats.ttest_rel(of[pair.first], of[pair.second])
    assert (pair.t, pair.p) == pytest.approx((expected.statistic, expected.pvalue))
    text = "\n".join(search_comparison_lines(found))
    assert "compared seed by seed" in text and "do not cover other data" in text


def test_other_seeds_are_not_paired(opened: Opened) -> None:
    grids = [f"grid-{seed}" for seed in range(4)]
    found = compare_searches(opened(*grids, *RANDOM), n_repeats=2)
    (pair,) = found.pairs
    assert not pair.paired
    names = {"sampler grid": grids, "sampler random": RANDOM}
    a, b = (scores(opened, *names[label]) for label in (pair.first, pair.second))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert (pair.t, pair.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert for_json(found)["pairs"][0]["difference"]["std"] is None
    assert "by Welch's test" in "\n".join(search_comparison_lines(found))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (RANDOM, "they are one search"),
        ([*RANDOM, "grid-0", "grid-1"], "the search of grid-0 and grid-1 has 2 seeds here"),
        ([*RANDOM, "grid-0"], "has 1 seed here, and a comparison needs 3 or more of each"),
        ([*RANDOM, "again", "grid-0"], "are the same search with the same seed"),
        ([*RANDOM[:2], "longer", "grid-0"], "run it with another --seed"),
        ([*RANDOM, "begun", "grid-0", "grid-1", "grid-2"], "'begun' has 0 of 6 trials"),
        ([*RANDOM, "grid-0", "grid-1", "grid-1", "grid-2"], "two or more different studies"),
        ([*RANDOM, "small", "grid-0"], "different training examples"),
    ],
)
def test_what_cannot_be_compared_is_named(opened: Opened, names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare_searches(opened(*names), n_repeats=1)
