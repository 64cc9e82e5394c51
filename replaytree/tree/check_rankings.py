"""Check that the rankings follow the measurements. They read three tables that are caches: node_budgets, budgets and
noise_factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text

from replaytree import metric
from replaytree.tree.noise import noise_of
from replaytree.tree.ranking import noise_factor
from replaytree.tree.schema import PARAMS_UNKNOWN, budgets, node_budgets, noise_factors, searches

RELATIVE_TOLERANCE = 1e-9
# If all trainings of a prefix agree, the squares are rounding errors; relative to the least error they are larger.
SQUARES_TOLERANCE = 1e-12
NOISE_TOLERANCE = 1e-8

# In SQLite every text is greater than every number, whatever the type of the column.
TEXT_IS_MORE = "1e308"


def sums_by(columns: str, *, where: str = "TRUE") -> str:
    """Count and sum, by columns, of all that was measured: by trainings, and once more at the end of runs."""
    measured = " UNION ALL ".join(
        f"SELECT search_id, node_id, epochs, accuracy FROM {table} WHERE {where}"
        for table, where in (("evaluations", f"NOT shared AND {where}"), ("rescores", where))
    )
    return f"SELECT {columns}, COUNT(*) AS n, SUM(accuracy) AS total FROM ({measured}) AS measured GROUP BY {columns}"


SUMS = sums_by("node_id, epochs")
# Two queries, each of which an index answers: a union of the tables would be read anew for every node.
_SQUARES = " + ".join(
    f"""COALESCE((SELECT SUM((v.accuracy - e.total / e.n) * (v.accuracy - e.total / e.n))
                  FROM {table} v WHERE v.node_id = e.node_id AND v.epochs = e.epochs{own}), 0.0)"""
    for table, own in (("evaluations", " AND NOT v.shared"), ("rescores", ""))
)

_COPIES = f"""
SELECT * FROM (
    SELECT COALESCE(s.name, '?') AS search, b.node_id, b.epochs,
           n.depth AS expected_depth, b.depth AS found_depth,
           COALESCE(n.params, :unknown) AS expected_params_rank, b.params_rank AS found_params_rank,
           e.total / e.n AS expected_average_accuracy, b.average_accuracy AS found_average_accuracy,
           {_SQUARES} AS expected_squared_deviations, b.squared_deviations AS found_squared_deviations, e.n
    FROM node_budgets b JOIN nodes n ON n.id = b.node_id
    JOIN ({SUMS}) e ON e.node_id = b.node_id AND e.epochs = b.epochs
    LEFT JOIN searches s ON s.id = b.search_id
) AS copies
WHERE found_depth <> expected_depth OR found_params_rank <> expected_params_rank
   OR ABS(found_average_accuracy - expected_average_accuracy) > :tolerance
   OR ABS(found_squared_deviations - expected_squared_deviations)
      > :tolerance * expected_squared_deviations + :squares_tolerance * n
   OR found_average_accuracy > {TEXT_IS_MORE} OR found_squared_deviations > {TEXT_IS_MORE}
ORDER BY node_id, epochs
"""

_REBUILD = text(f"""
INSERT INTO node_budgets (node_id, epochs, search_id, evaluation_count, total_accuracy, squared_deviations, depth,
                          average_accuracy, params_rank)
SELECT n.id, e.epochs, n.search_id, e.n, e.total, {_SQUARES}, n.depth, e.total / e.n, COALESCE(n.params, :unknown)
FROM nodes n
JOIN ({sums_by("node_id, epochs", where="node_id = :node AND epochs = :budget")}) e ON e.node_id = n.id
""")

_OWNED = sums_by("search_id, node_id, epochs")
_NOISE = text(f"""
SELECT search_id, epochs, CAST(SUM(n) - COUNT(*) AS BIGINT) AS repeat_count,
       SUM(squares / (unit * unit)) AS relative_squares
FROM (SELECT search_id, epochs, n, squares, CASE WHEN raw < least THEN least ELSE raw END AS unit
      FROM (SELECT e.search_id, e.epochs, e.n, {_SQUARES} AS squares,
                   CASE WHEN s.task = 'text' THEN e.total / e.n ELSE 1.0 - e.total / e.n END AS raw,
                   CASE WHEN s.task = 'text' THEN :least_probability ELSE :least_error END AS least
            FROM ({_OWNED}) e LEFT JOIN searches s ON s.id = e.search_id) AS units) AS sums
GROUP BY search_id, epochs
""")

# metric.unit, in SQL.
_LEAST = {"least_error": metric.LEAST_ERROR, "least_probability": metric.LEAST_PROBABILITY}

_COUNTS = text(f"""
SELECT search_id, epochs, n, COUNT(*) AS node_count FROM ({_OWNED}) AS sums
GROUP BY search_id, epochs, n
""")

_NAMES = select(searches.c.id, searches.c.name)


class Noise(NamedTuple):
    """A row of `budgets`."""

    repeat_count: int
    relative_squares: float

    @property
    def text(self) -> str:
        """For people."""
        squares: object = self.relative_squares
        shown = f"{squares:.9g}" if isinstance(squares, int | float) else repr(squares)
        return f"{shown} of {self.repeat_count} repeats"


class WrongNoise(NamedTuple):
    """A row of `budgets` that contradicts the evaluations; None on a side without a row."""

    search: str
    search_id: int
    epochs: int
    expected: Noise | None
    found: Noise | None


def wrong_copies(connection: Connection) -> Sequence[Row[Any]]:
    """Rows of `node_budgets` whose depth, params_rank, average_accuracy or squared_deviations are wrong."""
    tolerances = {"tolerance": RELATIVE_TOLERANCE, "squares_tolerance": SQUARES_TOLERANCE, "unknown": PARAMS_UNKNOWN}
    return connection.execute(text(_COPIES), tolerances).all()


def wrong_noise(connection: Connection) -> Iterator[WrongNoise]:
    """Rows of `budgets` that are wrong, missing or superfluous."""
    names = {row.id: row.name for row in connection.execute(_NAMES)}
    expected = _noise_by_budget(connection.execute(_NOISE, _LEAST))
    found = _noise_by_budget(connection.execute(budgets.select()))
    for search_id, epochs in sorted(expected.keys() | found.keys()):
        right, there = expected.get((search_id, epochs)), found.get((search_id, epochs))
        if right is None or there is None or _differ(right, there):
            yield WrongNoise(names.get(search_id, "?"), search_id, epochs, right, there)


def rebuild_node_budgets(connection: Connection, keys: Sequence[tuple[int, int]]) -> None:
    """Rebuild the rows of `node_budgets` from the evaluations; keys are (node_id, epochs)."""
    if not keys:
        return
    values = [{"node": node_id, "budget": epochs, "unknown": PARAMS_UNKNOWN} for node_id, epochs in keys]
    wrong = (node_budgets.c.node_id == bindparam("node"), node_budgets.c.epochs == bindparam("budget"))
    connection.execute(delete(node_budgets).where(*wrong), values)
    connection.execute(_REBUILD, values)


def rebuild_budgets(connection: Connection, wrong: Sequence[WrongNoise]) -> None:
    """Rebuild rows of `budgets`."""
    for row in wrong:
        here = (budgets.c.search_id == row.search_id, budgets.c.epochs == row.epochs)
        connection.execute(delete(budgets).where(*here))
        if row.expected is not None and row.search != "?":
            values = {"search_id": row.search_id, "epochs": row.epochs, **row.expected._asdict()}
            connection.execute(insert(budgets), values)


def _noise_by_budget(rows: Iterable[Row[Any]]) -> dict[tuple[int, int], Noise]:
    return {(row.search_id, row.epochs): Noise(row.repeat_count, row.relative_squares) for row in rows}


def _differ(right: Noise, there: Noise) -> bool:
    allowed = RELATIVE_TOLERANCE * right.relative_squares + NOISE_TOLERANCE * max(right.repeat_count, 1)
    return right.repeat_count != there.repeat_count or differ(right.relative_squares, there.relative_squares, allowed)


class Factor(NamedTuple):
    """A row of `noise_factors`."""

    node_count: int
    factor: float | None

    @property
    def text(self) -> str:
        """For people."""
        factor: object = self.factor
        shown = f"{factor:.9g}" if isinstance(factor, int | float) else "none" if factor is None else repr(factor)
        return f"{shown} for {self.node_count} nodes"


class WrongFactor(NamedTuple):
    """A row of `noise_factors` that contradicts the evaluations; None on a side without a row."""

    search: str
    search_id: int
    epochs: int
    evaluation_count: int
    expected: Factor | None
    found: Factor | None


def wrong_factors(connection: Connection, *, noise: Iterable[WrongNoise]) -> Iterator[WrongFactor]:
    """Rows of `noise_factors` that are wrong, missing or superfluous; `noise` are the wrong rows of `budgets`."""
    names = {row.id: row.name for row in connection.execute(_NAMES)}
    # If the sums of the noise are right, the factors follow from them up to rounding.
    sums = _noise_by_budget(connection.execute(budgets.select()))
    sums |= {(row.search_id, row.epochs): row.expected for row in noise if row.expected is not None}
    noises = {key: noise_of(*own) for key, own in sums.items()}
    expected = {
        (search_id, epochs, count): Factor(nodes, None if own is None else noise_factor(own, count))
        for search_id, epochs, count, nodes in connection.execute(_COUNTS)
        for own in [noises[search_id, epochs]]
    }
    found = {
        (row.search_id, row.epochs, row.evaluation_count): Factor(row.node_count, row.factor)
        for row in connection.execute(noise_factors.select())
    }
    for place in sorted(expected.keys() | found.keys()):
        right, there = expected.get(place), found.get(place)
        if right is None or there is None or _factors_differ(right, there):
            yield WrongFactor(names.get(place[0], "?"), *place, right, there)


def rebuild_factors(connection: Connection, wrong: Sequence[WrongFactor]) -> None:
    """Rebuild rows of `noise_factors`."""
    for row in wrong:
        place = {"search_id": row.search_id, "epochs": row.epochs, "evaluation_count": row.evaluation_count}
        connection.execute(delete(noise_factors).where(*(noise_factors.c[name] == n for name, n in place.items())))
        if row.expected is not None and row.search != "?":
            connection.execute(insert(noise_factors), place | row.expected._asdict())


def _factors_differ(right: Factor, there: Factor) -> bool:
    if right.node_count != there.node_count or right.factor is None or there.factor is None:
        return right != there
    return differ(right.factor, there.factor, RELATIVE_TOLERANCE * right.factor)


def differ(expected: float, found: float, allowed: float) -> bool:
    """Whether two numbers differ by more than allowed; anything but a number differs from every number."""
    return not (isinstance(found, int | float) and abs(expected - found) <= allowed)
