"""How far a search was asked to go."""

import pytest

from replaytree.tree import Goal


@pytest.mark.parametrize(
    ("goal", "left"),
    [
        (Goal(trainings=100), Goal(trainings=40)),
        (Goal(trainings=60), None),
        (Goal(episodes=71, trainings=100), Goal(episodes=1, trainings=40)),
        (Goal(episodes=70, trainings=100), None),
        (Goal(seconds=3600.0, used_seconds=900.0), Goal(seconds=2700.0, used_seconds=900.0)),
        (Goal(trainings=100, seconds=10.0, used_seconds=10.0), None),
        (Goal(), None),
    ],
)
def test_what_is_left_is_what_lacks_of_each_and_nothing_where_one_is_reached(goal, left):
    assert goal.left(episodes=70, trainings=60) == left


def test_a_goal_in_words():
    assert Goal(trainings=100).text == "100 trainings"
    assert Goal(episodes=1, seconds=5400.0).text == "1 episode or 1.5 hours"
    assert (Goal(seconds=5400.0).hours, Goal(trainings=1).hours) == (1.5, None)
