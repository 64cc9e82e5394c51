"""The tree as other tools like it: a networkx graph, a pandas table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

import networkx as nx
import pandas as pd

from replaytree.records import Path
from replaytree.tree.records import Node


def to_networkx(nodes: Sequence[Node]) -> nx.DiGraph[Path]:
    """Edges from parent to child; keys are paths, the root is (). Attributes are the fields of Node.

    The root, which is no stored node, has `path`, `depth` 0 and `visit_count`, the number of episodes.
    """
    graph: nx.DiGraph[Path] = nx.DiGraph()
    graph.add_node((), path=(), depth=0, visit_count=sum(node.visit_count for node in nodes if node.depth == 1))
    for node in nodes:
        graph.add_node(node.path, **asdict(node))
        graph.add_edge(node.path[:-1], node.path)
    return graph


def to_dataframe(nodes: Sequence[Node]) -> pd.DataFrame:
    """One row a node, one column a field of Node; missing numbers are NaN, counts stay whole."""
    return pd.DataFrame([asdict(node) for node in nodes], columns=[field.name for field in fields(Node)])
