import numpy as np

from replaytree.policy import ReplayMemory
from replaytree.policy.node_table import Leader, NodeTable
from replaytree.records import BudgetSums, NodeStats


def node(path, *sums):
    return NodeStats(path, 1, tuple(BudgetSums(*values) for values in sums))


def table_of(memory):
    table = NodeTable(3)
    table.take_in(memory)
    return table


def test_examples_stand_by_node_and_then_by_budget():
    memory = ReplayMemory([node((2,), (4, 2, 1.0), (8, 1, 0.75)), node((2, 0)), node((2, 0, 1), (8, 4, 2.0))])
    rows, epochs, averages, counts = table_of(memory).examples()
    assert rows.tolist() == [0, 0, 2]
    assert epochs.tolist() == [4, 8, 8]
    assert averages.tolist() == [0.5, 0.75, 0.5]
    assert counts.tolist() == [2, 1, 4]


def test_actions_end_in_no_layer():
    table = table_of(ReplayMemory([node((2,), (4, 1, 0.5)), node((2, 0), (4, 1, 0.5))]))
    assert table.actions(np.array([1, 0])).tolist() == [[2, 0, -1], [2, -1, -1]]


def test_a_table_that_grew_equals_one_that_was_read_at_once():
    generator = np.random.default_rng(0)
    memory, grown = ReplayMemory(), NodeTable(3)
    stored = {}
    for _ in range(150):
        path = tuple(generator.integers(4, size=3).tolist())
        epochs = int(generator.choice([8, 2, 4]))
        changed = []
        for t in range(1, 4):
            sums = dict(stored.get(path[:t], {}))
            count, total = sums.get(epochs, (0, 0.0))
            sums[epochs] = (count + 1, total + generator.uniform())
            stored[path[:t]] = sums
            changed.append(node(path[:t], *((e, *sums[e]) for e in sorted(sums))))
        memory.update(changed)
        grown.take_in(memory)
    at_once = table_of(ReplayMemory(memory))
    assert len(grown) == len(memory) > 64
    for one, other in zip(grown.examples(), at_once.examples(), strict=True):
        assert np.array_equal(one, other)
    everything = np.arange(len(memory))
    assert np.array_equal(grown.actions(everything), at_once.actions(everything))
    assert grown.leaders(4, 5) == at_once.leaders(4, 5)


def test_what_is_not_measured_stays_so_in_a_table_that_has_grown():
    # The table has room for 64 rows at first; only the first and the last of 200 nodes are measured.
    nodes = [node((0,), (4, 1, 0.5)), *(node((0, action)) for action in range(198)), node((0, 198), (8, 2, 1.5))]
    table = table_of(ReplayMemory(nodes))
    rows, epochs, averages, counts = table.examples()
    assert rows.tolist() == [0, 199]
    assert (epochs.tolist(), averages.tolist(), counts.tolist()) == ([4, 8], [0.5, 0.75], [1, 2])
    assert table.leaders(4, 3) == [Leader((0,), 0.5, 1)]
    assert table.actions(np.array([150])).tolist() == [[0, 149, -1]]


def test_leaders_are_the_best_at_their_budget_and_the_older_of_equals():
    memory = ReplayMemory(
        [
            node((0,), (4, 1, 0.5)),
            node((1,), (4, 2, 1.8)),
            node((2,), (8, 1, 0.99)),
            node((3,), (4, 1, 0.5)),
            node((3, 1)),
        ]
    )
    table = table_of(memory)
    assert table.leaders(4, 2) == [Leader((1,), 0.9, 2), Leader((0,), 0.5, 1)]
    assert [leader.path for leader in table.leaders(4, 9)] == [(1,), (0,), (3,)]
    assert table.leaders(16, 2) == []
