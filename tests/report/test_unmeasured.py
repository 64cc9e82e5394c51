"""The report of trainings that measured whole paths alone."""

from replaytree.report.leading import leaders
from replaytree.report.reading import read_search
from replaytree.report.sections.depth import SECTION as DEPTH
from replaytree.report.sections.depth import depth_rows
from replaytree.report.sections.history import history_rows
from replaytree.report.sections.tree import tree_rows


def test_what_was_not_measured_is_unknown_everywhere(grow, training):
    tree = grow([training((0, 1), None, 0.5), training((1,), 0.7), training((0, 1, 2), None, None, 0.9)])
    data = read_search(tree)
    assert [row.accuracy for row in history_rows(data)] == [0.5, 0.7, 0.9]
    assert [leader.path for leader in leaders(data)] == [(0, 1), (1,), (0, 1, 2)]
    known = {data.nodes[place].path: row.best_accuracy for place, row in enumerate(tree_rows(data))}
    assert known == {(0,): None, (0, 1): 0.5, (1,): 0.7, (0, 1, 2): 0.9}
    assert [(row.depth, row.nodes) for row in depth_rows(data)] == [(1, 1), (2, 1), (3, 1)]


def test_only_joint_trainings_are_said_to_read_low(grow, training):
    told = []
    for number, first in enumerate((0.4, None)):
        data = read_search(grow([training((0, 1), first, 0.5)], f"search{number}"))
        told.append("trained jointly" in DEPTH.caption(data, depth_rows(data)))
    assert told == [True, False]
