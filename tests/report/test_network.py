import math

from replaytree.report.network import draw_network, network_rows
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


def test_an_empty_tree_can_be_drawn():
    assert draw_network([], Scale.of([])) is not None
