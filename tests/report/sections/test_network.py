import math

import pytest

from replaytree.metric import ACCURACY
from replaytree.report.sections.network import NetworkRow, _radial, draw_network, network_rows
from replaytree.report.theme import Scale


def test_the_most_visited_part_is_a_tree_with_a_place_for_each_node(data):
    rows = network_rows(data)
    assert [row.path for row in rows] == [(), *(node.path for node in data.nodes)]
    assert [row.place for row in rows] == [-1, 0, 1, 2, 3, 4, 5]
    spots = [(row.x, row.y) for row in rows]
    assert all(math.isfinite(x) and math.isfinite(y) for x, y in spots)
    assert len({(round(x, 3), round(y, 3)) for x, y in spots}) == len(spots)
    assert network_rows(data) == rows


def test_fewer_nodes_keep_their_parents(data):
    assert [row.path for row in network_rows(data, most=2)] == [(), (0,), (0, 1)]


def test_the_start_of_the_layout_is_radial():
    """A circle a depth; leaves evenly around it, and each node in the middle of the leaves below it."""
    # Four leaves, in the order of a walk: (0, 0), (0, 1), (1,), (2, 0), the last first; a quarter turn each.
    spots = _radial([(0,), (0, 0), (0, 1), (1,), (2,), (2, 0)])
    turned = {path: round(math.atan2(y, x) / math.tau % 1.0, 9) for path, (x, y) in spots.items() if path}
    leaves = {turned[path] for path in ((2, 0), (1,), (0, 1), (0, 0))}
    assert leaves == {0.0, 0.25, 0.5, 0.75}
    assert {path: math.hypot(*spots[path]) for path in spots} == {path: pytest.approx(len(path)) for path in spots}
    assert turned[0,] == pytest.approx((turned[0, 0] + turned[0, 1]) / 2)
    assert turned[2,] == turned[2, 0]
    assert spots[()] == (0.0, 0.0)


ROWS = [
    NetworkRow((), -1, "first", "", 5, None, 0.0, 0.0),
    NetworkRow((0,), 7, "<b>", "<b>", 4, 0.75, 1.0, 0.0),
    NetworkRow((0, 1), 3, "pool1", "<b> pool1", 1, None, 1.0, 2.0),
]


def test_the_figure_by_hand():
    scale = Scale(0.5, 0.9, ACCURACY)
    edges, root, nodes = draw_network(ROWS, scale).data
    # From each node to its parent, and a gap.
    assert list(edges.x) == [0.0, 1.0, None, 1.0, 1.0, None]
    assert list(edges.y) == [0.0, 0.0, None, 0.0, 2.0, None]
    assert (list(root.x), list(root.y)) == ([0.0], [0.0])
    assert (list(nodes.x), list(nodes.y)) == ([1.0, 1.0], [0.0, 2.0])
    # The page finds a node's place in the tree by what is put here.
    assert list(nodes.customdata) == [7, 3]
    # Areas go with visits: 7 + 25 sqrt(visits / most).
    assert list(nodes.marker.size) == [32.0, 19.5]
    # Colours are logarithms of errors; what was not measured has the lowest.
    assert list(nodes.marker.color) == pytest.approx([-math.log10(0.252), -math.log10(0.502)])
    assert list(nodes.text) == ["&lt;b&gt;", "pool1"]
    assert list(nodes.hovertext) == [
        "&lt;b&gt;<br>4 visits, average accuracy 0.7500",
        "&lt;b&gt; pool1<br>1 visits, average accuracy unknown",
    ]


def test_only_the_most_visited_carry_a_name():
    rows = [ROWS[0], *(NetworkRow((n,), n, f"l{n}", f"l{n}", n + 1, 0.5, 0.0, float(n)) for n in range(30))]
    nodes = draw_network(rows, Scale.of([0.5], ACCURACY)).data[2]
    assert list(nodes.text) == [""] * 6 + [f"l{n}" for n in range(6, 30)]


def test_an_empty_tree_is_an_empty_figure():
    edges, root, nodes = draw_network([], Scale.of([], ACCURACY)).data
    assert (len(edges.x), len(root.x), len(nodes.x)) == (0, 0, 0)
