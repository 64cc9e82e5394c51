"""How Alembic runs replaytree's migrations: on the connection that `upgrade` hands over, or on a URL of its own."""

from __future__ import annotations

import os
from typing import Literal

from alembic import context
from sqlalchemy import Connection

from replaytree.tree import columns
from replaytree.tree.engine import build_engine, writing
from replaytree.tree.schema import VERSION_TABLE, Base


def include_name(name: str | None, kind: str, parent_names: object) -> bool:
    """Leave the tables of others, in a shared database, out of comparisons."""
    return kind != "table" or name in Base.metadata.tables


def render_item(kind: str, item: object, autogen_context: object) -> str | Literal[False]:
    """Write replaytree's own column types as what they are in the database: a migration must not import the models."""
    if kind != "type":
        return False
    if isinstance(item, columns.UtcDateTime):
        return "sa.DateTime(timezone=True)"
    own = type(item)
    return f"sa.{own.__base__.__name__}()" if own.__module__ == columns.__name__ and own.__base__ else False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        include_name=include_name,
        render_item=render_item,
        render_as_batch=True,
        # SQLite's DDL is transactional under our explicit BEGIN, so an interrupted upgrade leaves nothing behind.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    url = os.environ.get("REPLAYTREE_STORAGE") or context.config.get_main_option("sqlalchemy.url")
    assert url is not None, "alembic.ini names a sqlalchemy.url"
    engine = build_engine(url)
    with writing(engine) as own:
        migrate(own)
    engine.dispose()


main()
