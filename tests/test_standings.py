"""Who takes part in rounds and who wins, of entries that are given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw1.errors import InputError
from hw1.standings import Entry, Round, Standings, rounds_in_words, with_last
from hw1.tasks import METRICS

MSE, ACCURACY = METRICS["mean_squared_error"], METRICS["accuracy"]
TRAINED = {"backend": "compiled", "precision": "float32", "provenance": {}}


def entry(trial: int, *repeats: list[float], number: int = 0, failure: str | None = None) -> Entry:
    return Entry(number, trial, 0 if failure else 3, list(repeats), None, failure, 1.0, TRAINED)


scores = st.lists(st.floats(0, 1), min_size=2, max_size=2)


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=6), st.booleans(), st.data())
def test_the_best_mean_of_those_that_take_part_wins(
    found: list[tuple[list[float], list[float]]], maximize: bool, data: st.DataObject
) -> None:
    metric = ACCURACY if maximize else MSE
    ranked = data.draw(st.permutations(range(len(found))))
    most = data.draw(st.integers(1, 7))
    entries = [entry(trial, *repeats) for trial, repeats in enumerate(found)]
    standings = Standings([Round(most, 2)], ranked, entries, metric)
    means = {n: sum(map(sum, found[n])) / 4 for n in ranked[:most]}
    assert standings.complete
    assert standings.entrants == [ranked[:most]]
    winner = standings.final[0].trial
    best = (max if maximize else min)(means.values())
    assert means[winner] == pytest.approx(best)
    assert {one.trial for one in standings.final} == set(means)
    assert all(standings.final_of(n) is None for n in ranked[most:])


def test_a_tie_goes_to_the_better_one_of_the_search() -> None:
    entries = [entry(n, [0.5, 0.5]) for n in range(3)]
    standings = Standings([Round(3, 1)], [2, 0, 1], entries, MSE)
    assert [one.trial for one in standings.final] == [2, 0, 1]


def test_a_trial_that_fails_is_out_and_nobody_wins_if_all_do() -> None:
    fails = entry(0, failure="diverged")
    rounds = [Round(2, 1), Round(2, 1)]
    standings = Standings(rounds, [0, 1], [fails, entry(1, [1.0, 1.0])], MSE)
    assert not standings.complete
    assert standings.entrants == [[0, 1], [1]]
    assert (standings.done, standings.total) == (2, 3)
    alone = entry(1, [2.0, 2.0], number=1)
    standings = Standings(rounds, [0, 1], [fails, entry(1, [1.0, 1.0]), alone], MSE)
    assert [one.score for one in standings.final] == [2.0]
    both = Standings(rounds, [0, 1], [fails, entry(1, failure="out of memory")], MSE)
    assert both.complete
    assert both.final == []


def test_no_one_wins_before_the_last_round_is_finished() -> None:
    rounds = [Round(3, 1), Round(2, 2)]
    entries = [entry(n, [0.1 * n, 0.1 * n]) for n in (1, 2, 3)]
    standings = Standings(rounds, [3, 2, 1, 0], entries, MSE)
    assert standings.entrants == [[3, 2, 1], [1, 2]]
    assert standings.final == []
    assert standings.final_of(1) is None
    assert (standings.done, standings.total) == (3, 7)
    assert standings.left(1, 1) == 2


def test_fewer_trials_than_places_and_no_trial_at_all() -> None:
    standings = Standings([Round(4, 3)], [7], [], MSE)
    assert (standings.entrants, standings.done, standings.total) == ([[7]], 0, 3)
    assert Standings([Round()], [], [], MSE).complete
    assert Standings([], [1], [], MSE).final == []


@pytest.mark.parametrize(
    "wrong", [{"trials": 0}, {"repeats": 1.5}, {"epochs": 0}, {"rows": "all"}, {"trials": None}]
)
def test_a_round_takes_whole_numbers(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="whole number"):
        Round(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"scores": [[1.0]]}, {"scores": [["1", 2.0]]}, {"scores": [[float("nan"), 1.0]]},
     {"best_epoch": 0}, {"failure": "diverged"}, {"trial": "1"}, {"trained": None}],
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_none(wrong: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Entry(**vars(entry(1, [1.0, 2.0])) | wrong)


@pytest.mark.parametrize(
    ("one", "n_splits", "epochs"),
    [(Round(2, 1), 2, 9), (Round(2, 2), 3, 9), (Round(2, 2), 2, 2), (Round(2, 2, 2), 2, 9)],
)
def test_an_entry_of_another_round_is_damage(one: Round, n_splits: int, epochs: int) -> None:
    found = entry(1, [1.0, 2.0], [1.0, 2.0])
    found.check(Round(2, 2), 2, 9)
    with pytest.raises(ValueError):
        found.check(one, n_splits, epochs)


def test_the_last_round_is_changed_alone() -> None:
    rounds = (Round(9, 1), Round(4, 3, 60, 5000))
    assert with_last(rounds, None, None) == rounds
    assert with_last(rounds, 2, 5) == (Round(9, 1), Round(2, 5, 60, 5000))
    assert with_last(rounds, 0, None) == ()
    assert with_last((), None, None) == ()
    assert with_last((), 3, None) == (Round(3),)
    with pytest.raises(InputError, match="--finalists"):
        with_last((), None, 3)
    assert rounds_in_words(rounds) == (
        "9 trials x 1 repeat; then 4 trials x 3 repeats, 60 epochs, 5,000 examples"
    )
