"""Read searches and their episodes: names, progress, and the strategy's state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, bindparam, func, select

from replaytree.errors import CorruptTree, EvaluationError, SearchNotFound, StorageError
from replaytree.records import Mixed, Path
from replaytree.tree.engine import reading
from replaytree.tree.node_queries import best_of
from replaytree.tree.records import EpisodeInfo, SearchInfo, path_from_text
from replaytree.tree.schema import episodes, evaluations, nodes, searches, strategy_states
from replaytree.tree.storage_errors import advice, shown
from replaytree.tree.stored_json import read_versions

# A message names at most this many searches, the latest ones.
MOST_NAMES = 20

_COUNTS = (
    select(episodes.c.trained, func.count())
    .where(episodes.c.search_id == bindparam("search"))
    .group_by(episodes.c.trained)
)


def list_searches(engine: Engine) -> list[SearchInfo]:
    """All searches of a database, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(_select_searches().order_by(searches.c.id)).all()
        return [_search_info(connection, row) for row in rows]


def search_names(engine: Engine) -> list[str]:
    """The names of all searches, oldest first; unlike list_searches, nothing is counted."""
    with reading(engine) as connection:
        return list(connection.scalars(select(searches.c.name).order_by(searches.c.id)))


def search_info(engine: Engine, search_id: int) -> SearchInfo:
    """The summary of one search."""
    with reading(engine) as connection:
        row = connection.execute(_select_searches().where(searches.c.id == search_id)).one_or_none()
        if row is None:
            raise SearchNotFound(f"the search was deleted from {shown(engine.url)}")
        return _search_info(connection, row)


def find_search(engine: Engine, name: str) -> tuple[int, str]:
    """(search_id, space_json) of a search; SearchNotFound lists the existing names."""
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
    """The existing names, for a search that was not found; the most similar name first."""
    if not names:
        return f"it holds no search yet; start one with {advice(engine.url, 'run')}"
    near = get_close_matches(wanted, names, n=1)
    asked = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{asked}it has: {', '.join(names[-MOST_NAMES:])}{more}"


def strategy_state(engine: Engine, search_id: int) -> bytes | None:
    """The strategy state stored with the last recorded batch; None if there is none yet."""
    with reading(engine) as connection:
        payload = connection.scalar(select(strategy_states.c.payload).where(strategy_states.c.search_id == search_id))
    if not isinstance(payload, bytes | memoryview | None):
        raise TypeError("the state of a strategy is bytes")
    return bytes(payload) if payload else None


def count_episodes(engine: Engine, search_id: int, *, trained_only: bool = False) -> int:
    """The number of a search's episodes, or of those that were trained."""
    with reading(engine) as connection:
        counts = _counts(connection, search_id)
    return counts[True] if trained_only else counts.total()


def _counts(connection: Connection, search_id: int) -> Counter[bool]:
    """How many episodes were trained, and how many were not."""
    # Grouped, so that an invalid value is read and refused, instead of being counted as true or false.
    return Counter({trained: count for trained, count in connection.execute(_COUNTS, {"search": search_id})})


def count_failures(engine: Engine, search_id: int) -> Counter[str]:
    """How many trainings of a search failed, by kind."""
    query = (
        select(episodes.c.failure, func.count())
        .where(episodes.c.search_id == search_id, episodes.c.trained, episodes.c.failure.is_not(None))
        .group_by(episodes.c.failure)
    )
    with reading(engine) as connection:
        return Counter({kind: count for kind, count in connection.execute(query)})


def failed_paths(engine: Engine, search_id: int, beginning: str) -> set[Path]:
    """The paths of a search with a training whose failure text has this beginning."""
    query = (
        select(nodes.c.path)
        .join(episodes, episodes.c.node_id == nodes.c.id)
        .where(episodes.c.search_id == search_id, episodes.c.failure_text.startswith(beginning, autoescape=True))
    )
    with reading(engine) as connection:
        return {path_from_text(text) for text in connection.scalars(query)}


def list_episodes(engine: Engine, search_id: int) -> list[EpisodeInfo]:
    """All episodes of a search, in order."""
    measured = (
        select(evaluations.c.episode_id, nodes.c.depth, evaluations.c.accuracy, evaluations.c.shared)
        .join(episodes, episodes.c.id == evaluations.c.episode_id)
        .join(nodes, nodes.c.id == evaluations.c.node_id)
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
        # Read after the episodes: an episode that another process adds in between must not lack its accuracies.
        accuracies = {
            episode_id: {row.depth: (row.accuracy, bool(row.shared)) for row in group}
            for episode_id, group in groupby(connection.execute(measured), key=itemgetter(0))
        }
    return [_episode_info(row, accuracies.get(row.id, {})) for row in rows]


def derived_node(engine: Engine, search_id: int) -> int | None:
    """The node that a differentiable search ends with; None of other searches, and before the first epoch.

    That is what its last epoch derived, or the last sound one of a search that collapsed.
    """
    ordered = select(episodes).where(episodes.c.search_id == search_id).order_by(episodes.c.number.desc())
    with reading(engine) as connection:
        last = connection.execute(ordered.limit(1)).one_or_none()
        if last is None or last.mixed_json is None:
            return None
        behind = _mixed(last.mixed_json, last.number).behind
        found = connection.execute(ordered.offset(behind).limit(1)).one_or_none()
    return None if found is None else found.node_id


def _episode_info(row: Row[Any], measured: Mapping[int, tuple[float, bool]]) -> EpisodeInfo:
    """`measured` by depth."""
    unmeasured = (None, False)
    return EpisodeInfo(
        number=row.number,
        node_id=row.node_id,
        path=path_from_text(row.path),
        source=row.source,
        trained=row.trained,
        depth_bound=row.depth_bound,
        epochs=row.epochs,
        accuracies=tuple(measured.get(depth, unmeasured)[0] for depth in range(1, max(measured, default=0) + 1)),
        shared=max((depth for depth, (_, shared) in measured.items() if shared), default=0),
        failure=row.failure,
        failure_text=row.failure_text,
        train_seconds=row.train_seconds,
        policy_loss=row.policy_loss,
        entropy=row.entropy,
        created_at=row.created_at,
        mixed=None if row.mixed_json is None else _mixed(row.mixed_json, row.number),
    )


def _mixed(text: str, number: int) -> Mixed:
    try:
        return Mixed.from_json(text)
    except EvaluationError as error:
        raise CorruptTree(f"episode {number}: {error}; `replaytree db check` says where else") from error


def _select_searches() -> Select[Any]:
    return select(
        searches,
        select(func.count(nodes.c.id)).where(nodes.c.search_id == searches.c.id).scalar_subquery().label("node_count"),
        select(func.max(nodes.c.depth)).where(nodes.c.search_id == searches.c.id).scalar_subquery().label("max_depth"),
    )


def _search_info(connection: Connection, row: Row[Any]) -> SearchInfo:
    try:
        versions = read_versions(row.versions_json)
    except ValueError as error:
        raise StorageError(
            f"the versions of search {row.name!r} cannot be used ({error}); `replaytree db check` says where"
        ) from error
    counts = _counts(connection, row.id)
    first = next(iter(best_of(connection, row.id, k=1)), None)
    return SearchInfo(
        name=row.name,
        task=row.task,
        created_at=row.created_at,
        seed=row.seed,
        config_json=row.config_json,
        space_json=row.space_json,
        data_json=row.data_json,
        versions=versions,
        episode_count=counts.total(),
        training_count=counts[True],
        node_count=row.node_count,
        max_depth=row.max_depth or 0,
        best_accuracy=None if first is None else first.average_accuracy,
        best_lower_bound=None if first is None else first.lower_bound,
        max_epochs=None if first is None else first.epochs,
    )
