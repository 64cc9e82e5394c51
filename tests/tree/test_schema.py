from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from replaytree.records import PathEvaluation
from replaytree.tree import Episode, Node, check, open_engine
from replaytree.tree.engine import _alembic_config, build_engine, current_revision, head_revision, reading, writing
from replaytree.tree.schema import VERSION_TABLE, VIEWS, Base, models

ARCHITECTURES = (
    "search node_id depth labels decisions path output_shape params flops ram_bytes flash_bytes epochs "
    "average_accuracy evaluation_count visit_count"
)
BEST_PREFIXES = (
    "search labels depth average_accuracy training_bound budget_evaluation_count "
    "evaluation_count visit_count params flops ram_bytes flash_bytes epochs node_id"
)


def test_migrated_schema_equals_the_models(url):
    engine = open_engine(url)
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*Base.metadata.tables, VERSION_TABLE}
        assert set(inspect(connection).get_view_names()) == set(VIEWS)
    engine.dispose()


def test_checks_are_in_the_migrations_too(url):
    """Alembic does not compare CHECK constraints."""
    engine = open_engine(url)
    with reading(engine) as connection:
        for table in Base.metadata.tables.values():
            modelled = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert {c["name"] for c in inspect(connection).get_check_constraints(table.name)} == modelled
    engine.dispose()


def test_up_down_up(url):
    engine = build_engine(url)
    for _ in range(2):
        with writing(engine) as connection:
            command.upgrade(_alembic_config(connection), "head")
        assert current_revision(engine) == head_revision()
        with writing(engine) as connection:
            command.downgrade(_alembic_config(connection), "base")
        with reading(engine) as connection:
            inspector = inspect(connection)
            assert [*inspector.get_table_names(), *inspector.get_view_names()] == [VERSION_TABLE]
    engine.dispose()


def test_a_tree_comes_through_a_downgrade_and_an_upgrade(tree, golden):
    """Below 0003 a ranking had no index, and the noise was asked of the evaluations."""
    tree.record(golden * 3, state=b"")
    before = tree.nodes(), tree.best(), tree.best(epochs=4), view_rows(tree.engine)
    with writing(tree.engine) as connection:
        command.downgrade(_alembic_config(connection), "0003")
    raw_views = view_rows(tree.engine)
    with writing(tree.engine) as connection:
        command.downgrade(_alembic_config(connection), "0002")
        assert not inspect(connection).has_table("budgets")
        assert [c["name"] for c in inspect(connection).get_columns("node_budgets")] == [
            *("node_id", "epochs", "search_id", "evaluation_count", "total_accuracy")
        ]
    assert view_rows(tree.engine) == raw_views
    with writing(tree.engine) as connection:
        command.upgrade(_alembic_config(connection), "head")
    assert check(tree.engine) == []
    after = tree.nodes(), tree.best(), tree.best(epochs=4), view_rows(tree.engine)
    assert rounded(after) == rounded(before)


def test_below_0006_copies_are_counted(tree):
    """As the older versions do, so that their own check finds nothing wrong."""
    pair = [PathEvaluation([0.5, 0.75]), PathEvaluation([0.5, 0.25], shared=1), PathEvaluation([0.8])]
    paths = [(0, 1), (0, 2), (0,)]
    tree.record([Episode(p, "sample", 3, 4, True, e) for p, e in zip(paths, pair, strict=True)], state=b"")
    with writing(tree.engine) as connection:
        command.downgrade(_alembic_config(connection), "0005")
        node = connection.execute(text("SELECT evaluation_count, total_accuracy FROM nodes WHERE path = '0'")).one()
        noise = connection.execute(text("SELECT repeat_count, relative_squares FROM budgets")).one()
    # 0.5, 0.5 and 0.8: mean 0.6, squares 0.06, the error 0.4.
    assert tuple(node) == (3, pytest.approx(1.8))
    assert tuple(noise) == (2, pytest.approx(0.06 / 0.16))
    with writing(tree.engine) as connection:
        command.upgrade(_alembic_config(connection), "head")
    assert check(tree.engine) == []


def view_rows(engine):
    with reading(engine) as connection:
        queries = ("SELECT * FROM architectures ORDER BY node_id", "SELECT * FROM best_prefixes")
        return [tuple(row) for query in queries for row in connection.execute(text(query))]


def rounded(records):
    return [
        [
            replace(r, training_bound=r.training_bound and round(r.training_bound, 9), lower_bound=None)
            if isinstance(r, Node)
            else r
            for r in group
        ]
        for group in records
    ]


def test_constraints(tree, golden):
    tree.record(golden, state=b"")
    for statement in (
        "UPDATE evaluations SET accuracy = 1.5",
        "UPDATE episodes SET source = 'dream'",
        "UPDATE nodes SET parent_id = 77",
        "UPDATE nodes SET path = '0' WHERE path = '2'",
        "UPDATE episodes SET number = 0",
    ):
        with pytest.raises(IntegrityError), tree.engine.begin() as connection:
            connection.execute(text(statement))


def test_times_are_utc(url):
    engine = open_engine(url)
    summer = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    row = {"labels": "conv", "seed": 0, "epochs": 4, "weights_path": "w.pt", "created_at": summer}
    with writing(engine) as connection:
        connection.execute(models.insert(), row)
    with reading(engine) as connection:
        assert connection.scalar(select(models.c.created_at)) == datetime(2026, 7, 1, 10, tzinfo=UTC)
        assert connection.scalar(select(models.c.created_at)).tzinfo is UTC
    engine.dispose()


def test_a_model_outlives_its_search(tree, golden):
    tree.record(golden, state=b"")
    row = {"labels": "c", "seed": 0, "epochs": 4, "weights_path": "w", "created_at": datetime.now(UTC)}
    with writing(tree.engine) as connection:
        connection.execute(models.insert(), row | {"search_id": 1, "node_id": 1})
        connection.execute(text("DELETE FROM searches"))
        assert connection.execute(select(models.c.search_id, models.c.node_id)).one() == (None, None)


def test_views(tree, golden):
    tree.record(golden, state=b"")
    with reading(tree.engine) as connection:
        architectures = connection.execute(text("SELECT * FROM architectures ORDER BY node_id")).all()
        best = connection.execute(text("SELECT * FROM best_prefixes")).all()
    assert " ".join(architectures[0]._fields) == ARCHITECTURES
    assert tuple(architectures[0]) == (
        *("first", 1, 1, "conv", '{"layer": "conv"}', "0", "8x8x8"),
        *(10, 1000, None, None, 8, 0.75, 3, 4),
    )
    assert tuple(architectures[5]) == (
        "first",
        6,
        3,
        "conv res pool",
        '{"layer": "pool"}',
        "0.2.1",
        "8x2x2",
        *(60, 3000, None, None, None, None, 0, 1),
    )
    assert " ".join(best[0]._fields) == BEST_PREFIXES
    assert [tuple(row) for row in best] == [
        ("first", "conv", 1, 0.75, 0.75, 1, 3, 4, 10, 1000, None, None, 8, 1),
        ("first", "conv res", 2, 0.5, 0.5, 1, 1, 1, 40, 2000, None, None, 8, 5),
        ("first", "res", 1, 0.25, 0.25, 1, 1, 1, 30, 1000, None, None, 8, 4),
    ]


def test_best_prefixes_round_and_take_each_search_at_its_own_budget(tree, create):
    other = create(tree.engine, "other")
    third = PathEvaluation([1.0]), PathEvaluation([1.0]), PathEvaluation([0.0])
    tree.record([Episode((0,), "sample", 1, 8, True, e) for e in third], state=b"")
    other.record([Episode((1,), "sample", 1, 4, True, PathEvaluation([0.9]))], state=b"")
    with reading(tree.engine) as connection:
        rows = connection.execute(text("SELECT search, labels, average_accuracy, epochs FROM best_prefixes")).all()
    assert [tuple(row) for row in rows] == [("other", "pool", 0.9, 4), ("first", "conv", 0.6667, 8)]


def test_best_prefixes_rank_searches_of_known_and_unknown_noise_together(tree, create, golden):
    every = [tree, *(create(tree.engine, name) for name in ("second", "third"))]
    for each in every:
        each.record(golden, state=b"")
    every[1].record([Episode((1,), "sample", 3, 9, True, PathEvaluation([0.75]))], state=b"")
    # A second training at the largest budget: one search of the three knows its noise there.
    every[2].record([Episode((0, 1), "sample", 3, 8, True, PathEvaluation([0.25, 0.5]))], state=b"")
    expected = sorted(
        [node for each in every for node in each.best(99)],
        key=lambda node: (-node.training_bound, -node.average_accuracy, node.params, node.node_id),
    )
    assert {node.training_bound == node.average_accuracy for node in expected} == {True, False}
    with reading(tree.engine) as connection:
        rows = connection.execute(text("SELECT * FROM best_prefixes")).all()
        first = connection.execute(text("SELECT * FROM best_prefixes LIMIT 4")).all()
    assert [row.node_id for row in rows] == [node.node_id for node in expected]
    assert [row.training_bound for row in rows] == [pytest.approx(node.training_bound, abs=6e-5) for node in expected]
    assert first == rows[:4]


def test_the_first_of_best_prefixes_are_found_in_one_pass_over_the_ranking_index(create, golden):
    """And what the other tables have is looked up, not read through."""
    tree = create("sqlite://")
    tree.record(golden, state=b"")
    with tree.engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT * FROM best_prefixes LIMIT 5")
        lines = [row[-1] for row in plan]
    assert [line.split()[1] for line in lines if line.startswith("SCAN")] == ["searches"]
    assert "SEARCH sums USING COVERING INDEX ix_node_budgets_ranking (search_id=? AND epochs=?)" in lines
    # No subquery is stored away as a whole before the first row comes out.
    assert not [line for line in lines if "MATERIALIZE" in line or "CO-ROUTINE" in line]


def test_views_with_the_sqlite3_module_alone(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"")
    tree.engine.dispose()
    connection = sqlite3.connect(tmp_path / "tree.db")
    rows = connection.execute("select * from best_prefixes limit 2").fetchall()
    assert rows == [
        ("first", "conv", 1, 0.75, 0.75, 1, 3, 4, 10, 1000, None, None, 8, 1),
        ("first", "conv res", 2, 0.5, 0.5, 1, 1, 1, 40, 2000, None, None, 8, 5),
    ]
    assert connection.execute("select count(*), max(average_accuracy) from architectures").fetchone() == (6, 0.9)
    connection.close()
