"""Read the nodes of a search: the best, single ones, or all. Results are frozen records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, SupportsIndex, Unpack

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, bindparam, exists, func, select

from replaytree.config.limits import LIMITS, CostLimits
from replaytree.errors import ConfigError, NodeNotFound, StorageError
from replaytree.metric import ACCURACY, METRICS, Metric
from replaytree.records import BudgetSums, NodeStats, Path
from replaytree.space.costs import COSTS
from replaytree.tree.best import best_ids
from replaytree.tree.engine import reading
from replaytree.tree.noise import noises, training_noise
from replaytree.tree.ranking import Uncertainty, rank, training_bound
from replaytree.tree.records import Leader, Node, Priced, path_from_text, path_text, shape_from_text
from replaytree.tree.schema import IN_AT_ONCE, node_budgets, nodes, rescores, searches
from replaytree.tree.storage_errors import advice
from replaytree.tree.stored_json import read_data

_COSTS = tuple(nodes.c[name] for name in COSTS)
_NODE_STATS = (
    select(
        nodes.c.id,
        nodes.c.path,
        nodes.c.visit_count,
        node_budgets.c.epochs,
        node_budgets.c.evaluation_count,
        node_budgets.c.total_accuracy,
    )
    .select_from(nodes)
    .outerjoin(
        node_budgets,
        and_(
            node_budgets.c.node_id == nodes.c.id,
            ~exists().where(rescores.c.node_id == nodes.c.id, rescores.c.epochs == node_budgets.c.epochs),
        ),
    )
    .where(nodes.c.search_id == bindparam("search"))
    .order_by(nodes.c.id, node_budgets.c.epochs)
)
_ABOUT = select(
    select(func.max(node_budgets.c.epochs))
    .where(node_budgets.c.search_id == bindparam("search"))
    .scalar_subquery()
    .label("epochs"),
    searches.c.data_json,
    searches.c.task,
).where(searches.c.id == bindparam("search"))


def node_stats(engine: Engine, search_id: int) -> list[NodeStats]:
    """The nodes of a search with their sums per budget, ordered by id; one query.

    What leaders were given at the end of a run is left out: a search that goes on after it is to choose as one that did
    not stop there.
    """
    stats = []
    with reading(engine) as connection:
        for _, group in groupby(connection.execute(_NODE_STATS, {"search": search_id}), key=itemgetter(0)):
            rows = list(group)
            budgets = tuple(BudgetSums(*row[3:]) for row in rows if row[3] is not None)
            stats.append(NodeStats(path_from_text(rows[0][1]), rows[0][2], budgets))
    return stats


def best(
    engine: Engine,
    search_id: int,
    *,
    k: int,
    max_depth: int | None = None,
    epochs: int | None = None,
    **limits: Unpack[CostLimits],
) -> list[Node]:
    """The k prefixes of the best lower bound at one budget: `epochs`, or the largest that the search has used.

    See ranking.py. Ties go to the better average, to fewer parameters, then to the older node.
    A limit on depth or cost leaves out nodes whose cost is unknown.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; it must be a whole number of at least 1")
    with reading(engine) as connection:
        return best_of(connection, search_id, k=k, max_depth=max_depth, epochs=epochs, **limits)


def best_of(
    connection: Connection,
    search_id: int,
    *,
    k: int,
    max_depth: int | None = None,
    epochs: int | None = None,
    **limits: Unpack[CostLimits],
) -> list[Node]:
    """Like `best`, within a transaction."""
    largest, images, metric = _about(connection, search_id)
    epochs = largest if epochs is None else epochs
    if epochs is None:
        return []
    noise = training_noise(connection, search_id, epochs=epochs)
    node_ids = best_ids(
        connection,
        search_id,
        epochs=epochs,
        k=k,
        noise=noise,
        metric=metric,
        max_depth=max_depth,
        **limits,
    )
    return _nodes_of(connection, node_ids, epochs, Uncertainty(noise, images, metric))


def priced(
    engine: Engine,
    search_id: int,
    *,
    max_depth: int | None = None,
    epochs: int | None = None,
    **limits: Unpack[CostLimits],
) -> list[Priced]:
    """All prefixes that `best` ranks, of whatever bound, in no order: how each ranks, and what it costs."""
    query = (
        select(nodes.c.id, node_budgets.c.average_accuracy, node_budgets.c.evaluation_count, *_COSTS)
        .join(node_budgets, node_budgets.c.node_id == nodes.c.id)
        .where(nodes.c.search_id == search_id, node_budgets.c.evaluation_count > 0)
        .where(*(nodes.c[LIMITS[name].cost] <= limit for name, limit in limits.items() if limit is not None))
    )
    if max_depth is not None:
        query = query.where(nodes.c.depth <= max_depth)
    with reading(engine) as connection:
        largest, _, metric = _about(connection, search_id)
        epochs = largest if epochs is None else epochs
        if epochs is None:
            return []
        noise = training_noise(connection, search_id, epochs=epochs)
        return [
            Priced(node_id, training_bound(average, count, noise=noise, metric=metric), tuple(costs))
            for node_id, average, count, *costs in connection.execute(query.where(node_budgets.c.epochs == epochs))
        ]


def ranked_nodes(engine: Engine, search_id: int, node_ids: Sequence[int], *, epochs: int | None = None) -> list[Node]:
    """The nodes of these ids that were measured at one budget, best first."""
    with reading(engine) as connection:
        largest, images, metric = _about(connection, search_id)
        epochs = largest if epochs is None else epochs
        if epochs is None:
            return []
        known = Uncertainty(training_noise(connection, search_id, epochs=epochs), images, metric)
        return sorted(_nodes_of(connection, node_ids, epochs, known), key=rank)


def _nodes_of(connection: Connection, node_ids: Sequence[int], epochs: int, known: Uncertainty) -> list[Node]:
    """The nodes of these ids at one budget, in their order."""
    found = {
        row.id: _node(row, known)
        for start in range(0, len(node_ids), IN_AT_ONCE)
        for row in connection.execute(
            _NODES_AT_BUDGET, {"epochs": epochs, "node_ids": node_ids[start : start + IN_AT_ONCE]}
        )
    }
    return [found[node_id] for node_id in node_ids]


def comparable_count(engine: Engine, search_id: int) -> int:
    """How many prefixes were measured at the largest budget of a search: those that `best` ranks."""
    largest = select(func.max(node_budgets.c.epochs)).where(node_budgets.c.search_id == search_id).scalar_subquery()
    query = select(func.count()).where(node_budgets.c.search_id == search_id, node_budgets.c.epochs == largest)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one()


def leader(engine: Engine, search_id: int) -> Leader | None:
    """What `best` ranks first; None before a training."""
    with reading(engine) as connection:
        first = best_of(connection, search_id, k=1)
    if not first:
        return None
    accuracy, epochs = first[0].average_accuracy, first[0].epochs
    return None if accuracy is None or epochs is None else Leader(accuracy, epochs)


def uncertainties(engine: Engine, search_id: int) -> dict[int, Uncertainty]:
    """The sources of error of accuracies, for every budget that the search has used."""
    with reading(engine) as connection:
        return _uncertainties(connection, search_id)


def _uncertainties(connection: Connection, search_id: int) -> dict[int, Uncertainty]:
    _, images, metric = _about(connection, search_id)
    return {epochs: Uncertainty(noise, images, metric) for epochs, noise in noises(connection, search_id).items()}


def _about(connection: Connection, search_id: int) -> tuple[int | None, int | None, Metric]:
    """The largest budget that the search has used, the number of its validation images or words, and its metric.

    None where they are unknown.
    """
    row = connection.execute(_ABOUT, {"search": search_id}).one_or_none()
    return (None, None, ACCURACY) if row is None else (row.epochs, validation_images(row.data_json), METRICS[row.task])


def validation_images(data_json: str | None) -> int | None:
    """How many images or words a search's accuracies were measured on, from its data's fingerprint; None if unknown."""
    if data_json is None:
        return None
    try:
        return read_data(data_json)["val_count"] or None
    except ValueError as error:
        raise StorageError(
            f"the fingerprint of the images cannot be used ({error}); `replaytree db check` says where"
        ) from error


def find_node(engine: Engine, search_id: int, node: SupportsIndex | Path, *, search: str) -> Node:
    """One node, by its id or its path; NodeNotFound if the search has no such node."""
    if isinstance(node, SupportsIndex):
        return _one_node(engine, search_id, nodes.c.id == int(node), what=f"{node}", search=search)
    path = tuple(node)
    return _one_node(engine, search_id, nodes.c.path == path_text(path), what=f"at path {path}", search=search)


def find_node_by_text(engine: Engine, search_id: int, text: str, *, search: str) -> Node:
    """One node from text: digits are its id, digits and dots its path, anything else its labels."""
    if text.isdecimal():
        wanted = nodes.c.id == int(text)
    elif text.replace(".", "").isdecimal():
        wanted = nodes.c.path == text
    else:
        wanted = nodes.c.labels == " ".join(text.split())
    return _one_node(engine, search_id, wanted, what=repr(text), search=search)


def _one_node(engine: Engine, search_id: int, wanted: ColumnElement[bool], *, what: str, search: str) -> Node:
    # Two layers of a space may share a label; the oldest node with these labels is taken.
    found = _nodes(engine, search_id, _at_largest_budget(search_id).where(wanted).order_by(nodes.c.id).limit(1))
    if not found:
        where = advice(engine.url, "best", search)
        raise NodeNotFound(f"search {search!r} has no node {what}; {where} shows nodes and their ids")
    return found[0]


def child_nodes(engine: Engine, search_id: int, parent_id: int | None) -> list[Node]:
    """The children of a node, or of the root (None), ordered by id."""
    query = _at_largest_budget(search_id).where(nodes.c.parent_id == parent_id)
    return _nodes(engine, search_id, query.order_by(nodes.c.id))


def all_nodes(engine: Engine, search_id: int) -> list[Node]:
    """All nodes of a search, ordered by id."""
    return _nodes(engine, search_id, _at_largest_budget(search_id).order_by(nodes.c.id))


def _select_nodes() -> Select[Any]:
    return select(
        nodes,
        searches.c.name.label("search"),
        node_budgets.c.epochs,
        node_budgets.c.evaluation_count.label("budget_evaluation_count"),
        node_budgets.c.total_accuracy.label("budget_total_accuracy"),
    ).join(searches, searches.c.id == nodes.c.search_id)


_NODES_AT_BUDGET = (
    _select_nodes()
    .join(node_budgets, node_budgets.c.node_id == nodes.c.id)
    .where(nodes.c.id.in_(bindparam("node_ids", expanding=True)), node_budgets.c.epochs == bindparam("epochs"))
)


def _at_largest_budget(search_id: int) -> Select[Any]:
    own = node_budgets.alias()
    largest = select(func.max(own.c.epochs)).where(own.c.node_id == nodes.c.id).scalar_subquery()
    return (
        _select_nodes()
        .outerjoin(node_budgets, and_(node_budgets.c.node_id == nodes.c.id, node_budgets.c.epochs == largest))
        .where(nodes.c.search_id == search_id)
    )


def _nodes(engine: Engine, search_id: int, query: Select[Any]) -> list[Node]:
    with reading(engine) as connection:
        rows = connection.execute(query).all()
        known = _uncertainties(connection, search_id)
    return [_node(row, known.get(row.epochs, Uncertainty())) for row in rows]


def _node(row: Row[Any], known: Uncertainty) -> Node:
    """A node from a row; `known` are the sources of error at the row's budget."""
    count = row.budget_evaluation_count or 0
    average = row.budget_total_accuracy / count if count else None
    return Node(
        node_id=row.id,
        search=row.search,
        path=path_from_text(row.path),
        labels=tuple(row.labels.split(" ")),
        depth=row.depth,
        action=row.action,
        label=row.label,
        output_shape=shape_from_text(row.output_shape),
        params=row.params,
        flops=row.flops,
        ram_bytes=row.ram_bytes,
        flash_bytes=row.flash_bytes,
        epochs=row.epochs,
        average_accuracy=average,
        budget_evaluation_count=count,
        evaluation_count=row.evaluation_count,
        visit_count=row.visit_count,
        training_bound=None if average is None else known.training_bound(average, count),
        lower_bound=None if average is None else known.lower_bound(average, count),
    )
