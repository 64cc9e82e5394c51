import pytest

from replaytree import plot_depth
from replaytree.metric import ACCURACY, wilson
from replaytree.report.reading import read_search
from replaytree.report.sections.answer import answer, answer_finding
from replaytree.report.sections.depth import DepthRow, depth_finding, depth_rows


def test_depths_at_the_largest_budget_by_hand(data):
    assert depth_rows(data) == [
        DepthRow(1, 2, 0.25, 0.375, 0.5, 0.625, 0.75, 0.75, "conv1", pytest.approx(wilson(0.75, 100, z=1)[0]), True),
        DepthRow(2, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, "conv1 res1", pytest.approx(wilson(0.5, 100, z=1)[0]), False),
    ]


def test_the_best_of_a_depth_is_the_one_ranked_first_with_its_own_labels_and_average(grow, training):
    # 0.88 of four trainings against 0.9 of one, and 0.89 of one behind it: the noise is worth more than two points.
    firm = [training((0,), a) for a in (0.84, 0.92, 0.84, 0.92)]
    data = read_search(grow([*firm, training((1,), 0.9), training((2, 0), 0.3, 0.895)]))
    rows = depth_rows(data)
    assert data.best.labels == ("conv1",)
    assert [(row.best_labels, row.best, row.high) for row in rows] == [
        ("conv1", pytest.approx(0.88), 0.9),
        ("res1 conv1", 0.895, 0.895),
    ]
    assert depth_finding(rows, ACCURACY) == "1 layer gave the best prefix, 0.880; 2 came to 0.895"
    assert answer_finding(answer(data), ACCURACY) == "Best: 0.880 after 1 layer"


def test_the_figure_draws_the_rows(tree):
    box, line = plot_depth(tree).data
    assert list(box.median) == [0.5, 0.5]
    assert list(line.y) == [0.75, 0.5]
