"""Check that a stored or exported search can be continued: its rows by the tree's rules, its state by loading it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from sqlalchemy import URL, Connection, Engine, select

from replaytree import tree
from replaytree.errors import CorruptTree, InputError
from replaytree.records import Space
from replaytree.space.catalogue import space_of
from replaytree.space.description import outline, why_own
from replaytree.tree import Problem, Transferred
from replaytree.tree.columns import as_stored
from replaytree.tree.engine import reading
from replaytree.tree.schema import searches, strategy_states
from replaytree.tree.stored_json import read_config, read_space


def check(engine: Engine) -> list[Problem]:
    """The tree's own check; in addition, every strategy's state is loaded."""
    found = tree.check(engine)
    with reading(engine) as connection:
        return found + list(state_problems(connection))


def import_search(storage: str | URL | Engine, file: str | Path, *, name: str | None = None) -> Transferred:
    """The tree's own import; in addition, the strategy's state is loaded before anything is stored."""
    return tree.import_search(storage, file, name=name, believe=state_problems)


def state_problems(connection: Connection, search: str | None = None) -> Iterator[Problem]:
    """The states that no search could resume from, of one search or of all; unreadable searches are skipped."""
    query = select(
        searches.c.name,
        searches.c.config_json,
        searches.c.space_json,
        strategy_states.c.payload,
        strategy_states.c.episode_count,
    ).join(strategy_states, strategy_states.c.search_id == searches.c.id)
    if search is not None:
        query = query.where(searches.c.name == search)
    with as_stored(connection):
        for name, *stored in connection.execute(query.order_by(searches.c.id), execution_options={"yield_per": 1}):
            if (wrong := _wrong(*stored)) is not None:
                yield Problem(name, "strategy_states.payload", "a state that the search can go on from", wrong)


def _wrong(config_json: str, space_json: str, payload: object, episode_count: int) -> str | None:
    try:
        config = read_config(config_json)
        # Strategies ask only for the decisions and the depth of a space when they are made.
        space = cast(Space, outline(read_space(space_json)))
    except (InputError, TypeError, ValueError):
        return None
    if not isinstance(payload, bytes | memoryview):
        return "no bytes"
    if not payload:
        return f"empty after {episode_count} episodes" if episode_count else None
    # torch takes 2 s to import, and a search that has stored no state needs none of it.
    from replaytree.policy import STRATEGIES
    from replaytree.search.state import restore

    try:
        strategy = STRATEGIES[config.strategy](space, config.strategy_options, seed=config.seed)
        restore(bytes(payload), strategy, config=config, episode_count=episode_count)
    except CorruptTree as error:
        return str(error).partition("; ")[0]
    return None


def unknown_layers(engine: Engine) -> Iterator[tuple[str, str]]:
    """The searches whose spaces no description can rebuild, each with the reason."""
    with reading(engine) as connection:
        for name, space_json in connection.execute(
            select(searches.c.name, searches.c.space_json).order_by(searches.c.id)
        ):
            described = read_space(space_json)
            if space_of(described) is None:
                yield name, why_own(described)
