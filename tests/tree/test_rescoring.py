"""Leaders scored once more: which they are, what is stored, and what is not touched."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import text

from replaytree.errors import LeaseLost
from replaytree.records import PathEvaluation
from replaytree.tree import Episode, check, export_search, import_search, open_engine, repair
from replaytree.tree.engine import _alembic_config, reading, writing
from replaytree.tree.rescoring import leaders


def turn(path, accuracies, epochs):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies, epochs=epochs))


@pytest.fixture
def two_turns(tree):
    """(0,) and (0, 1) at one epoch, (2,) and (2, 0) at two."""
    tree.record([turn((0, 1), [0.4, 0.8], 1)], state=b"")
    tree.record([turn((2, 0), [0.5, 0.6], 2)], state=b"")
    return tree


def test_rescores_are_ranked_and_counted_and_are_no_visits(two_turns):
    tree = two_turns
    before = tree.node_stats(), tree.episodes(), tree.episode_count
    assert [node.path for node in tree.best(9)] == [(2, 0), (2,)]
    tree.record_rescores({(0,): 0.45, (0, 1): 0.7, (2,): 0.1}, epochs=2, epochs_before=0)
    assert [(node.path, node.average_accuracy) for node in tree.best(9)] == [
        ((0, 1), 0.7), ((2, 0), 0.6), ((2,), 0.5), ((0,), 0.45),
    ]  # fmt: skip
    assert (tree.node_stats(), tree.episodes(), tree.episode_count) == before
    node = tree.node((0, 1))
    assert (node.visit_count, node.evaluation_count, node.epochs) == (1, 2, 2)
    with reading(tree.engine) as connection:
        view = connection.execute(text("SELECT labels, average_accuracy FROM best_prefixes")).all()
    assert [tuple(row) for row in view[:2]] == [("conv pool", 0.7), ("res conv", 0.6)]
    assert check(tree.engine) == []


def test_what_is_recorded_later_shows_no_rescore_to_strategies(two_turns):
    two_turns.record_rescores({(0,): 0.45}, epochs=2, epochs_before=0)
    [first, _] = two_turns.record([turn((0, 2), [0.6, 0.7], 3)], state=b"")
    assert [(sums.epochs, sums.average_accuracy) for sums in first.budgets] == [(1, 0.4), (3, 0.6)]
    assert check(two_turns.engine) == []


def test_the_sums_are_rebuilt_from_rescores_too(two_turns):
    two_turns.record_rescores({(0,): 0.45, (0, 1): 0.7}, epochs=2, epochs_before=0)
    before = two_turns.nodes()
    with writing(two_turns.engine) as connection:
        connection.execute(text("UPDATE nodes SET total_accuracy = 9.0"))
        connection.execute(text("UPDATE node_budgets SET total_accuracy = 9.0, squared_deviations = 1.0"))
        connection.execute(text("DELETE FROM noise_factors"))
        connection.execute(text("DELETE FROM budgets"))
    assert {problem.repairable for problem in check(two_turns.engine)} == {True}
    repair(two_turns.engine)
    assert two_turns.nodes() == before
    assert check(two_turns.engine) == []


def test_a_rescore_of_what_a_training_scored_in_that_state_is_a_problem(two_turns):
    two_turns.record_rescores({(0,): 0.45}, epochs=2, epochs_before=0)
    with writing(two_turns.engine) as connection:
        connection.execute(text("UPDATE rescores SET epochs = 1"))
    assert "rescore" in {problem.invariant for problem in check(two_turns.engine)}


def test_rescores_come_through_a_file_and_go_in_a_downgrade(two_turns, tmp_path):
    from alembic import command

    tree = two_turns
    raw = tree.nodes()
    tree.record_rescores({(0,): 0.45, (0, 1): 0.7}, epochs=2, epochs_before=0)
    export_search(tree.engine, tree.name, tmp_path / "1.gz")
    other = open_engine("sqlite://")
    import_search(other, tmp_path / "1.gz")
    export_search(other, tree.name, tmp_path / "2.gz")
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()
    assert check(other) == []
    with writing(tree.engine) as connection:
        command.downgrade(_alembic_config(connection), "0013")
    with writing(tree.engine) as connection:
        command.upgrade(_alembic_config(connection), "head")
    assert check(tree.engine) == []
    assert tree.nodes() == raw


def test_leaders_are_the_best_of_all_and_the_best_of_every_part(two_turns):
    tree = two_turns
    for number in range(3, 21):
        tree.record([turn((number % 3, number % 2, number // 9), [0.1, 0.2, number / 100], number)], state=b"")
    nodes = tree.nodes()
    chosen = leaders(nodes, k=4)
    by_path = {node.path: node.average_accuracy for node in nodes}
    best = sorted(by_path.values(), reverse=True)
    assert [by_path[path] for path in chosen[:2]] == best[:2] == [0.2, 0.2]
    assert len(chosen) == len(set(chosen)) == 4
    assert set(leaders(nodes, k=1000)) == set(by_path), "all, where there is room"


@dataclass(frozen=True)
class Measured:
    """What decides who leads."""

    node_id: int

    @property
    def path(self):
        return (self.node_id,)

    @property
    def epochs(self):
        return self.node_id

    @property
    def average_accuracy(self):
        return self.node_id / 100


def test_beside_the_best_leaders_are_one_of_every_tenth_from_the_last_on():
    # Scores rise with age, so the ten best are the last tenth, which has no other.
    chosen = leaders([Measured(number) for number in range(100)], k=20)
    assert chosen == [(number,) for number in [*range(99, 89, -1), *range(89, 0, -10)]]


def test_a_driver_that_lost_its_lease_stores_no_rescores(two_turns):
    with two_turns.driving():
        with writing(two_turns.engine) as connection:
            connection.execute(text("UPDATE leases SET holder = 'another'"))
        with pytest.raises(LeaseLost):
            two_turns.record_rescores({(0,): 0.45}, epochs=2, epochs_before=0)
    assert [node.path for node in two_turns.best(9)] == [(2, 0), (2,)]
