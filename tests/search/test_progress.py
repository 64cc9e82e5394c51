"""How a run shows where it stands."""

from replaytree.records import PathEvaluation, Proposal
from replaytree.search.progress import Shares, clock, described, telling
from replaytree.search.turns import Limits, Progress


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


def test_where_trainings_grow_the_share_is_that_of_their_cost():
    # 5 of 6 trainings are done, and half of the work.
    shares = Shares(trainings=6, costs=[1.0, 1.0, 1.0, 1.0, 1.0, 5.0])
    assert shares.of(turn()) == 0.5
    assert shares.left(turn()) == "1:00"
    assert Shares(trainings=6).left(turn()) == "0:12"
    assert (shares.of(turn(run_trainings=0)), shares.left(turn(run_trainings=0))) == (0.0, "?")


def test_the_time_left_is_not_guessed_from_the_first_trainings():
    assert [Shares(trainings=6).left(turn(run_trainings=n)) for n in (1, 2, 3)] == ["?", "?", "1:00"]
    # Where time ends the run, it is known.
    assert Shares(hours=0.1).left(turn(run_trainings=1)) == "5:00"


def test_the_line_of_a_turn_has_the_best_the_counts_and_the_time_left():
    assert described(turn(), Shares(trainings=20)) == "best 0.9000  5/20 trainings  3:00 left  accuracy 0.7500"
    assert described(turn(), Shares(episodes=12)) == "best 0.9000  6/12 episodes  1:00 left  accuracy 0.7500"
    assert described(turn(), Shares(hours=0.1)) == "best 0.9000  5 trainings  5:00 left  accuracy 0.7500"
    failed = turn(best_accuracy=None, evaluations=[PathEvaluation((), failure="out_of_memory")])
    assert described(failed, Shares(trainings=20)) == "best -  5/20 trainings  3:00 left  out of memory"
    assert (clock(75), clock(3700)) == ("1:15", "1:01:40")


def test_the_line_fits_beside_the_bar_of_a_terminal_of_80_columns():
    long = turn(
        run_trainings=9999, run_seconds=3.5e4, evaluations=[PathEvaluation((0.5,)), PathEvaluation((0.75,))] * 9
    )
    line = described(long, Shares(trainings=99999))
    assert line == "best 0.9000  9999/99999 trainings  87:30:32 left  accuracy 0.7500"
    assert len(line) <= 80 - len("|" * 12) - 1


def test_a_bar_is_shown_where_asked_for_and_what_listens_is_told_with_or_without(capsys):
    for progress in (True, False, None):
        told = []
        with telling(told.append, Limits(trainings=50), progress=progress) as tell:
            tell(turn())
        assert told == [turn()]
        assert ("best 0.9000" in capsys.readouterr().out) == (progress is True)
