"""Does the tree agree with itself? The sums in `nodes` and `node_budgets` are caches; repair rebuilds them.

Each invariant is one query that returns the rows that break it, whatever the size of the tree. A node's visit_count is
that of the episodes whose paths pass through it, so it is never less than its children's together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, bindparam, select, text, update

from replaytree.tree.calibrations import refresh, wrong_biases
from replaytree.tree.check_rankings import (
    RELATIVE_TOLERANCE,
    SQUARES_TOLERANCE,
    SUMS,
    WrongFactor,
    WrongNoise,
    rebuild_budgets,
    rebuild_factors,
    rebuild_node_budgets,
    wrong_copies,
    wrong_factors,
    wrong_noise,
)
from replaytree.tree.engine import back_up, reading, writing
from replaytree.tree.schema import nodes, searches


@dataclass(frozen=True, slots=True)
class Problem:
    """One invariant that one stored row breaks. `episode` is an episode's number; `repairable`: `repair` mends it."""

    search: str
    invariant: str
    expected: str | int | float | None
    found: str | int | float | None
    node_id: int | None = None
    episode: int | None = None
    repairable: bool = False

    @property
    def text(self) -> str:
        """The problem as a sentence."""
        where = f"search {self.search!r}"
        if self.node_id is not None:
            where += f", node {self.node_id}"
        if self.episode is not None:
            where += f", episode {self.episode}"
        return f"{where}: {self.invariant} is {self.found!r}, expected {self.expected!r}"


class Repaired(NamedTuple):
    """What a repair did: the rows put right, and the copy made before (None: nothing to do, or no SQLite file)."""

    rows: int
    backup: Path | None

    @property
    def text(self) -> str:
        """As a sentence."""
        copied = f"; a copy of the database as it was is {self.backup}" if self.backup else ""
        return f"{self.rows} rows rebuilt from the evaluations and episodes{copied}"


# Columns: search, node_id, expected_count, found_count, expected_total, found_total.
_NODE_SUMS = """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, COALESCE(e.n, 0) AS expected_count,
       n.evaluation_count AS found_count, COALESCE(e.total, 0.0) AS expected_total, n.total_accuracy AS found_total
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
LEFT JOIN (SELECT node_id, COUNT(*) AS n, SUM(accuracy) AS total FROM evaluations WHERE NOT shared GROUP BY node_id) e
     ON e.node_id = n.id
WHERE n.evaluation_count <> COALESCE(e.n, 0)
   OR ABS(n.total_accuracy - COALESCE(e.total, 0.0)) > :tolerance * COALESCE(e.total, 0.0)
ORDER BY n.id
"""

# As above, and node, epochs, search_id. The first half finds wrong and needless rows, the second the missing ones.
_BUDGET_SUMS = f"""
SELECT COALESCE(s.name, '?') AS search, b.node_id, b.epochs, b.search_id, COALESCE(e.n, 0) AS expected_count,
       b.evaluation_count AS found_count, COALESCE(e.total, 0.0) AS expected_total, b.total_accuracy AS found_total
FROM node_budgets b LEFT JOIN searches s ON s.id = b.search_id
LEFT JOIN ({SUMS} GROUP BY node_id, epochs) e
     ON e.node_id = b.node_id AND e.epochs = b.epochs
WHERE e.n IS NULL OR b.evaluation_count <> e.n OR ABS(b.total_accuracy - e.total) > :tolerance * e.total
UNION ALL
SELECT COALESCE(s.name, '?'), e.node_id, e.epochs, n.search_id, e.n, 0, e.total, 0.0
FROM ({SUMS} GROUP BY node_id, epochs) e
JOIN nodes n ON n.id = e.node_id LEFT JOIN searches s ON s.id = n.search_id
WHERE NOT EXISTS (SELECT 1 FROM node_budgets b WHERE b.node_id = e.node_id AND b.epochs = e.epochs)
ORDER BY 2, 3
"""

# Episodes are counted at their ends and carried up to the root. Parents are older than their children, which also
# ends the recursion where damaged rows form a ring.
_VISITS = """
WITH RECURSIVE
ends AS (SELECT node_id, COUNT(*) AS n FROM episodes GROUP BY node_id),
passing (node_id, parent_id, n) AS (
    SELECT nodes.id, nodes.parent_id, ends.n FROM ends JOIN nodes ON nodes.id = ends.node_id
    UNION ALL
    SELECT nodes.id, nodes.parent_id, passing.n
    FROM passing JOIN nodes ON nodes.id = passing.parent_id AND nodes.id < passing.node_id
)
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id,
       CAST(COALESCE(v.n, 0) AS BIGINT) AS expected, n.visit_count AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
LEFT JOIN (SELECT node_id, SUM(n) AS n FROM passing GROUP BY node_id) v ON v.node_id = n.id
WHERE n.visit_count <> COALESCE(v.n, 0)
ORDER BY n.id
"""

# Invariant -> a query with columns search, node_id, episode, expected, found.
_STRUCTURE = {
    "parent_id": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       CASE WHEN n.depth = 1 THEN 'none' ELSE 'an older node of the search, one layer up' END AS expected,
       n.parent_id AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE (n.depth = 1 AND n.parent_id IS NOT NULL)
   OR (n.depth <> 1 AND (p.id IS NULL OR p.search_id <> n.search_id OR p.id >= n.id OR p.depth <> n.depth - 1))
ORDER BY n.id
""",
    "path": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       COALESCE(p.path || '.', '') || CAST(n.action AS VARCHAR) AS expected, n.path AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE n.path <> COALESCE(p.path || '.', '') || CAST(n.action AS VARCHAR)
ORDER BY n.id
""",
    "nodes of a path": """
SELECT COALESCE(MAX(s.name), '?') AS search, MAX(n.id) AS node_id, NULL AS episode, 1 AS expected, COUNT(*) AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
GROUP BY n.search_id, n.path HAVING COUNT(*) > 1
ORDER BY 2
""",
    "labels": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       COALESCE(p.labels || ' ', '') || n.label AS expected, n.labels AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE n.labels <> COALESCE(p.labels || ' ', '') || n.label
ORDER BY n.id
""",
    "depth": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       1 + LENGTH(n.path) - LENGTH(REPLACE(n.path, '.', '')) AS expected, n.depth AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
WHERE n.depth <> 1 + LENGTH(n.path) - LENGTH(REPLACE(n.path, '.', ''))
ORDER BY n.id
""",
    "search of node": """
SELECT '?' AS search, n.id AS node_id, NULL AS episode, 'a stored search' AS expected, n.search_id AS found
FROM nodes n WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = n.search_id)
ORDER BY n.id
""",
    "node of episode": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, e.number AS episode,
       'a node of the search' AS expected, e.node_id AS found
FROM episodes e LEFT JOIN searches s ON s.id = e.search_id LEFT JOIN nodes n ON n.id = e.node_id
WHERE n.id IS NULL OR n.search_id <> e.search_id
ORDER BY e.id
""",
    "node of sums": """
SELECT COALESCE(s.name, '?') AS search, b.node_id, NULL AS episode,
       'a node of the search' AS expected, b.search_id AS found
FROM node_budgets b LEFT JOIN searches s ON s.id = b.search_id LEFT JOIN nodes n ON n.id = b.node_id
WHERE n.id IS NULL OR n.search_id <> b.search_id
ORDER BY b.node_id
""",
    "evaluation": """
SELECT COALESCE(s.name, '?') AS search, v.node_id, e.number AS episode,
       'a prefix of a trained episode of its search, at its epochs' AS expected, v.id AS found
FROM evaluations v LEFT JOIN searches s ON s.id = v.search_id
LEFT JOIN episodes e ON e.id = v.episode_id
LEFT JOIN nodes n ON n.id = v.node_id
LEFT JOIN nodes ending ON ending.id = e.node_id
WHERE e.id IS NULL OR n.id IS NULL OR NOT e.trained
   OR e.search_id <> v.search_id OR n.search_id <> v.search_id OR e.epochs <> v.epochs
   OR n.path || '.' <> SUBSTR(ending.path || '.', 1, LENGTH(n.path) + 1)
ORDER BY v.id
""",
    "shared evaluation": """
SELECT COALESCE(s.name, '?') AS search, v.node_id, e.number AS episode,
       'one that is not shared, of the same node and epochs' AS expected, v.id AS found
FROM evaluations v LEFT JOIN searches s ON s.id = v.search_id LEFT JOIN episodes e ON e.id = v.episode_id
WHERE v.shared AND NOT EXISTS (SELECT 1 FROM evaluations w WHERE w.node_id = v.node_id AND w.epochs = v.epochs
                               AND w.search_id = v.search_id AND NOT w.shared)
ORDER BY v.id
""",
    "evaluations of episode": """
SELECT COALESCE(s.name, '?') AS search, e.node_id, e.number AS episode,
       n.depth AS expected, COALESCE(v.n, 0) AS found
FROM episodes e JOIN nodes n ON n.id = e.node_id LEFT JOIN searches s ON s.id = e.search_id
LEFT JOIN (SELECT episode_id, COUNT(*) AS n FROM evaluations GROUP BY episode_id) v ON v.episode_id = e.id
WHERE e.trained AND e.failure IS NULL AND COALESCE(v.n, 0) <> n.depth
ORDER BY e.id
""",
    "separate evaluation": """
SELECT COALESCE(s.name, '?') AS search, a.node_id, e.number AS episode,
       'a prefix that its episode measured, in its search' AS expected, a.id AS found
FROM separate_evaluations a LEFT JOIN searches s ON s.id = a.search_id LEFT JOIN episodes e ON e.id = a.episode_id
WHERE NOT EXISTS (SELECT 1 FROM evaluations v WHERE v.episode_id = a.episode_id AND v.node_id = a.node_id
                  AND v.search_id = a.search_id)
ORDER BY a.id
""",
    "first episode number": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, 0 AS expected, MIN(e.number) AS found
FROM episodes e JOIN searches s ON s.id = e.search_id GROUP BY s.name HAVING MIN(e.number) <> 0
ORDER BY s.name
""",
    "last episode number": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, COUNT(*) - 1 AS expected, MAX(e.number) AS found
FROM episodes e JOIN searches s ON s.id = e.search_id GROUP BY s.name HAVING MAX(e.number) <> COUNT(*) - 1
ORDER BY s.name
""",
    "episodes of the strategy's state": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, COALESCE(e.n, 0) AS expected, t.episode_count AS found
FROM searches s LEFT JOIN strategy_states t ON t.search_id = s.id
LEFT JOIN (SELECT search_id, COUNT(*) AS n FROM episodes GROUP BY search_id) e ON e.search_id = s.id
WHERE COALESCE(t.episode_count, 0) <> COALESCE(e.n, 0)
ORDER BY s.id
""",
    "search of strategy state": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, t.search_id AS found
FROM strategy_states t WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = t.search_id)
ORDER BY t.search_id
""",
    "search of lease": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, l.search_id AS found
FROM leases l WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = l.search_id)
ORDER BY l.search_id
""",
    "search of model": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, m.search_id AS found
FROM models m WHERE m.search_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = m.search_id)
ORDER BY m.id
""",
    "node of model": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode, 'a node of the search' AS expected,
       m.node_id AS found
FROM models m LEFT JOIN searches s ON s.id = m.search_id LEFT JOIN nodes n ON n.id = m.node_id
WHERE m.node_id IS NOT NULL AND (n.id IS NULL OR n.search_id <> m.search_id)
ORDER BY m.id
""",
}


def check(engine: Engine) -> list[Problem]:
    """Everything in the database that contradicts something else in it; empty for a sound one.

    SQLite's own check comes first: pages, indexes and constraints.
    """
    with reading(engine) as connection:
        damage = connection.exec_driver_sql("PRAGMA integrity_check").scalars() if _is_sqlite(connection) else ()
        return [
            *(Problem("?", "the file", "sound", line) for line in damage if line != "ok"),
            *find_problems(connection),
        ]


def find_problems(connection: Connection, *, search: str | None = None) -> list[Problem]:
    """As `check`, as one transaction sees it; of one search, or of all."""
    problems = [
        *_sum_problems(_node_sums(connection), suffix=""),
        *_sum_problems(_budget_sums(connection), suffix=" at a budget"),
        *_copy_problems(connection),
        *_noise_problems(connection),
        *(
            Problem(row.search, "visit_count", row.expected, row.found, node_id=row.node_id, repairable=True)
            for row in _visits(connection)
        ),
    ]
    for invariant, query in _STRUCTURE.items():
        problems += [
            Problem(row.search, invariant, row.expected, row.found, node_id=row.node_id, episode=row.episode)
            for row in connection.execute(text(query))
        ]
    for search_id, name in connection.execute(select(searches.c.id, searches.c.name)).all():
        problems += [
            Problem(name, f"calibration at depth {depth}, {epochs} epochs", expected, found, repairable=True)
            for (depth, epochs), expected, found in wrong_biases(connection, search_id)
        ]
    return [problem for problem in problems if search in (None, problem.search)]


def repair(engine: Engine) -> Repaired:
    """Rebuild the sums and visit counts that are wrong, in one transaction, after copying a SQLite file beside itself.

    What is append-only (episodes, evaluations, the shape of the tree) is never changed.
    """
    if not any(problem.repairable for problem in check(engine)):
        return Repaired(0, None)
    backup = back_up(engine, "unrepaired")
    with writing(engine) as connection:
        sums, budgets, visits = _node_sums(connection), _budget_sums(connection), _visits(connection)
        if sums:
            connection.execute(
                update(nodes)
                .where(nodes.c.id == bindparam("node"))
                .values(evaluation_count=bindparam("count"), total_accuracy=bindparam("total")),
                [{"node": r.node_id, "count": r.expected_count, "total": r.expected_total} for r in sums],
            )
        if visits:
            connection.execute(
                update(nodes).where(nodes.c.id == bindparam("node")).values(visit_count=bindparam("visits")),
                [{"node": r.node_id, "visits": r.expected} for r in visits],
            )
        copies = wrong_copies(connection)
        rows = {(row.node_id, row.epochs) for row in (*budgets, *copies)}
        rebuild_node_budgets(connection, sorted(rows))
        noise = list(wrong_noise(connection))
        rebuild_budgets(connection, noise)
        factors = list(wrong_factors(connection))
        rebuild_factors(connection, factors)
        calibrated = 0
        for search_id in connection.scalars(select(searches.c.id)).all():
            if wrong := wrong_biases(connection, search_id):
                refresh(connection, search_id)
                calibrated += len(wrong)
    return Repaired(len(sums) + len(visits) + len(rows) + len(noise) + len(factors) + calibrated, backup)


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _node_sums(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(text(_NODE_SUMS), {"tolerance": RELATIVE_TOLERANCE}))


def _budget_sums(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(text(_BUDGET_SUMS), {"tolerance": RELATIVE_TOLERANCE}))


def _visits(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(text(_VISITS)))


def _sum_problems(rows: list[Row[Any]], *, suffix: str) -> list[Problem]:
    problems = []
    for row in rows:
        pairs = {
            "evaluation_count": (row.expected_count, row.found_count),
            "total_accuracy": (row.expected_total, row.found_total),
        }
        problems += [
            Problem(row.search, name + suffix, expected, found, node_id=row.node_id, repairable=True)
            for name, (expected, found) in pairs.items()
            if abs(expected - found) > RELATIVE_TOLERANCE * expected
        ]
    return problems


def _copy_problems(connection: Connection) -> list[Problem]:
    problems = []
    for row in wrong_copies(connection):
        for name in ("depth", "params_rank", "average_accuracy", "squared_deviations"):
            expected, found = getattr(row, f"expected_{name}"), getattr(row, f"found_{name}")
            if abs(expected - found) > RELATIVE_TOLERANCE * abs(expected) + SQUARES_TOLERANCE:
                problems.append(
                    Problem(row.search, f"{name} at a budget", expected, found, node_id=row.node_id, repairable=True)
                )
    return problems


def _noise_problems(connection: Connection) -> list[Problem]:
    rows: list[tuple[str, WrongNoise | WrongFactor]] = [
        *((f"noise at {row.epochs} epochs", row) for row in wrong_noise(connection)),
        *(
            (f"noise factor of {row.evaluation_count} evaluations at {row.epochs} epochs", row)
            for row in wrong_factors(connection)
        ),
    ]
    return [
        Problem(row.search, what, row.expected and row.expected.text, row.found and row.found.text, repairable=True)
        for what, row in rows
    ]
