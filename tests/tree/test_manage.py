"""Deleting and renaming searches, on both databases."""

from contextlib import ExitStack

import pytest
from sqlalchemy import select

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.errors import ConfigError, SearchExists, SearchHeld, SearchNotFound
from replaytree.tree import Episode, Goal, delete_search, list_models, manage, open_engine, record_model, rename_search
from replaytree.tree.engine import reading
from replaytree.tree.schema import Base
from replaytree.tree.search_queries import find_search

SPACE = LabelSpace(("a", "b"), max_layers=2)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    """A database of two searches, with a model and a goal each."""
    url = f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")
    engine = open_engine(url)
    for name in ("first", "second"):
        tree = ReplayTree.create(engine, name, space=SPACE, seed=0, config_json='{"seed": 0}', versions={})
        tree.record([Episode((0, 1), "sample", 2, 4, True, PathEvaluation([0.5, 0.75]))], state=b"x")
        tree.set_goal(Goal(trainings=3))
        record_model(
            engine, labels=("a",), seed=0, epochs=1, test_accuracy=0.5, weights_path=name, search=name,
            node_id=tree.find("a").node_id,
        )  # fmt: skip
    return engine


def rows(engine):
    """How many rows each table has."""
    with reading(engine) as connection:
        return {name: len(connection.execute(select(table)).all()) for name, table in Base.metadata.tables.items()}


def test_what_is_deleted_is_all_of_one_search_and_nothing_of_another(engine):
    before = rows(engine)
    delete_search(engine, "first")
    assert rows(engine) == {name: count if name == "models" else count // 2 for name, count in before.items()}
    assert before["goals"] == 2
    assert [(model.search, model.weights_path) for model in list_models(engine)] == [
        (None, "first"),
        ("second", "second"),
    ]
    assert ReplayTree.open(engine, "second").goal() == Goal(trainings=3)
    with pytest.raises(SearchNotFound):
        delete_search(engine, "first")


def test_a_new_name_is_free_and_usable(engine):
    rename_search(engine, "first", "third")
    assert [node.search for node in ReplayTree.open(engine, "third").best(1)] == ["third"]
    assert list_models(engine, search="third")[0].weights_path == "first"
    for new, error in (("second", SearchExists), ("third", SearchExists), ("a/b", ConfigError)):
        with pytest.raises(error):
            rename_search(engine, "third", new)
    with pytest.raises(SearchNotFound):
        rename_search(engine, "first", "fourth")


def test_what_is_driven_is_left_alone(engine):
    with ReplayTree.open(engine, "first", space=SPACE).driving():
        for work in (lambda: delete_search(engine, "first"), lambda: rename_search(engine, "first", "x")):
            with pytest.raises(SearchHeld):
                work()
    delete_search(engine, "first")


def test_used_seconds_are_stored_with_what_was_recorded(engine):
    tree = ReplayTree.open(engine, "first", space=SPACE)
    tree.set_goal(Goal(seconds=100.0, used_seconds=1.0))
    tree.record([Episode((1,), "sample", 2, 4, True, PathEvaluation([0.5]))], state=b"x", used_seconds=7.5)
    assert tree.goal() == Goal(seconds=100.0, used_seconds=7.5)
    assert tree.goal_left() == Goal(seconds=92.5, used_seconds=7.5)


@pytest.mark.parametrize("act", [delete_search, lambda engine, name: rename_search(engine, name, "third")])
def test_a_search_that_a_process_begins_to_drive_in_between_is_left_alone(engine, act, monkeypatch):
    tree = ReplayTree.open(engine, "first")
    with ExitStack() as driven:

        def found(*arguments):
            driven.enter_context(tree.driving())
            return find_search(*arguments)

        monkeypatch.setattr(manage, "find_search", found)
        with pytest.raises(SearchHeld):
            act(engine, "first")
    assert ReplayTree.open(engine, "first").training_count == 1
