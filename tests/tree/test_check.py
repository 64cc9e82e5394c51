from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text

from replaytree.records import PathEvaluation
from replaytree.tree import Episode, Problem, ReplayTree, check, open_engine, repair


@pytest.fixture(params=["memory", "postgresql"])
def url(request):
    """One storage of each dialect: the checks are SQL, and a file says nothing that memory does not."""
    return "sqlite://" if request.param == "memory" else request.getfixturevalue("empty_postgresql")


@pytest.fixture
def golden_tree(tree, golden):
    tree.record(golden, state=b"")
    return tree


def corrupt(engine, *statements):
    """By hand, without the foreign keys' protection."""
    off, on = (
        ("PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys=ON")
        if engine.dialect.name == "sqlite"
        else ("SET session_replication_role = replica", "SET session_replication_role = origin")
    )
    connection = engine.raw_connection()
    connection.cursor().execute(off)
    for statement in statements:
        connection.cursor().execute(statement)
    connection.cursor().execute(on)
    connection.commit()
    connection.close()


def found(engine):
    return [(p.invariant, p.node_id, p.episode, p.expected, p.found, p.repairable) for p in check(engine)]


def test_a_sound_tree(golden_tree):
    assert check(golden_tree.engine) == []
    assert repair(golden_tree.engine) == (0, None)


CACHES = [
    ("UPDATE nodes SET evaluation_count = 9 WHERE id = 2", [("evaluation_count", 2, None, 2, 9, True)]),
    ("UPDATE nodes SET total_accuracy = 0.5 WHERE id = 4", [("total_accuracy", 4, None, 0.25, 0.5, True)]),
    ("UPDATE nodes SET visit_count = visit_count + 1 WHERE id = 1", [("visit_count", 1, None, 4, 5, True)]),
    (
        "UPDATE node_budgets SET evaluation_count = 3 WHERE node_id = 1 AND epochs = 8",
        [("evaluation_count at a budget", 1, None, 1, 3, True)],
    ),
    (
        "UPDATE node_budgets SET total_accuracy = 0.0 WHERE node_id = 5",
        [("total_accuracy at a budget", 5, None, 0.5, 0.0, True)],
    ),
    (
        "DELETE FROM node_budgets WHERE node_id = 1 AND epochs = 8",
        [
            ("evaluation_count at a budget", 1, None, 1, 0, True),
            ("total_accuracy at a budget", 1, None, 0.75, 0.0, True),
        ],
    ),
    (
        "INSERT INTO node_budgets VALUES (6, 2, 1, 1, 0.5, 0.0, 3, 0.5, 60)",
        [
            ("evaluation_count at a budget", 6, None, 0, 1, True),
            ("total_accuracy at a budget", 6, None, 0.0, 0.5, True),
        ],
    ),
]


CACHES += [
    (
        "UPDATE node_budgets SET depth = 1 WHERE node_id = 5",
        [("depth at a budget", 5, None, 2, 1, True)],
    ),
    (
        "UPDATE node_budgets SET params_rank = 5 WHERE node_id = 5",
        [("params_rank at a budget", 5, None, 40, 5, True)],
    ),
    (
        "UPDATE node_budgets SET average_accuracy = 0.75 WHERE node_id = 5",
        [("average_accuracy at a budget", 5, None, 0.5, 0.75, True)],
    ),
    (
        "UPDATE node_budgets SET squared_deviations = 0.5 WHERE node_id = 5",
        [("squared_deviations at a budget", 5, None, 0.0, 0.5, True)],
    ),
    (
        "UPDATE budgets SET repeat_count = 1 WHERE epochs = 8",
        [("noise at 8 epochs", None, None, "0 of 0 repeats", "0 of 1 repeats", True)],
    ),
    (
        "INSERT INTO budgets VALUES (1, 2, 3, 0.5)",
        [("noise at 2 epochs", None, None, None, "0.5 of 3 repeats", True)],
    ),
    (
        "DELETE FROM budgets WHERE epochs = 8",
        [("noise at 8 epochs", None, None, "0 of 0 repeats", None, True)],
    ),
    (
        "UPDATE noise_factors SET factor = 1.5 WHERE epochs = 8",
        [("noise factor of 1 evaluations at 8 epochs", None, None, "none for 3 nodes", "1.5 for 3 nodes", True)],
    ),
    (
        "UPDATE noise_factors SET node_count = 4 WHERE epochs = 8",
        [("noise factor of 1 evaluations at 8 epochs", None, None, "none for 3 nodes", "none for 4 nodes", True)],
    ),
    (
        "INSERT INTO noise_factors VALUES (1, 8, 2, 1, NULL)",
        [("noise factor of 2 evaluations at 8 epochs", None, None, None, "none for 1 nodes", True)],
    ),
    (
        "DELETE FROM noise_factors WHERE epochs = 8",
        [("noise factor of 1 evaluations at 8 epochs", None, None, "none for 3 nodes", None, True)],
    ),
]


@pytest.mark.parametrize(("statement", "problems"), CACHES, ids=[str(n) for n in range(len(CACHES))])
def test_wrong_caches_are_found_and_repaired(golden_tree, statement, problems):
    before = golden_tree.nodes(), golden_tree.node_stats()
    corrupt(golden_tree.engine, statement)
    assert found(golden_tree.engine) == problems
    assert repair(golden_tree.engine) == (1, None)
    assert check(golden_tree.engine) == []
    assert (golden_tree.nodes(), golden_tree.node_stats()) == before


@pytest.fixture
def sharing_tree(golden_tree):
    """The golden tree, and three paths of one training that share 0 (0.25), two of them 0.1 (0.5)."""
    paths = {(0, 1): ([0.25, 0.5], 0), (0, 1, 0): ([0.25, 0.5, 0.75], 2), (0, 0): ([0.25, 1.0], 1)}
    batch = [
        Episode(path, "sample", 3, 4, True, PathEvaluation(accuracies, shared=shared))
        for path, (accuracies, shared) in paths.items()
    ]
    golden_tree.record(batch, state=b"")
    return golden_tree


def test_copies_are_in_no_sum_that_is_checked_or_rebuilt(sharing_tree):
    engine = sharing_tree.engine
    assert check(engine) == []
    before = sharing_tree.node_stats(), [round(node.lower_bound, 9) for node in sharing_tree.best(epochs=4)]
    corrupt(
        engine,
        "UPDATE nodes SET evaluation_count = 6, total_accuracy = 2.7 WHERE id = 1",
        "UPDATE node_budgets SET evaluation_count = 5, total_accuracy = 1.95 WHERE node_id = 1 AND epochs = 4",
        "UPDATE budgets SET repeat_count = 6 WHERE epochs = 4",
    )
    # Of node 0: 0.5 and 0.7 and once 0.25 at four epochs, 0.75 at eight.
    assert {problem[:5] for problem in found(engine)} >= {
        ("evaluation_count", 1, None, 4, 6),
        ("evaluation_count at a budget", 1, None, 3, 5),
    }
    repair(engine)
    assert check(engine) == []
    after = sharing_tree.node_stats(), [round(node.lower_bound, 9) for node in sharing_tree.best(epochs=4)]
    assert after == before


def test_all_caches_lost(golden_tree):
    before = golden_tree.nodes()
    corrupt(
        golden_tree.engine,
        "UPDATE nodes SET visit_count = 0, evaluation_count = 0, total_accuracy = 0",
        "DELETE FROM node_budgets",
    )
    assert repair(golden_tree.engine).rows == 5 + 6 + 6
    assert check(golden_tree.engine) == []
    assert [(n.visit_count, n.evaluation_count) for n in golden_tree.nodes()] == [
        (n.visit_count, n.evaluation_count) for n in before
    ]


MODEL = (
    "INSERT INTO models (id, search_id, node_id, labels, seed, epochs, test_accuracy, weights_path, created_at) "
    "VALUES (1, {search}, {node}, 'conv', 0, 4, NULL, 'w', '2026-01-01 00:00:00.000000')"
)
UNSHARED = "one that is not shared, of the same node and epochs"
PREFIX = "a prefix of a trained episode of its search, at its epochs"
STRUCTURE = [
    (
        "UPDATE nodes SET parent_id = 4 WHERE id = 2",
        ("path", 2, None, "2.1", "0.1"),
    ),
    (
        "UPDATE nodes SET parent_id = NULL WHERE id = 5",
        ("parent_id", 5, None, "an older node of the search, one layer up", None),
    ),
    (
        "UPDATE nodes SET parent_id = 77 WHERE id = 5",
        ("parent_id", 5, None, "an older node of the search, one layer up", 77),
    ),
    (
        "UPDATE nodes SET parent_id = 6 WHERE id = 5",
        ("parent_id", 5, None, "an older node of the search, one layer up", 6),
    ),
    ("UPDATE nodes SET parent_id = 1 WHERE id = 4", ("parent_id", 4, None, "none", 1)),
    ("UPDATE nodes SET path = '0.0' WHERE id = 5", ("path", 5, None, "0.2", "0.0")),
    ("UPDATE nodes SET action = 0 WHERE id = 5", ("path", 5, None, "0.0", "0.2")),
    ("UPDATE nodes SET labels = 'res' WHERE id = 5", ("labels", 5, None, "conv res", "res")),
    ("UPDATE nodes SET depth = 3 WHERE id = 5", ("depth", 5, None, 2, 3)),
    ("UPDATE nodes SET search_id = 9 WHERE id = 6", ("search of node", 6, None, "a stored search", 9)),
    ("DELETE FROM nodes WHERE id = 4", ("node of episode", None, 2, "a node of the search", 4)),
    ("DELETE FROM nodes WHERE id = 4", ("node of sums", 4, None, "a node of the search", 1)),
    ("DELETE FROM nodes WHERE id = 4", ("evaluation", 4, 2, PREFIX, 6)),
    ("UPDATE evaluations SET node_id = 4 WHERE id = 2", ("evaluation", 4, 0, PREFIX, 2)),
    ("UPDATE evaluations SET epochs = 8 WHERE id = 2", ("evaluation", 2, 0, PREFIX, 2)),
    ("UPDATE evaluations SET episode_id = 4 WHERE id = 2", ("evaluation", 2, 3, PREFIX, 2)),
    ("UPDATE evaluations SET episode_id = 99 WHERE id = 2", ("evaluation", 2, None, PREFIX, 2)),
    ("DELETE FROM evaluations WHERE id = 2", ("evaluations of episode", 2, 0, "one of its path", 0)),
    ("UPDATE evaluations SET shared = true WHERE id = 8", ("shared evaluation", 5, 4, UNSHARED, 8)),
    ("UPDATE episodes SET number = 7 WHERE number = 4", ("last episode number", None, None, 4, 7)),
    ("UPDATE episodes SET number = 7 WHERE number = 0", ("first episode number", None, None, 0, 1)),
    (
        "UPDATE strategy_states SET episode_count = 4",
        ("episodes of the strategy's state", None, None, 5, 4),
    ),
    ("DELETE FROM strategy_states", ("episodes of the strategy's state", None, None, 5, None)),
    ("UPDATE strategy_states SET search_id = 9", ("search of strategy state", None, None, "a stored search", 9)),
    (
        "INSERT INTO leases VALUES (9, 'h', 'host', 1, 'p', '2026-01-01 00:00:00', '2026-01-01 00:00:00', NULL)",
        ("search of lease", None, None, "a stored search", 9),
    ),
    (MODEL.format(search=9, node="NULL"), ("search of model", None, None, "a stored search", 9)),
    (MODEL.format(search=1, node=77), ("node of model", None, None, "a node of the search", 77)),
]


@pytest.mark.parametrize(("statement", "problem"), STRUCTURE, ids=[str(n) for n in range(len(STRUCTURE))])
def test_damage_is_found_and_not_papered_over(golden_tree, statement, problem):
    corrupt(golden_tree.engine, statement)
    problems = found(golden_tree.engine)
    assert (*problem, False) in problems
    repair(golden_tree.engine)
    assert (*problem, False) in found(golden_tree.engine)


def test_the_search_of_a_problem(golden_tree, create, golden):
    create(golden_tree.engine, "second").record(golden, state=b"")
    corrupt(golden_tree.engine, "UPDATE nodes SET visit_count = 0 WHERE id = 7")
    assert check(golden_tree.engine) == [Problem("second", "visit_count", 4, 0, node_id=7, repairable=True)]


def test_text():
    problem = Problem("first", "visit_count", 4, 0, node_id=7, episode=3)
    assert problem.text == "search 'first', node 7, episode 3: visit_count is 0, expected 4"


def test_repair_keeps_what_cannot_be_rebuilt_consistent_with_the_evaluations(golden_tree):
    with golden_tree.engine.begin() as connection:
        connection.execute(text("DELETE FROM evaluations WHERE id = 2"))
    repair(golden_tree.engine)
    assert golden_tree.node(2).evaluation_count == 1
    assert [problem.invariant for problem in check(golden_tree.engine)] == ["evaluations of episode"]


# A path twice is what the unique constraint forbids; a table copied by hand has none.
WITHOUT_CONSTRAINTS = {
    "sqlite": (
        "PRAGMA legacy_alter_table=ON",
        "CREATE TABLE copied AS SELECT * FROM nodes",
        "DROP TABLE nodes",
        "ALTER TABLE copied RENAME TO nodes",
    ),
    "postgresql": ("ALTER TABLE nodes DROP CONSTRAINT uq_nodes_search_id_path",),
}


def test_a_path_that_is_stored_twice(golden_tree):
    corrupt(
        golden_tree.engine,
        *WITHOUT_CONSTRAINTS[golden_tree.engine.dialect.name],
        "INSERT INTO nodes (id, search_id, parent_id, depth, action, label, decisions, path, labels, output_shape, "
        "params, flops, visit_count, evaluation_count, total_accuracy) SELECT 7, search_id, parent_id, depth, "
        "action, label, decisions, path, labels, output_shape, params, flops, 0, 0, 0.0 FROM nodes WHERE id = 5",
    )
    assert found(golden_tree.engine) == [("nodes of a path", 7, None, 1, 2, False)]


NOON = "2026-01-01 12:00:00.000000"


def test_what_sqlite_itself_finds():
    engine = open_engine("sqlite://")
    space = '{"kind": "labels", "format": 1, "labels": ["conv"], "max_layers": 1}'
    corrupt(
        engine,
        "PRAGMA ignore_check_constraints=ON",
        f"INSERT INTO searches VALUES (1, 'first', '{NOON}', 0, '{{\"seed\": 0}}', '{space}', NULL, '{{}}', 'images')",
        "INSERT INTO nodes VALUES (1, 1, NULL, 1, 0, 'conv', '0', 'conv', NULL, NULL, NULL, 1, 1, 1.5, "
        '\'{"layer": "conv"}\', NULL, NULL)',
        "INSERT INTO node_budgets VALUES (1, 4, 1, 1, 1.5, 0.0, 1, 1.5, 9223372036854775807)",
        "INSERT INTO budgets VALUES (1, 4, 0, 0.0)",
        "INSERT INTO noise_factors VALUES (1, 4, 1, 1, NULL)",
        "INSERT INTO episodes VALUES (1, 1, 0, 1, 'sample', 1, 1, 4, NULL, '', NULL, NULL, NULL, '" + NOON + "', NULL)",
        "INSERT INTO evaluations VALUES (1, 1, 1, 1, 4, 1.5, 0)",
        f"INSERT INTO strategy_states VALUES (1, 1, x'', '{NOON}')",
        "PRAGMA ignore_check_constraints=OFF",
    )
    assert [(p.invariant, p.found) for p in check(engine)] == [
        ("the file", "CHECK constraint failed in evaluations"),
        ("table evaluations, row 1, column accuracy", 1.5),
    ]


def test_repair_copies_the_file_before_it_changes_it(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"")
    assert repair(tree.engine) == (0, None)
    for backup in ("tree.backup-unrepaired.db", "tree.backup-unrepaired-2.db"):
        corrupt(tree.engine, "UPDATE nodes SET visit_count = 9 WHERE id = 2")
        done = repair(tree.engine)
        assert done == (1, tmp_path / backup)
        assert done.text == (
            f"1 rows rebuilt from the evaluations and episodes; a copy of the database as it was is {tmp_path / backup}"
        )
        assert tree.node(2).visit_count == 3
        with sqlite3.connect(tmp_path / backup) as copy:
            assert copy.execute("SELECT visit_count FROM nodes WHERE id = 2").fetchall() == [(9,)]


def test_what_cannot_be_mended_is_not_copied_each_time(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"")
    corrupt(tree.engine, "DELETE FROM strategy_states")
    assert repair(tree.engine) == (0, None)
    assert list(tmp_path.glob("*backup*")) == []
    assert ReplayTree.open(tree.engine, "first").node(2).visit_count == 3
