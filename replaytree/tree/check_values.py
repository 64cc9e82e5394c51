"""Check that every single value is valid, by row_rules.py and by the layers of the search's space."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, Table, text

from replaytree.errors import InputError, SpaceError
from replaytree.records import Shape
from replaytree.space import Classifier, LayerSpace, chain
from replaytree.space.layers import format_shape
from replaytree.tree.problem import Problem
from replaytree.tree.records import shape_from_text
from replaytree.tree.row_rules import CACHES, rule_of
from replaytree.tree.schema import Base, searches
from replaytree.tree.stored_json import read_config, read_space
from replaytree.tree.stored_layers import stored_layers

# Nodes grouped by their last step; there are few kinds of step, whatever the size of the tree.
_STEPS = """
SELECT n.search_id, p.id IS NULL AS is_first, p.output_shape AS before, n.action, n.label, n.output_shape AS after,
       CAST(n.params AS NUMERIC) - COALESCE(p.params, 0) AS params,
       CAST(n.flops AS NUMERIC) - COALESCE(p.flops, 0) AS flops, MIN(n.id) AS node_id
FROM nodes n LEFT JOIN nodes p ON p.id = n.parent_id
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 9
"""
_SEARCHES = text("SELECT id, name, seed, config_json, space_json, data_json FROM searches ORDER BY id")
_TOO_DEEP = text("""
SELECT number, depth_bound FROM episodes WHERE search_id = :search AND depth_bound > :most ORDER BY number
""")


@dataclass(frozen=True, slots=True)
class _Words:
    """A search's space: its labels, its depth, and its layers unless they are the user's own."""

    labels: tuple[str, ...]
    max_layers: int
    layers: LayerSpace | None


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
    words: dict[int, tuple[str, _Words]] = {}
    for row in connection.execute(
        text("SELECT id, name, seed, config_json, space_json, data_json FROM searches ORDER BY id")
    ):
        yield from _seed_problems(row)
        try:
            space = read_space(row.space_json)
            layers, _ = stored_layers(space, config_json=row.config_json, data_json=row.data_json)
            found = _Words(tuple(space["labels"]), space["max_layers"], layers)
        except (InputError, TypeError) as error:
            yield Problem(row.name, f"table searches, row {row.id}, column space_json", "a space", str(error))
        except ValueError:
            continue
        else:
            words[row.id] = row.name, found
    yield from _step_problems(connection, words)
    yield from _depth_problems(connection, words)
    yield from _prior_problems(connection, words)


def _seed_problems(row: Row[Any]) -> Iterator[Problem]:
    try:
        seed = read_config(row.config_json).seed
    except (ValueError, TypeError):
        return
    if seed != row.seed:
        yield Problem(row.name, "the seed of the configuration", row.seed, seed)


def _step_problems(connection: Connection, words: Mapping[int, tuple[str, _Words]]) -> Iterator[Problem]:
    for row in connection.execute(text(_STEPS)):
        name, space = words.get(row.search_id, ("", None))
        if space is None or not isinstance(row.action, int):
            continue
        if not 0 <= row.action < len(space.labels):
            expected = f"one of the {len(space.labels)} actions of the space, from 0"
            yield Problem(name, "action", expected, row.action, node_id=row.node_id)
            continue
        if row.label != space.labels[row.action]:
            yield Problem(name, "label", space.labels[row.action], row.label, node_id=row.node_id)
        if space.layers is not None:
            yield from _layer_problems(name, space.layers, row)


def _layer_problems(name: str, space: LayerSpace, row: Row[Any]) -> Iterator[Problem]:
    try:
        before = None if row.is_first else _shape(row.before)
    except ValueError:
        return
    start, head = before or space.input_shape, Classifier(space.num_classes)
    step = chain([space.layers[row.action]], input_shape=start, head=head)
    try:
        shape = format_shape(step.end_shape)
    except SpaceError:
        yield Problem(name, "action", "one that is legal there", row.action, node_id=row.node_id)
        return
    if row.after != shape:
        yield Problem(name, "output_shape", shape, row.after, node_id=row.node_id)
    # The head moves along: what it had behind the layer before is gone.
    gone = (0, 0) if before is None else (head.params(before), head.flops(before))
    for what, expected in (("params", step.params - gone[0]), ("flops", step.flops - gone[1])):
        if (found := getattr(row, what)) != expected:
            known = found if found is None else int(found)
            yield Problem(name, f"what the layer adds to {what}", expected, known, node_id=row.node_id)


def _shape(value: object) -> Shape | None:
    shape = shape_from_text(value) if isinstance(value, str) else None
    if shape is None or min(shape) < 1:
        raise ValueError("no shape")
    return shape


def _depth_problems(connection: Connection, words: Mapping[int, tuple[str, _Words]]) -> Iterator[Problem]:
    for search_id, (name, space) in words.items():
        for row in connection.execute(_TOO_DEEP, {"search": search_id, "most": space.max_layers}):
            expected = f"at most the space's {space.max_layers} layers"
            yield Problem(name, "depth_bound", expected, row.depth_bound, episode=row.number)


def _prior_problems(connection: Connection, words: Mapping[int, tuple[str, _Words]]) -> Iterator[Problem]:
    rows = connection.execute(text("SELECT DISTINCT search_id, path FROM priors ORDER BY search_id, path")).all()
    known = {(row.search_id, row.path) for row in rows}
    for row in rows:
        name, space = words.get(row.search_id, ("", None))
        if space is None or not isinstance(row.path, str) or not row.path.replace(".", "").isdecimal():
            continue
        actions = row.path.split(".")
        parent = ".".join(actions[:-1])
        fits = len(actions) <= space.max_layers and all(a and int(a) < len(space.labels) for a in actions)
        if not fits or (parent and (row.search_id, parent) not in known):
            yield Problem(name, "path of a prior", "a path of the space whose prefixes are there, too", row.path)
