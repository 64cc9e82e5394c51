"""Reading the tree: every query that is not an update or a check. All values leave as frozen records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from operator import itemgetter
from typing import Any, SupportsIndex

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, bindparam, func, select

from replaytree.errors import ConfigError, NodeNotFound, SearchNotFound
from replaytree.records import BudgetSums, NodeStats, Path
from replaytree.tree.best import best_ids
from replaytree.tree.calibrations import stored_biases
from replaytree.tree.engine import reading
from replaytree.tree.noise import noises, training_noise
from replaytree.tree.ranking import Uncertainty
from replaytree.tree.records import EpisodeInfo, Node, SearchInfo, path_from_text, path_text, shape_from_text
from replaytree.tree.schema import (
    IN_AT_ONCE,
    calibrations,
    episodes,
    evaluations,
    node_budgets,
    nodes,
    searches,
    strategy_states,
)
from replaytree.tree.storage_errors import advice, shown

# A message names so many searches, the latest.
MOST_NAMES = 20

_NODE_STATS = (
    select(
        nodes.c.id,
        nodes.c.path,
        nodes.c.visit_count,
        node_budgets.c.epochs,
        node_budgets.c.evaluation_count,
        node_budgets.c.total_accuracy,
    )
    .outerjoin(node_budgets, node_budgets.c.node_id == nodes.c.id)
    .where(nodes.c.search_id == bindparam("search"))
    .order_by(nodes.c.id, node_budgets.c.epochs)
)
_BUDGET_AND_IMAGES = select(
    select(func.max(node_budgets.c.epochs))
    .where(node_budgets.c.search_id == bindparam("search"))
    .scalar_subquery()
    .label("epochs"),
    searches.c.data_json,
).where(searches.c.id == bindparam("search"))
_OWN_BIAS = and_(
    calibrations.c.search_id == nodes.c.search_id,
    calibrations.c.epochs == node_budgets.c.epochs,
    calibrations.c.depth == nodes.c.depth,
)


def list_searches(engine: Engine) -> list[SearchInfo]:
    """All searches of a database, in the order in which they were made."""
    with reading(engine) as connection:
        rows = connection.execute(_select_searches().order_by(searches.c.id)).all()
        return [_search_info(connection, row) for row in rows]


def search_names(engine: Engine) -> list[str]:
    """The names of all searches, in the order in which they were made; unlike list_searches, without counting."""
    with reading(engine) as connection:
        return list(connection.scalars(select(searches.c.name).order_by(searches.c.id)))


def search_info(engine: Engine, search_id: int) -> SearchInfo:
    """One search as a whole."""
    with reading(engine) as connection:
        row = connection.execute(_select_searches().where(searches.c.id == search_id)).one_or_none()
        if row is None:
            raise SearchNotFound(f"the search was deleted from {shown(engine.url)}")
        return _search_info(connection, row)


def find_search(engine: Engine, name: str) -> tuple[int, str]:
    """(search_id, space_json) of a search; SearchNotFound lists the names there are."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(searches.c.name, searches.c.id, searches.c.space_json).order_by(searches.c.id)
        ).all()
    for row in rows:
        if row.name == name:
            return row.id, row.space_json
    known = _known(engine, [row.name for row in rows], name)
    raise SearchNotFound(f"no search {name!r} in {shown(engine.url)}; {known}")


def _known(engine: Engine, names: Sequence[str], wanted: str) -> str:
    """What there is instead of a search that is not there: the nearest name first."""
    if not names:
        return f"it holds no search yet; start one with {advice(engine.url, 'run')}"
    near = get_close_matches(wanted, names, n=1)
    asked = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{asked}it has: {', '.join(names[-MOST_NAMES:])}{more}"


def strategy_state(engine: Engine, search_id: int) -> bytes | None:
    """The strategy state stored with the last recorded batch; None where there is none yet."""
    with reading(engine) as connection:
        payload = connection.scalar(select(strategy_states.c.payload).where(strategy_states.c.search_id == search_id))
    if not isinstance(payload, bytes | memoryview | None):
        raise TypeError("the state of a strategy is bytes")
    return bytes(payload) if payload else None


def count_episodes(engine: Engine, search_id: int, *, trained_only: bool = False) -> int:
    """The number of a search's episodes, or of those that were trained."""
    query = select(func.count()).select_from(episodes).where(episodes.c.search_id == search_id)
    if trained_only:
        query = query.where(episodes.c.trained)
    with reading(engine) as connection:
        return connection.scalar(query) or 0


def failed_paths(engine: Engine, search_id: int, beginning: str) -> set[Path]:
    """The paths of a search one of whose trainings failed with a text that begins so."""
    query = (
        select(nodes.c.path)
        .join(episodes, episodes.c.node_id == nodes.c.id)
        .where(episodes.c.search_id == search_id, episodes.c.failure_text.startswith(beginning, autoescape=True))
    )
    with reading(engine) as connection:
        return {path_from_text(text) for text in connection.scalars(query)}


def node_stats(engine: Engine, search_id: int) -> list[NodeStats]:
    """The nodes of a search with their sums per budget, ordered by id; one query."""
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
    max_params: int | None = None,
    max_flops: int | None = None,
    epochs: int | None = None,
) -> list[Node]:
    """The k prefixes of the best lower bound at one budget: `epochs`, or the largest that the search has used.

    See ranking.py. Ties go to the better calibrated average, to fewer parameters, then to the older node.
    A limit on depth or cost leaves out nodes whose cost is unknown.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; it must be a whole number of at least 1")
    limits = {"max_depth": max_depth, "max_params": max_params, "max_flops": max_flops}
    with reading(engine) as connection:
        return _best(connection, search_id, k=k, epochs=epochs, limits=limits)


def _best(
    connection: Connection,
    search_id: int,
    *,
    k: int,
    epochs: int | None = None,
    limits: Mapping[str, int | None] | None = None,
) -> list[Node]:
    largest, images = _budget_and_images(connection, search_id)
    epochs = largest if epochs is None else epochs
    if epochs is None:
        return []
    noise = training_noise(connection, search_id, epochs=epochs)
    biases = stored_biases(connection, search_id)
    node_ids = best_ids(
        connection,
        search_id,
        epochs=epochs,
        k=k,
        noise=noise,
        biases={depth: bias.value for (depth, budget), bias in biases.items() if budget == epochs},
        **(limits or {}),
    )
    found = {
        row.id: _node(row, Uncertainty(noise, images))
        for start in range(0, len(node_ids), IN_AT_ONCE)
        for row in connection.execute(
            _NODES_AT_BUDGET, {"epochs": epochs, "node_ids": node_ids[start : start + IN_AT_ONCE]}
        )
    }
    return [found[node_id] for node_id in node_ids]


def best_accuracy(engine: Engine, search_id: int) -> float | None:
    """The average accuracy of the prefix that `best` ranks first; None before a training."""
    with reading(engine) as connection:
        first = _best(connection, search_id, k=1)
    return first[0].average_accuracy if first else None


def uncertainties(engine: Engine, search_id: int) -> dict[int, Uncertainty]:
    """What blurs the accuracies at every budget that the search has used."""
    with reading(engine) as connection:
        return _uncertainties(connection, search_id)


def _uncertainties(connection: Connection, search_id: int) -> dict[int, Uncertainty]:
    _, images = _budget_and_images(connection, search_id)
    return {epochs: Uncertainty(noise, images) for epochs, noise in noises(connection, search_id).items()}


def _budget_and_images(connection: Connection, search_id: int) -> tuple[int | None, int | None]:
    """The largest budget that the search has used, and the number of its validation images; None where unknown."""
    row = connection.execute(_BUDGET_AND_IMAGES, {"search": search_id}).one_or_none()
    return (None, None) if row is None else (row.epochs, validation_images(row.data_json))


def validation_images(data_json: str | None) -> int | None:
    """How many images a search's accuracies were measured on, by its data's fingerprint; None where it says nothing."""
    count = json.loads(data_json or "{}").get("val_count")
    return count if isinstance(count, int) and count > 0 else None


def find_node(engine: Engine, search_id: int, node: SupportsIndex | Path, *, search: str) -> Node:
    """One node, by its id or its path; NodeNotFound if the search has none such."""
    if isinstance(node, SupportsIndex):
        return _one_node(engine, search_id, nodes.c.id == int(node), what=f"{node}", search=search)
    path = tuple(node)
    return _one_node(engine, search_id, nodes.c.path == path_text(path), what=f"at path {path}", search=search)


def find_node_by_text(engine: Engine, search_id: int, text: str, *, search: str) -> Node:
    """One node by what a person writes: digits are its id, digits and dots its path, all else its labels."""
    if text.isdecimal():
        wanted = nodes.c.id == int(text)
    elif text.replace(".", "").isdecimal():
        wanted = nodes.c.path == text
    else:
        wanted = nodes.c.labels == " ".join(text.split())
    return _one_node(engine, search_id, wanted, what=repr(text), search=search)


def _one_node(engine: Engine, search_id: int, wanted: ColumnElement[bool], *, what: str, search: str) -> Node:
    # Two layers of a space may share a label; the oldest node of those labels is meant.
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


def list_episodes(engine: Engine, search_id: int) -> list[EpisodeInfo]:
    """All episodes of a search, in order."""
    measured = (
        select(evaluations.c.episode_id, evaluations.c.accuracy, evaluations.c.shared)
        .join(episodes, episodes.c.id == evaluations.c.episode_id)
        .where(episodes.c.search_id == search_id)
        .order_by(evaluations.c.episode_id, evaluations.c.id)
    )
    query = (
        select(episodes, nodes.c.path)
        .join(nodes, nodes.c.id == episodes.c.node_id)
        .where(episodes.c.search_id == search_id)
        .order_by(episodes.c.number)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
        # Read second: an episode that another process adds in between must not lack its accuracies.
        accuracies = {
            episode_id: tuple((row.accuracy, bool(row.shared)) for row in group)
            for episode_id, group in groupby(connection.execute(measured), key=itemgetter(0))
        }
    return [_episode_info(row, accuracies.get(row.id, ())) for row in rows]


def _select_nodes() -> Select[Any]:
    return select(
        nodes,
        searches.c.name.label("search"),
        node_budgets.c.epochs,
        node_budgets.c.evaluation_count.label("budget_evaluation_count"),
        node_budgets.c.total_accuracy.label("budget_total_accuracy"),
        func.coalesce(calibrations.c.bias, 0.0).label("bias"),
    ).join(searches, searches.c.id == nodes.c.search_id)


_NODES_AT_BUDGET = (
    _select_nodes()
    .join(node_budgets, node_budgets.c.node_id == nodes.c.id)
    .outerjoin(calibrations, _OWN_BIAS)
    .where(nodes.c.id.in_(bindparam("node_ids", expanding=True)), node_budgets.c.epochs == bindparam("epochs"))
)


def _at_largest_budget(search_id: int) -> Select[Any]:
    own = node_budgets.alias()
    largest = select(func.max(own.c.epochs)).where(own.c.node_id == nodes.c.id).scalar_subquery()
    return (
        _select_nodes()
        .outerjoin(node_budgets, and_(node_budgets.c.node_id == nodes.c.id, node_budgets.c.epochs == largest))
        .outerjoin(calibrations, _OWN_BIAS)
        .where(nodes.c.search_id == search_id)
    )


def _nodes(engine: Engine, search_id: int, query: Select[Any]) -> list[Node]:
    with reading(engine) as connection:
        rows = connection.execute(query).all()
        known = _uncertainties(connection, search_id)
    return [_node(row, known.get(row.epochs, Uncertainty())) for row in rows]


def _node(row: Row[Any], known: Uncertainty) -> Node:
    """A node of a row; `known` is what blurs accuracies at the row's budget."""
    count = row.budget_evaluation_count or 0
    average = row.budget_total_accuracy / count if count else None
    calibrated = None if average is None else min(max(average - row.bias, 0.0), 1.0)
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
        epochs=row.epochs,
        average_accuracy=average,
        budget_evaluation_count=count,
        evaluation_count=row.evaluation_count,
        visit_count=row.visit_count,
        calibrated_accuracy=calibrated,
        training_bound=None if average is None else known.training_bound(average - row.bias, count),
        lower_bound=None if calibrated is None else known.lower_bound(calibrated, count),
    )


def _episode_info(row: Row[Any], measured: tuple[tuple[float, bool], ...]) -> EpisodeInfo:
    return EpisodeInfo(
        number=row.number,
        node_id=row.node_id,
        path=path_from_text(row.path),
        source=row.source,
        trained=row.trained,
        depth_bound=row.depth_bound,
        epochs=row.epochs,
        accuracies=tuple(accuracy for accuracy, _ in measured),
        shared=sum(shared for _, shared in measured),
        failure=row.failure,
        failure_text=row.failure_text,
        train_seconds=row.train_seconds,
        policy_loss=row.policy_loss,
        entropy=row.entropy,
        created_at=row.created_at,
    )


def _select_searches() -> Select[Any]:
    own = episodes.c.search_id == searches.c.id
    return select(
        searches,
        select(func.count(episodes.c.id)).where(own).scalar_subquery().label("episode_count"),
        select(func.count(episodes.c.id)).where(own, episodes.c.trained).scalar_subquery().label("training_count"),
        select(func.count(nodes.c.id)).where(nodes.c.search_id == searches.c.id).scalar_subquery().label("node_count"),
        select(func.max(nodes.c.depth)).where(nodes.c.search_id == searches.c.id).scalar_subquery().label("max_depth"),
    )


def _search_info(connection: Connection, row: Row[Any]) -> SearchInfo:
    first = next(iter(_best(connection, row.id, k=1)), None)
    return SearchInfo(
        name=row.name,
        created_at=row.created_at,
        seed=row.seed,
        config_json=row.config_json,
        space_json=row.space_json,
        data_json=row.data_json,
        versions=json.loads(row.versions_json),
        episode_count=row.episode_count,
        training_count=row.training_count,
        node_count=row.node_count,
        max_depth=row.max_depth or 0,
        best_accuracy=None if first is None else first.average_accuracy,
        best_lower_bound=None if first is None else first.lower_bound,
        max_epochs=None if first is None else first.epochs,
    )
