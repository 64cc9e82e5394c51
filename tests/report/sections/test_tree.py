from hypothesis import given
from hypothesis import strategies as st

from replaytree.metric import ACCURACY
from replaytree.report.sections.tree import tree_columns, tree_rows, whole_number


def test_rows_by_hand(data):
    rows = tree_rows(data)
    assert [row.parent for row in rows] == [-1, 0, 1, -1, 0, 4]
    assert [row.action for row in rows] == [0, 1, 2, 2, 2, 1]
    assert [row.visit_count for row in rows] == [4, 3, 1, 1, 1, 1]
    assert [row.evaluation_count for row in rows] == [3, 2, 1, 1, 1, 0]
    assert [row.budget_evaluation_count for row in rows] == [1, 2, 1, 1, 1, 0]
    assert [row.epochs for row in rows] == [8, 4, 4, 8, 8, None]
    assert [row.average_accuracy for row in rows] == [0.75, 0.7, 0.9, 0.25, 0.5, None]
    assert [row.best_accuracy for row in rows] == [0.75, 0.8, 0.9, 0.25, 0.5, None]


def test_columns_are_whole_numbers_from_which_paths_can_be_rebuilt(data):
    found = tree_columns(data)
    columns = found["columns"]
    # An action is the place of its label where a layer is one decision.
    assert columns["action"] is None
    assert columns["average"] == [7500, 7000, 9000, 2500, 5000, -1]
    assert found["kinds"] == ["conv", "pool", "res"]
    for place, node in enumerate(data.nodes):
        path, at = [], place
        while at >= 0:
            path.insert(0, columns["label"][at])
            at = columns["parent"][at]
        assert tuple(path) == node.path
        assert columns["id"][place] == node.node_id


@given(st.floats(0, 1))
def test_accuracies_travel_as_they_are_shown(accuracy):
    assert f"{whole_number(accuracy, ACCURACY) / 10000:.4f}" == f"{accuracy:.4f}"
