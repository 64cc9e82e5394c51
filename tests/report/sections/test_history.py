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
        "depth bound, layers", "budget, epochs", "policy entropy, nats", "policy loss",
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
