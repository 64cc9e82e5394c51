"""How a run shows where it stands."""

from dataclasses import replace

from replaytree.metric import PERPLEXITY
from replaytree.records import PathEvaluation, Proposal
from replaytree.search.progress import BAR, Shares, clock, described, telling
from replaytree.search.turns import Limits, Progress
from replaytree.space import LabelSpace
from replaytree.tree import Episode, Leader, ReplayTree


def turn(**changes):
    given = {
        "episode_count": 14, "training_count": 12, "run_episodes": 6, "run_trainings": 5, "run_seconds": 60.0,
        "depth_bound": 3, "epochs": 8, "proposals": [Proposal((0, 1), "sample", (0.5, 0.5))],
        "evaluations": [PathEvaluation((0.5, 0.75))], "leader": Leader(0.9, 8),
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
    assert described(turn(), Shares(trainings=20)) == "best 0.9000 at 8 epochs  5/20 trainings  3:00 left  last 0.7500"
    assert described(turn(), Shares(episodes=12)) == "best 0.9000 at 8 epochs  6/12 episodes  1:00 left  last 0.7500"
    assert described(turn(), Shares(hours=0.1)) == "best 0.9000 at 8 epochs  5 trainings  5:00 left  last 0.7500"
    whole = turn(evaluations=[PathEvaluation((None, 0.75)), PathEvaluation((), failure="diverged")])
    text = turn(leader=Leader(0.01, 8), evaluations=[PathEvaluation([0.0125])], metric=PERPLEXITY)
    assert described(text, Shares(trainings=20)) == "best 100.00 at 8 epochs  5/20 trainings  3:00 left  last 80.00"
    assert described(whole, Shares(trainings=20)).endswith("last 0.7500")
    failed = turn(leader=None, evaluations=[PathEvaluation((), failure="out_of_memory")])
    assert described(failed, Shares(trainings=20)) == "best -  5/20 trainings  3:00 left  out of memory"
    assert (clock(75), clock(3700)) == ("1:15", "1:01:40")


def test_the_line_fits_beside_the_bar_of_a_terminal_of_80_columns():
    long = turn(
        run_trainings=999,
        run_seconds=3.6e3,
        leader=Leader(0.9, 16),
        evaluations=[PathEvaluation((0.5,)), PathEvaluation((0.75,))] * 9,
    )
    line = described(long, Shares(trainings=9990))
    assert line == "best 0.9000 at 16 epochs  999/9990 trainings  9:00:00 left  last 0.7500"
    assert len(line) <= 80 - BAR - 1


def test_of_a_supernet_the_line_says_in_which_turn_the_best_was_scored():
    line = described(replace(turn(), counts_turns=True), Shares(trainings=20))
    assert line == "best 0.9000 in turn 8  5/20 trainings  3:00 left  last 0.7500"


def test_where_the_budget_rises_the_line_says_why_the_best_falls():
    """Prefixes are ranked by their accuracy at the largest budget alone."""
    tree = ReplayTree.create(
        "sqlite://", "rises", space=LabelSpace(["a", "b"], max_layers=1), seed=0, config_json="{}", versions={}
    )
    lines = []
    for action, epochs, accuracy in ((0, 1, 0.9), (1, 4, 0.8)):
        tree.record([Episode((action,), "sample", 1, epochs, True, PathEvaluation([accuracy]))], state=b"")
        lines.append(described(turn(leader=tree.leader()), Shares(trainings=20)))
    assert [line.split("  ")[0] for line in lines] == ["best 0.9000 at 1 epoch", "best 0.8000 at 4 epochs"]
    assert tree.info().leader == tree.leader() == Leader(0.8, 4)


def test_a_bar_is_shown_where_asked_for_and_what_listens_is_told_with_or_without(capsys):
    for progress in (True, False, None):
        told = []
        with telling(told.append, Limits(trainings=50), progress=progress) as tell:
            tell(turn())
        assert told == [turn()]
        assert ("best 0.9000" in capsys.readouterr().out) == (progress is True)
