"""Check that the tree is consistent. The sums in `nodes` and `node_budgets` are caches; repair rebuilds them.

Each invariant is one query for the rows that violate it, whatever the size of the tree. A node's visit_count is the
number of episodes whose paths pass through it, so it is never less than the sum over its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, bindparam, text, update
from sqlalchemy.exc import SQLAlchemyError

from replaytree.errors import CorruptTree, ReplayTreeError
from replaytree.tree.check_rankings import (
    RELATIVE_TOLERANCE,
    SQUARES_TOLERANCE,
    SUMS,
    TEXT_IS_MORE,
    WrongFactor,
    WrongNoise,
    differ,
    rebuild_budgets,
    rebuild_factors,
    rebuild_node_budgets,
    sums_by,
    wrong_copies,
    wrong_factors,
    wrong_noise,
)
from replaytree.tree.check_structure import STRUCTURE
from replaytree.tree.check_values import space_problems, value_problems
from replaytree.tree.columns import as_stored
from replaytree.tree.engine import back_up, reading, writing
from replaytree.tree.evaluator_states import state_problems
from replaytree.tree.problem import Problem
from replaytree.tree.schema import nodes
from replaytree.tree.storage_errors import advice, shown

# The errors that values of the wrong type cause.
_BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, SQLAlchemyError)


class Repaired(NamedTuple):
    """The result of a repair: the corrected rows, and the copy made before (None: nothing to do, or no SQLite file)."""

    rows: int
    backup: Path | None

    @property
    def text(self) -> str:
        """As a sentence."""
        copied = f"; a copy of the database as it was is {self.backup}" if self.backup else ""
        return f"{self.rows} rows rebuilt from the evaluations and episodes{copied}"


# Columns: search, node_id, expected_count, found_count, expected_total, found_total.
_NODE_SUMS = f"""
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, COALESCE(e.n, 0) AS expected_count,
       n.evaluation_count AS found_count, COALESCE(e.total, 0.0) AS expected_total, n.total_accuracy AS found_total
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
LEFT JOIN ({sums_by("node_id")}) e ON e.node_id = n.id
WHERE n.evaluation_count <> COALESCE(e.n, 0)
   OR ABS(n.total_accuracy - COALESCE(e.total, 0.0)) > :tolerance * COALESCE(e.total, 0.0)
   OR n.total_accuracy > {TEXT_IS_MORE}
ORDER BY n.id
"""

# As above, and node, epochs, search_id. The first half finds wrong and superfluous rows, the second the missing ones.
_BUDGET_SUMS = f"""
SELECT COALESCE(s.name, '?') AS search, b.node_id, b.epochs, b.search_id, COALESCE(e.n, 0) AS expected_count,
       b.evaluation_count AS found_count, COALESCE(e.total, 0.0) AS expected_total, b.total_accuracy AS found_total
FROM node_budgets b LEFT JOIN searches s ON s.id = b.search_id
LEFT JOIN ({SUMS}) e
     ON e.node_id = b.node_id AND e.epochs = b.epochs
WHERE e.n IS NULL OR b.evaluation_count <> e.n OR ABS(b.total_accuracy - e.total) > :tolerance * e.total
   OR b.total_accuracy > {TEXT_IS_MORE}
UNION ALL
SELECT COALESCE(s.name, '?'), e.node_id, e.epochs, n.search_id, e.n, 0, e.total, 0.0
FROM ({SUMS}) e
JOIN nodes n ON n.id = e.node_id LEFT JOIN searches s ON s.id = n.search_id
WHERE NOT EXISTS (SELECT 1 FROM node_budgets b WHERE b.node_id = e.node_id AND b.epochs = e.epochs)
ORDER BY 2, 3
"""

# Episodes are counted at their last nodes and carried up to the root. Parents are older than their children, which also
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


def check(engine: Engine) -> list[Problem]:
    """Everything in the database that contradicts something else in it; empty for a sound database.

    SQLite's own check comes first: pages, indexes and constraints. The files of evaluators' states come last.
    """
    with reading(engine) as connection:
        damage = connection.exec_driver_sql("PRAGMA integrity_check").scalars() if _is_sqlite(connection) else ()
        found = [
            *(Problem("?", "the file", "sound", line) for line in damage if line != "ok"),
            *find_problems(connection),
        ]
        if not any(problem.invariant.startswith("table evaluator_states,") for problem in found):
            found += state_problems(connection, engine)
        return found


def find_problems(connection: Connection, *, search: str | None = None) -> list[Problem]:
    """Like `check`, within one transaction; for one search, or for all."""
    with as_stored(connection):
        problems = list(value_problems(connection))
        # Sums over invalid accuracies or depths mean nothing.
        summed = tuple(f"table {name}," for name in ("nodes", "evaluations", "rescores"))
        damaged = any(problem.invariant.startswith(summed) and not problem.repairable for problem in problems)
        caches = () if damaged else (_cache_problems,)
        for look in (space_problems, *caches, _structure_problems):
            try:
                problems += look(connection)
            except _BROKEN:
                # An invalid value breaks the arithmetic of other checks; it is reported already.
                if not problems:
                    raise
    return [problem for problem in problems if search in (None, problem.search)]


def blamed(engines: Iterable[Engine]) -> CorruptTree | None:
    """An invalid stored value in one of the open databases, as the likely cause of an unexplained error."""
    for engine in engines:
        try:
            with reading(engine) as connection, as_stored(connection):
                for problem in chain(value_problems(connection), space_problems(connection)):
                    return CorruptTree(
                        f"{shown(engine.url)}, {problem.text}; {advice(engine.url, 'db', 'check')} shows all that is "
                        f"wrong there"
                    )
        except (ReplayTreeError, *_BROKEN):
            continue
    return None


def _cache_problems(connection: Connection) -> Iterator[Problem]:
    yield from _sum_problems(_node_sums(connection), suffix="")
    yield from _sum_problems(_budget_sums(connection), suffix=" at a budget")
    yield from _copy_problems(connection)
    yield from _noise_problems(connection)
    for row in _visits(connection):
        yield Problem(row.search, "visit_count", row.expected, row.found, node_id=row.node_id, repairable=True)


def _structure_problems(connection: Connection) -> Iterator[Problem]:
    for invariant, query in STRUCTURE.items():
        for row in connection.execute(text(query)):
            yield Problem(row.search, invariant, row.expected, row.found, node_id=row.node_id, episode=row.episode)


def repair(engine: Engine) -> Repaired:
    """Rebuild the sums and visit counts that are wrong, in one transaction, after copying a SQLite file beside itself.

    Append-only data (episodes, evaluations, rescores, the shape of the tree) is never changed. Raises CorruptTree if it
    holds values from which nothing can be rebuilt.
    """
    if not any(problem.repairable for problem in check(engine)):
        return Repaired(0, None)
    with reading(engine) as connection, as_stored(connection):
        for problem in value_problems(connection, tables=("nodes", "episodes", "evaluations", "rescores")):
            if not problem.repairable:
                raise CorruptTree(
                    f"{problem.text}; nothing can be rebuilt from that: restore a backup, or import the search "
                    f"from its last export"
                )
    backup = back_up(engine, "unrepaired")
    with writing(engine) as connection, as_stored(connection):
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
        factors = list(wrong_factors(connection, noise=()))
        rebuild_factors(connection, factors)
    return Repaired(len(sums) + len(visits) + len(rows) + len(noise) + len(factors), backup)


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
            if differ(expected, found, RELATIVE_TOLERANCE * expected)
        ]
    return problems


def _copy_problems(connection: Connection) -> list[Problem]:
    problems = []
    for row in wrong_copies(connection):
        for name in ("depth", "params_rank", "average_accuracy", "squared_deviations"):
            expected, found = getattr(row, f"expected_{name}"), getattr(row, f"found_{name}")
            if differ(expected, found, RELATIVE_TOLERANCE * abs(expected) + SQUARES_TOLERANCE):
                problems.append(
                    Problem(row.search, f"{name} at a budget", expected, found, node_id=row.node_id, repairable=True)
                )
    return problems


def _noise_problems(connection: Connection) -> list[Problem]:
    noise = list(wrong_noise(connection))
    rows: list[tuple[str, WrongNoise | WrongFactor]] = [
        *((f"noise at {row.epochs} epochs", row) for row in noise),
        *(
            (f"noise factor of {row.evaluation_count} evaluations at {row.epochs} epochs", row)
            for row in wrong_factors(connection, noise=noise)
        ),
    ]
    return [
        Problem(row.search, what, row.expected and row.expected.text, row.found and row.found.text, repairable=True)
        for what, row in rows
    ]
