import pytest

from replaytree.config import Budget
from replaytree.errors import ConfigError
from replaytree.records import PathEvaluation, Proposal
from replaytree.search.turns import Limits, Turn, episode_seed

TRAINED = Proposal((1, 2), "sample", (0.5, 0.5))
REPLAYED = Proposal((3,), "replay", (1.0,), rewards=(0.7,))


def turn(*proposals):
    return Turn(0, proposals, depth_bound=2, budget=Budget(1))


def test_only_what_was_not_replayed_is_trained_and_evaluations_come_in_the_order_of_the_proposals():
    mixed = turn(REPLAYED, TRAINED, REPLAYED)
    assert mixed.paths == [(1, 2)]
    assert [e.accuracies for e in mixed.evaluations([PathEvaluation([0.1, 0.2])])] == [(0.7,), (0.1, 0.2), (0.7,)]


def test_limits_give_room_for_what_is_left_of_the_tightest():
    limits = Limits(episodes=5, trainings=2)
    assert limits.room(4) == 2
    limits.spend(turn(TRAINED, REPLAYED))
    assert (limits.room(4), limits.room(1)) == (1, 1)
    limits.spend(turn(REPLAYED, REPLAYED))
    assert limits.room(4) == 1
    limits.spend(turn(TRAINED))
    assert limits.room(4) == 0
    assert Limits(hours=1e-12).room(4) == 0
    assert Limits(hours=1).room(4) == 4


def test_what_is_left_behind_turns_that_wait_forgets_the_hours():
    limits = Limits(episodes=9, trainings=5, hours=1e-12)
    assert (limits.room(4), limits.left(4)) == (0, 4)
    assert limits.left(9, behind=[turn(TRAINED, REPLAYED), turn(REPLAYED)]) == 4
    assert limits.left(9, behind=[turn(*[REPLAYED] * 9)]) == 0


def test_a_turn_in_two_parts_is_numbered_on_and_plain_values_are_read_back():
    whole = Turn(7, [TRAINED, REPLAYED, TRAINED], depth_bound=3, budget=Budget(4, checkpoint=2, bar=0.5))
    first, rest = whole.parted(2)
    assert (first.number, first.proposals, rest.number, rest.proposals) == (7, [TRAINED, REPLAYED], 9, [TRAINED])
    assert (rest.depth_bound, rest.budget) == (3, whole.budget)
    assert Turn.from_plain(whole.to_plain()) == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing says when to stop"),
        ({"hours": 0}, r"hours is 0; it must be over 0 \(--hours\)"),
        ({"hours": float("nan")}, "hours is nan; it must be a finite number"),
        ({"trainings": 2.5}, "trainings is 2.5; it must be a whole number of at least 1"),
        ({"episodes": "5"}, "episodes is '5'; it must be a finite number"),
    ],
)
def test_a_limit_is_needed_and_over_0(options, message):
    with pytest.raises(ConfigError, match=message):
        Limits(**options)


def test_seeds_of_trainings_differ_between_episodes_and_searches():
    seeds = {episode_seed(seed, episode) for seed in range(20) for episode in range(50)}
    assert len(seeds) == 1000
    assert episode_seed(3, 7) == episode_seed(3, 7)
