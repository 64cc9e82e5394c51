import pytest

from replaytree.config import Budget, Growth, Pruning, SearchConfig


def bounds(growth, accuracies, config):
    """The depth bound before each episode, and after the last."""
    found = [growth.depth_bound]
    for accuracy in accuracies:
        growth = growth.after([accuracy], config)
        found.append(growth.depth_bound)
    return found


@pytest.mark.parametrize(
    ("every", "expected"),
    [(1, [2, 3, 4, 4, 4, 4, 4]), (2, [2, 2, 3, 3, 4, 4, 4]), (7, [2] * 7)],
)
def test_by_episodes_trained_or_replayed(every, expected):
    config = SearchConfig(min_layers=2, max_layers=4, grow_every=every)
    # Whether they improve plays no part.
    for accuracies in ([None] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.5, None] * 3):
        assert bounds(Growth.start(config), accuracies, config) == expected


def test_the_bound_may_rise_by_several_layers_and_stops_at_the_last():
    config = SearchConfig(min_layers=2, max_layers=7, grow_every=2, grow_by=2)
    assert bounds(Growth.start(config), [0.5] * 7, config) == [2, 2, 4, 4, 6, 6, 7, 7]


def test_a_bound_that_has_reached_the_last_counts_on_and_rises_no_more():
    config = SearchConfig(min_layers=1, max_layers=3, grow_every=2)
    growth = Growth(depth_bound=3, trainings=1, episodes=2, best_accuracy=0.5)
    assert growth.after([0.25, None], config) == Growth(3, trainings=2, episodes=4, best_accuracy=0.5, stale=1)


def test_automatic_growth_waits_for_the_best_to_stand_still():
    config = SearchConfig(min_layers=1, max_layers=3, grow_every=None, grow_patience=2)
    growth = Growth.start(config).after([0.5, 0.4, None, 0.6, 0.6], config)
    assert growth == Growth(depth_bound=1, trainings=4, episodes=5, best_accuracy=0.6, stale=1)
    # What does not improve on 0.6 makes two in a row; what is replayed counts for nothing.
    assert growth.after([None] * 9, config).depth_bound == 1
    assert growth.after([0.1], config) == Growth(depth_bound=2)
    assert growth.after([0.7], config) == Growth(1, trainings=5, episodes=6, best_accuracy=0.7, stale=0)
    # Each bound has a best of its own: 0.1 is the first there, 0.05 and 0.1 do not improve on it.
    assert bounds(growth, [0.1, 0.1, 0.05, 0.1, 0.2, 0.1, 0.1], config) == [1, 2, 2, 2, 3, 3, 3, 3]


def test_automatic_growth_ends_at_the_last_bound():
    config = SearchConfig(min_layers=1, max_layers=3, grow_every=None, grow_patience=2)
    growth = Growth(depth_bound=3, trainings=4, episodes=4, best_accuracy=0.5, stale=3)
    assert growth.after([0.4, 0.3], config) == Growth(3, trainings=6, episodes=6, best_accuracy=0.5, stale=5)


def test_a_last_bound_that_was_raised_meanwhile_is_gone_past_at_once():
    config = SearchConfig(min_layers=1, max_layers=4, grow_every=None, grow_patience=2)
    assert Growth(depth_bound=3, trainings=9, episodes=9, best_accuracy=0.5, stale=7).after([0.4], config) == Growth(4)


def test_a_batch_goes_on_at_the_new_bound():
    config = SearchConfig(min_layers=1, max_layers=9, grow_every=2)
    assert Growth.start(config).after([0.5, 0.25, 0.125], config) == Growth(2, 1, 1, best_accuracy=0.125)


def test_the_budget_rises_with_the_bound_and_is_full_half_way():
    config = SearchConfig(min_layers=2, max_layers=6, epochs_first=4, epochs_last=8)
    assert [Growth(depth_bound=d).budget(config) for d in range(2, 7)] == [Budget(e) for e in (4, 6, 8, 8, 8)]
    fixed = SearchConfig(min_layers=3, max_layers=3, epochs_first=4, epochs_last=8)
    assert Growth.start(fixed).budget(fixed) == Budget(8)


def test_the_budget_is_rounded_to_the_nearest():
    # Half-way is 3 layers on: 4, 4 + 5/3, 4 + 10/3, 9 epochs.
    config = SearchConfig(min_layers=2, max_layers=8, epochs_first=4, epochs_last=9)
    assert [Growth(depth_bound=d).budget(config).epochs for d in range(2, 9)] == [4, 6, 7, 9, 9, 9, 9]


def test_the_bar_is_the_median_of_all_that_were_seen_at_that_budget():
    pruning = Pruning()
    for accuracy in (0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5):
        pruning.add([accuracy], Budget(8))
        pruning.add([0.99], Budget(6))
    assert pruning.budget(Budget(8)).bar == 0.5
    assert pruning.budget(Budget(6)).bar == 0.99
    # Half of seven epochs is three whole ones.
    assert pruning.budget(Budget(7)) == Budget(7, checkpoint=3, bar=None)


def test_what_was_stored_and_what_is_added_make_the_same_bar():
    stored = Pruning([(8, 0.1 * n) for n in (9, 1, 8, 2)] + [(6, 0.5)])
    stored.add([0.1 * n for n in (3, 6, 4, 5, 7)], Budget(8))
    added = Pruning([(6, 0.5)])
    added.add([0.1 * n for n in range(1, 10)], Budget(8))
    assert stored == added != Pruning()
    assert stored.budget(Budget(8)) == Budget(8, checkpoint=4, bar=0.5)
