from __future__ import annotations

from dataclasses import fields

import networkx as nx

from replaytree.tree import Node


def test_networkx(tree, golden):
    tree.record(golden, state=b"")
    graph = tree.to_networkx()
    assert sorted(graph.edges) == [
        ((), (0,)),
        ((), (2,)),
        ((0,), (0, 1)),
        ((0,), (0, 2)),
        ((0, 1), (0, 1, 2)),
        ((0, 2), (0, 2, 1)),
    ]
    assert nx.is_arborescence(graph)
    assert graph.nodes[()] == {"path": (), "depth": 0, "visit_count": 5}
    assert set(graph.nodes[(0, 2)]) == {field.name for field in fields(Node)}
    assert graph.nodes[(0, 2)]["labels"] == ("conv", "res")


def test_networkx_of_an_empty_tree(tree):
    assert list(tree.to_networkx().nodes) == [()]


def test_dataframe(tree, golden):
    assert list(tree.to_dataframe().columns) == [field.name for field in fields(Node)]
    tree.record(golden, state=b"")
    frame = tree.to_dataframe()
    assert list(frame.node_id) == [1, 2, 3, 4, 5, 6]
    assert list(frame.visit_count) == [4, 3, 1, 1, 1, 1]
    assert list(frame.average_accuracy.round(9))[:5] == [0.75, 0.7, 0.9, 0.25, 0.5]
    assert frame.average_accuracy.isna().tolist() == [False] * 5 + [True]
