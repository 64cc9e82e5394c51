from __future__ import annotations

import pytest
from sqlalchemy import text

from replaytree.errors import ConfigError, SpaceError
from replaytree.records import BudgetSums, NodeStats
from replaytree.space import LabelSpace, checked
from replaytree.tree import ReplayTree, check, export_search, import_search, open_engine
from replaytree.tree.engine import writing
from replaytree.tree.prior import fitting


@pytest.fixture
def told(tree, golden, create, space):
    """A search, and another that was told what it measured."""
    tree.record(golden, state=b"")
    prior = tree.prior_for(space)
    return ReplayTree.create(
        tree.engine, "second", space=space, seed=1, config_json='{"seed": 1}', versions={}, prior=prior
    )


def test_what_was_measured_is_told_without_the_visits(told):
    """The golden tree of conftest.py: 0.2.1 failed and was never measured."""
    four, eight = (lambda n, total: BudgetSums(4, n, total)), (lambda n, total: BudgetSums(8, n, total))
    assert told.prior() == [
        NodeStats((0,), 0, (four(2, 1.2), eight(1, 0.75))),
        NodeStats((2,), 0, (eight(1, 0.25),)),
        NodeStats((0, 1), 0, (four(2, 1.4),)),
        NodeStats((0, 2), 0, (eight(1, 0.5),)),
        NodeStats((0, 1, 2), 0, (four(1, 0.9),)),
    ]


def test_it_counts_as_nothing_measured_here(told):
    assert told.node_stats() == told.best() == told.nodes() == []
    assert told.info().best_accuracy is None
    assert check(told.engine) == []


def test_it_is_a_copy(told):
    before = told.prior()
    with writing(told.engine) as connection:
        connection.execute(text("DELETE FROM searches WHERE name = 'first'"))
    assert told.prior() == before
    assert check(told.engine) == []


def test_it_travels_with_the_search(told, tmp_path):
    export_search(told.engine, "second", tmp_path / "second.gz")
    fresh = open_engine("sqlite://")
    import_search(fresh, tmp_path / "second.gz")
    assert ReplayTree.open(fresh, "second").prior() == told.prior()


def test_a_search_without_one(tree):
    assert tree.prior() == []


def test_what_is_too_deep_or_illegal_is_left_out(told, tree):
    class Shallow(LabelSpace):
        def legal(self, prefix, chosen=()):
            return (True, prefix != (0,), True)

    shallow = Shallow(["conv", "pool", "res"], max_layers=2)
    assert [node.path for node in tree.prior_for(shallow)] == [(0,), (2,), (0, 2)]
    deep = Shallow(["conv", "pool", "res"], max_layers=3)
    assert (0, 1, 2) not in [node.path for node in tree.prior_for(deep)]


def test_other_layers_are_named(tree):
    other = LabelSpace(["conv", "avg", "res"], max_layers=3)
    with pytest.raises(
        SpaceError, match="search 'first' was made with layer 1 named pool, and the space given has avg"
    ):
        tree.prior_for(other)
    with pytest.raises(
        SpaceError,
        match=r"made with 3 layers, and the space given has 2; name a search of the same layers \(--warm-start\)",
    ):
        tree.prior_for(LabelSpace(["conv", "pool"], max_layers=3))


def test_a_search_that_measured_nothing(tree, space):
    with pytest.raises(ConfigError, match=r"search 'first' has measured no prefix that is legal here.*leave out --w"):
        tree.prior_for(space)
    with pytest.raises(ConfigError):
        fitting([NodeStats((0,), 3, ())], checked(space), name="first")
