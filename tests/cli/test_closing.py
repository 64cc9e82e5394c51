"""How a run ends."""

import pytest

from replaytree.cli.closing import stopped_text
from replaytree.tree import Goal


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (Goal(trainings=12), "stopped after 8 of 12 trainings"),
        (Goal(episodes=20, trainings=12), "stopped after 8 of 12 trainings"),
        (Goal(episodes=20), "stopped after 9 of 20 episodes"),
        (Goal(seconds=7200.0, used_seconds=75.0), "stopped after 8 trainings, 1:15 of 2:00:00"),
    ],
    ids=["trainings", "the nearer of two", "episodes", "hours"],
)
def test_a_run_that_was_stopped_says_how_far_it_came(goal, text):
    assert stopped_text(goal, episodes=9, trainings=8) == text
