import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.deliver.pareto import fastest, pareto_front, pareto_nodes
from replaytree.tree import Episode


class SameButRam(LabelSpace):
    """The first layer needs 30 bytes of RAM, the second 20."""

    def network(self, prefix):
        return SimpleNamespace(ram_bytes=30 - 10 * prefix[0], flash_bytes=40)


def test_by_hand():
    points = [(1, 5), (2, 2), (3, 3), (2, 2), (5, 1), (1, 6)]
    assert pareto_front(points) == [0, 1, 3, 4]
    assert pareto_front([]) == []
    # What is not known is as bad as can be, and no better than another unknown.
    assert pareto_front([(1.0, math.inf), (2.0, math.inf), (2.0, 3.0)]) == [0, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_each_is_on_the_front_or_beaten_by_it(points):
    front = [points[position] for position in pareto_front(points)]
    assert bool(front) == bool(points)
    for point in points:
        beaten = any(other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in front)
        assert beaten == (point not in front)


def test_a_node_is_on_the_front_by_the_bound_that_ranks():
    space = LabelSpace(["a", "b"], max_layers=1, cost=lambda prefix: (10 + prefix[0], 10))
    tree = ReplayTree.create("sqlite://", "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    firm = [((0,), a) for a in (0.84, 0.92, 0.84, 0.92)]
    for path, accuracy in [*firm, ((1,), 0.9)]:
        tree.record([Episode(path, "sample", 1, 4, True, PathEvaluation([accuracy]))], state=b"")
    # The second has the higher average, of one training, costs more, and is ranked behind the first.
    nodes = tree.best()
    assert [node.path for node in nodes] == [(0,), (1,)]
    assert [node.path for node in pareto_nodes(tree)] == [(0,)]


def test_of_two_alike_the_one_with_less_ram_alone_is_on_the_front():
    space = SameButRam(["wide", "narrow"], max_layers=1, cost=lambda prefix: (10, 10))
    tree = ReplayTree.create("sqlite://", "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    tree.record([Episode((n,), "sample", 1, 4, True, PathEvaluation([0.5])) for n in (0, 1)], state=b"")
    assert {(node.params, node.flops, node.training_bound) for node in tree.best()} == {(10, 10, 0.5)}
    assert [node.path for node in pareto_nodes(tree)] == [(1,)]
    assert [tree.best()[place].path for place in fastest(tree.best(), [2.0, 2.0])] == [(1,)]


def test_the_front_is_of_all_prefixes_however_many_rank_before_the_small_ones():
    """600 layers of ever more parameters and accuracy are all on it, and so is one that is larger and better still."""
    space = LabelSpace([f"l{n}" for n in range(602)], max_layers=1, cost=lambda prefix: (prefix[0] + 1, 10))
    tree = ReplayTree.create("sqlite://", "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    accuracies = [0.1 + n / 1000 for n in range(600)] + [0.05, 0.9]
    tree.record([Episode((n,), "sample", 1, 4, True, PathEvaluation([a])) for n, a in enumerate(accuracies)], state=b"")
    front = pareto_nodes(tree)
    assert [node.path[0] for node in front] == [601, *range(599, -1, -1)]
    assert [node.path[0] for node in pareto_nodes(tree, max_params=2)] == [1, 0]
    assert pareto_nodes(tree, epochs=9) == []
    # With latency, what is beaten elsewhere may be the fastest.
    best = tree.best(602)
    assert best[-1].path == (600,)
    assert fastest(best, [2.0] * 601 + [1.0])[-1] == 601
