"""What is written, by hand; the contract of the whole tree is in test_replay_tree.py."""

from replaytree.records import BudgetSums, PathEvaluation
from replaytree.tree import Episode, check
from replaytree.tree.engine import writing
from replaytree.tree.recording import record_late


def joint(path, accuracies, epochs=8):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies, train_seconds=2.0))


def test_a_driver_that_lost_its_lease_leaves_out_what_it_replayed(tree):
    tree.record([joint((0,), [0.5])], state=b"state")
    batch = [Episode((0,), "replay", 3, 8, False), joint((1,), [0.75]), joint((2,), [0.25])]
    with writing(tree.engine) as connection:
        record_late(connection, 1, space=tree._space, batch=batch)
    assert [(episode.number, episode.path) for episode in tree.episodes()] == [(0, (0,)), (1, (1,)), (2, (2,))]
    assert tree.strategy_state() == b"state"
    assert check(tree.engine) == []


def test_budgets_stand_in_ascending_order_whatever_came_first(tree):
    for epochs, accuracy in ((8, 0.75), (2, 0.25), (4, 0.5)):
        [recorded] = tree.record([joint((1,), [accuracy], epochs)], state=b"")
    expected = (BudgetSums(2, 1, 0.25), BudgetSums(4, 1, 0.5), BudgetSums(8, 1, 0.75))
    assert recorded.budgets == expected
    [stored] = tree.node_stats()
    assert stored.budgets == expected
    # What a node is worth is what its largest budget says.
    assert stored.average_accuracy == 0.75
