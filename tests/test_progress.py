"""How a run shows where it stands."""

from replaytree.progress import Shares, clock, described, telling
from replaytree.records import PathEvaluation, Proposal
from replaytree.turns import Limits, Progress


def turn(**changes):
    given = {
        "episode_count": 14, "training_count": 12, "run_episodes": 6, "run_trainings": 5, "run_seconds": 60.0,
        "depth_bound": 3, "epochs": 8, "proposals": [Proposal((0, 1), "sample", (0.5, 0.5))],
        "evaluations": [PathEvaluation((0.5, 0.75))], "best_accuracy": 0.9,
    }  # fmt: skip
    return Progress(**given | changes)


def test_the_share_is_that_of_the_nearest_limit():
    assert Shares(episodes=12, trainings=50, hours=1.0).of(turn()) == 0.5
    assert Shares(hours=0.1).of(turn()) == 1 / 6
    assert Shares().of(turn()) == 0.0


def test_best_and_time_left_come_first():
    assert described(turn(), 0.25) == (
        "best 0.9000  3:00 left  trainings 12  accuracy 0.7500  depth bound 3  epochs 8  episode 14  "
        "5 trainings/min  sample"
    )
    unknown = described(turn(best_accuracy=None, run_seconds=0.0), 0.0)
    assert unknown.startswith("best -  ? left  trainings 12")
    assert (clock(75), clock(3700)) == ("1:15", "1:01:40")


def test_a_bar_is_shown_where_asked_for_and_what_listens_is_told_with_or_without(capsys):
    for progress in (True, False, None):
        told = []
        with telling(told.append, Limits(trainings=50), progress=progress) as tell:
            tell(turn())
        assert told == [turn()]
        assert ("best 0.9000" in capsys.readouterr().out) == (progress is True)
