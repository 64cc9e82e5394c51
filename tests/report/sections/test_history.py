from dataclasses import replace

import pytest

from replaytree import plot_history
from replaytree.metric import ACCURACY
from replaytree.report.reading import read_search
from replaytree.report.sections.history import SECTION, HistoryRow, draw_history, history_finding, history_rows, thinned


def test_history_by_hand(data):
    rows = history_rows(data)
    assert rows[0] == HistoryRow(0, "sample", True, 2, "conv1 pool1", 0.6, 0.6, (0, 1), 2, 4, None, 0.125, 1.0)
    assert [row.accuracy for row in rows] == [0.6, 0.9, 0.25, None, 0.75]
    # The budget rises with the third training: what ranks first then was trained with it.
    assert [row.best for row in rows] == [0.6, 0.9, 0.25, 0.25, 0.75]
    assert [row.leader for row in rows] == [(0, 1), (0, 1, 2), (2,), (2,), (0,)]
    assert history_finding(rows) == "The best prefix has been ranked first since the 4th of 4 trainings"
    assert history_finding(rows[:1]) == "The best prefix has been ranked first since the 1st of 1 training"
    assert [row.failure for row in rows] == [None, None, None, None, "diverged"]


def row(number, accuracy, best, failure=None):
    return HistoryRow(
        number,
        "sample",
        True,
        1,
        "conv1",
        accuracy,
        best,
        None if best is None else (int(10 * best),),
        1,
        4,
        failure,
        None,
        None,
    )


def test_thinning_keeps_new_leaders_failures_and_the_last():
    rows = [row(n, 0.5, 0.5 if n < 777 else 0.6, "error" if n == 333 else None) for n in range(1000)]
    kept = [r.number for r in thinned(rows, most=10)]
    assert kept == [0, 100, 200, 300, 333, 400, 500, 600, 700, 777, 800, 900, 999]
    assert thinned(rows, most=1000) == rows


def test_the_figure_marks_sources_replays_and_failures(tree, data):
    figure = plot_history(tree)
    assert figure == draw_history(history_rows(data), ACCURACY)
    names = [trace.name for trace in figure.data]
    assert names == [
        "sampled", "continued from the tree", "ranked first so far", "replayed, nothing trained", "failed",
        "depth bound, layers", "budget, epochs", "entropy of the policy, nats", "loss of the policy",
    ]  # fmt: skip
    # Counted from 1, as the heading counts.
    assert list(figure.data[2].x) == [1, 2, 3, 4, 5]
    assert list(figure.data[0].x) == [1, 3]
    assert list(figure.data[2].y) == [0.6, 0.9, 0.25, 0.25, 0.75]


def test_budgets_of_a_supernet_are_turns(grow, training):
    tree = grow([training((0, 1), 0.2, 0.9)], config={"weights": "shared"})
    figure = plot_history(tree)
    assert figure.data[3].name == "budget, turns"
    assert figure.data[0].text[0].endswith("<br>4 turns")
    assert "with the turns of that time" in SECTION.caption(read_search(tree), history_rows(read_search(tree)))


def test_a_policy_that_learns_nothing_has_no_panel():
    names = [trace.name for trace in draw_history([row(0, 0.5, 0.5)], ACCURACY).data]
    assert names == ["sampled", "ranked first so far", "depth bound, layers", "budget, epochs"]


@pytest.mark.parametrize("rows", [[], [row(0, None, None, "error")]])
def test_nothing_measured_can_be_drawn(rows):
    assert draw_history(rows, ACCURACY) is not None


def test_the_caption_says_what_is_left_out_and_explains_the_controller_where_there_is_one(data):
    few, many = [row(0, 0.5, 0.5)], [row(n, 0.5, 0.5) for n in range(2500)]
    # Of 2,500 every second is drawn, and the last.
    assert "1,249 episodes are left out" in SECTION.caption(data, many)
    assert "left out" not in SECTION.caption(data, few)
    assert "controller" not in SECTION.caption(data, few)
    assert "controller" in SECTION.caption(data, history_rows(data))


def test_leaders_that_were_scored_again_are_told_from_those_of_the_trainings(grow, training):
    tree = grow([training((0,), 0.9, epochs=1), training((2,), 0.5, epochs=2)], config={"weights": "shared"})
    data = read_search(tree)
    assert "scored once more" not in SECTION.caption(data, history_rows(data))
    tree.record_rescores({(0,): 0.8}, epochs=2, epochs_before=0)
    data = read_search(tree)
    rows = history_rows(data)
    # The drawing ends with what the second training measured, and the best prefix is that of the first.
    assert (rows[-1].leader, data.best.path) == ((2,), (0,))
    assert SECTION.finding(data, rows) == (
        "The best prefix came first when the leaders were scored once more, after the last training"
    )
    assert "the leaders were scored once more with the last weights" in SECTION.caption(data, rows)


@pytest.mark.parametrize(
    ("scores", "best", "average"),
    [({(2,): 0.6}, (2,), 0.6), ({(0,): 0.5, (2,): 0.4}, (0,), 0.5)],
    ids=["another average", "another prefix"],
)
def test_one_other_thing_is_enough_to_tell_that_leaders_were_scored_again(grow, training, scores, best, average):
    tree = grow([training((0,), 0.9, epochs=1), training((2,), 0.5, epochs=2)], config={"weights": "shared"})
    tree.record_rescores(scores, epochs=3, epochs_before=0)
    data = read_search(tree)
    rows = history_rows(data)
    assert (rows[-1].leader, rows[-1].best) == ((2,), 0.5)
    assert (data.best.path, data.best.average_accuracy) == (best, average)
    assert "the leaders were scored once more with the last weights" in SECTION.caption(data, rows)


def test_a_differentiable_search_has_numbers_and_no_policy(grow, training):
    mixed = replace(training((0,), 0.5), entropy=1.0)
    config = {"strategy": "darts", "weights": "shared", "min_layers": 3, "max_layers": 3}
    names = [trace.name for trace in plot_history(grow([mixed], config=config)).data]
    assert names[-2:] == ["entropy of the numbers, nats", "loss of the numbers"]


@pytest.mark.parametrize(("episodes", "step"), [(1, 1), (10, 1), (11, None)])
def test_few_episodes_are_whole_numbers_on_the_axis(episodes, step):
    figure = draw_history([row(number, 0.5, 0.5) for number in range(episodes)], ACCURACY)
    assert figure.layout.xaxis.dtick == step
