"""Check that every single value is valid, by row_rules.py and by the space of its search, made from its description."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, Table, text

from replaytree.errors import SpaceError
from replaytree.records import Path
from replaytree.space import DecisionSpace, LabelSpace, LayerSpace
from replaytree.space.coding import count, decisions_json
from replaytree.space.costs import costs_of
from replaytree.space.description import Outline, outline
from replaytree.tree.problem import Problem
from replaytree.tree.records import path_from_text, shape_text
from replaytree.tree.row_rules import CACHES, rule_of
from replaytree.tree.schema import Base, searches
from replaytree.tree.stored_json import read_config, read_space

# A space that was rebuilt, or what is stored of one that only its author has.
_Space = LayerSpace | LabelSpace | DecisionSpace | Outline
_SEARCHES = text("SELECT id, name, seed, config_json, space_json FROM searches ORDER BY id")
_NODES = text("""
SELECT id AS node_id, path, label, decisions, output_shape, params, flops, ram_bytes, flash_bytes
FROM nodes WHERE search_id = :search ORDER BY id
""")
_TOO_DEEP = text("""
SELECT number, depth_bound FROM episodes WHERE search_id = :search AND depth_bound > :most ORDER BY number
""")
_AT_ONCE = 1000


def value_problems(connection: Connection, *, tables: Collection[str] = ()) -> Iterator[Problem]:
    """The invalid single values, in some tables or in all."""
    names = {row.id: row.name for row in connection.execute(text("SELECT id, name FROM searches"))}
    for table in Base.metadata.sorted_tables:
        if not tables or table.name in tables:
            yield from _table_problems(connection, table, names)


def _table_problems(connection: Connection, table: Table, names: Mapping[int, str]) -> Iterator[Problem]:
    sqlite = connection.dialect.name == "sqlite"
    rules = {column.name: rule_of(column) for column in table.columns}
    suspect = " OR ".join(f"({rule.suspect(f't.{name}', sqlite=sqlite)})" for name, rule in rules.items())
    owner = "id" if table is searches else "search_id"
    shown = ", ".join(_shown(column.name, is_bytes=isinstance(column.type, LargeBinary)) for column in table.columns)
    keys = [column.name for column in table.primary_key]
    query = f"SELECT {shown} FROM {table.name} t WHERE {suspect} ORDER BY {', '.join(keys)}"
    for row in connection.execute(text(query)).mappings():
        where = (
            f"row {row[keys[0]]!r}" if len(keys) == 1 else "row " + ", ".join(f"{name} {row[name]!r}" for name in keys)
        )
        for name, rule in rules.items():
            if not rule.allows(row[name]):
                yield Problem(
                    str(names.get(row[owner], "?")),
                    f"table {table.name}, {where}, column {name}",
                    rule.text,
                    row[name],
                    repairable=name in CACHES.get(table.name, ()),
                )


def _shown(name: str, *, is_bytes: bool) -> str:
    # A state has megabytes, and one byte is enough to judge its type.
    return f"SUBSTR(t.{name}, 1, 1) AS {name}" if is_bytes else f"t.{name}"


def space_problems(connection: Connection) -> Iterator[Problem]:
    """Nodes, episodes, priors and configurations that do not fit the space and the seed of their search."""
    known: dict[int, tuple[str, _Space]] = {}
    for row in connection.execute(_SEARCHES):
        yield from _seed_problems(row)
        try:
            # What no description can be is a problem of its own (row_rules.py).
            known[row.id] = row.name, outline(read_space(row.space_json))
        except (TypeError, ValueError):
            continue
    for search_id, (name, space) in known.items():
        yield from _node_problems(connection, search_id, name, space)
    yield from _depth_problems(connection, known)
    yield from _prior_problems(connection, known)


def _seed_problems(row: Row[Any]) -> Iterator[Problem]:
    try:
        seed = read_config(row.config_json).seed
    except (ValueError, TypeError):
        return
    if seed != row.seed:
        yield Problem(row.name, "the seed of the configuration", row.seed, seed)


def _node_problems(connection: Connection, search_id: int, name: str, space: _Space) -> Iterator[Problem]:
    """The nodes whose stored values are not those that the space gives their paths."""
    illegal: set[Path] = set()
    rows = connection.execute(_NODES, {"search": search_id}, execution_options={"yield_per": _AT_ONCE})
    for row in rows:
        try:
            path = path_from_text(row.path)
        except (AttributeError, ValueError):
            continue
        if not path or path[:-1] in illegal or len(path) > space.max_layers:
            # What cannot be read, or is too deep, is a problem of its own (check_structure.py).
            illegal.add(path)
            continue
        expected = _expected(space, path)
        if isinstance(expected, str):
            illegal.add(path)
            yield Problem(name, "action", expected, path[-1], node_id=row.node_id)
            continue
        for what, value in expected.items():
            if (found := getattr(row, what)) != value:
                yield Problem(name, what, value, found, node_id=row.node_id)


def _expected(space: _Space, path: Path) -> dict[str, Any] | str:
    """What a node stores, by column, as far as the space says so; or, of an illegal one, what would be legal."""
    decisions = space.decisions(len(path))
    actions = count(decisions)
    if not 0 <= path[-1] < actions:
        return f"one of the {actions} actions of the space, from 0"
    found: dict[str, Any] = {"decisions": decisions_json(decisions, path[-1])}
    if isinstance(space, Outline):
        return found | {"label": decisions[0].options[path[-1]]} if space.labelled else found
    try:
        found["label"] = space.label(path[:-1], path[-1])
        found |= costs_of(space, path)
        found["output_shape"] = shape_text(space.output_shape(path))
    except SpaceError:
        return "one that is legal there"
    return found


def _depth_problems(connection: Connection, known: Mapping[int, tuple[str, _Space]]) -> Iterator[Problem]:
    for search_id, (name, space) in known.items():
        for row in connection.execute(_TOO_DEEP, {"search": search_id, "most": space.max_layers}):
            expected = f"at most the space's {space.max_layers} layers"
            yield Problem(name, "depth_bound", expected, row.depth_bound, episode=row.number)


def _prior_problems(connection: Connection, known: Mapping[int, tuple[str, _Space]]) -> Iterator[Problem]:
    rows = connection.execute(text("SELECT DISTINCT search_id, path FROM priors ORDER BY search_id, path")).all()
    for row in rows:
        name, space = known.get(row.search_id, ("", None))
        if space is None or not isinstance(row.path, str) or not row.path.replace(".", "").isdecimal():
            continue
        actions = row.path.split(".")
        fits = len(actions) <= space.max_layers and all(
            action and int(action) < count(space.decisions(depth)) for depth, action in enumerate(actions, start=1)
        )
        if not fits:
            yield Problem(name, "path of a prior", "a path of the space", row.path)
