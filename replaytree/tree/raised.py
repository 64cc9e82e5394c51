"""Higher limits for a stored search: its configuration, its space and its state."""

from __future__ import annotations

from sqlalchemy import Connection, update

from replaytree.tree.schema import searches, strategy_states


def raise_limits(connection: Connection, search_id: int, *, config_json: str, space_json: str, state: bytes) -> None:
    """Replace what a search is told. A search without a state has recorded nothing, and begins with the new limits."""
    connection.execute(
        update(searches).where(searches.c.id == search_id).values(config_json=config_json, space_json=space_json)
    )
    connection.execute(update(strategy_states).where(strategy_states.c.search_id == search_id).values(payload=state))
