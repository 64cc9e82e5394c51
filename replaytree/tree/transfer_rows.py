"""The rows of one search, out of the tables and into them, as plain values (search_file.py has what a line looks like).

Rows are streamed, so memory does not grow with the tree; only the ids of nodes and episodes are kept, 8 bytes each.
Which tables and columns there are is read from the schema, so that this holds for every revision.
"""

from __future__ import annotations

import base64
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, DateTime, LargeBinary, MetaData, Table, insert, select
from sqlalchemy.exc import DataError, IntegrityError

from replaytree.errors import ConfigError, SearchExists, SearchFileError
from replaytree.tree.columns import UtcDateTime
from replaytree.tree.inserts import insert_for
from replaytree.tree.names import require_name
from replaytree.tree.recording import new_ids
from replaytree.tree.row_rules import rule_of, rule_of_type
from replaytree.tree.schema import Base
from replaytree.tree.search_file import Row

# A lease belongs to the database, not to the search; the state of an evaluator is a file beside it.
NOT_CARRIED = ("leases", "evaluator_states")
_AT_ONCE = 1000


class Carried(NamedTuple):
    """A column that is carried, and the table that it refers to, if any."""

    column: Column[Any]
    target: str | None


def carried_tables(metadata: MetaData) -> list[Table]:
    """`searches` and the tables with a `search_id`, but for NOT_CARRIED; each after those that it refers to."""
    return [
        table
        for table in metadata.sorted_tables
        if table.name == "searches" or ("search_id" in table.c and table.name not in NOT_CARRIED)
    ]


def carried_columns(table: Table) -> list[Carried]:
    """All columns but the row's own id and the search's, which each database gives anew."""
    columns = []
    for column in table.columns:
        target = next((key.column.table.name for key in column.foreign_keys), None)
        if target != "searches" and not (target is None and column.primary_key and column.name == "id"):
            columns.append(Carried(column, target))
    return columns


def select_rows(connection: Connection, metadata: MetaData, search_id: int) -> Iterator[Row]:
    """All rows of one search; tables in the order of carried_tables, rows in that of their primary keys."""
    tables = carried_tables(metadata)
    ids: dict[str, array[int]] = {name: array("q") for name in _referred(tables)}
    for table in tables:
        owner = table.c.id if table.name == "searches" else table.c.search_id
        query = select(table).where(owner == search_id).order_by(*table.primary_key)
        columns = carried_columns(table)
        for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}).mappings():
            if table.name in ids:
                ids[table.name].append(row["id"])
            line: Row = {"table": table.name}
            for column, target in columns:
                value = row[column.name]
                refers = target is not None and value is not None
                line[column.name] = bisect_left(ids[target], value) + 1 if refers else _plain(value)  # type: ignore[index]
            yield line


class RowStore:
    """The rows of one file on their way into a database, in the transaction of a connection."""

    def __init__(self, connection: Connection, metadata: MetaData, *, file: Path) -> None:
        self._connection = connection
        self._file = file
        self._tables = {table.name: table for table in carried_tables(metadata)}
        self._columns = {name: carried_columns(table) for name, table in self._tables.items()}
        # Of older revisions the types are asked for; what the migrations make of them is judged as of today's.
        rule = rule_of if metadata is Base.metadata else rule_of_type
        self._rules = {(name, c.name): rule(c) for name, own in self._columns.items() for c, _ in own}
        self._ids: dict[str, array[int]] = {name: array("q") for name in _referred(self._tables.values())}
        self._search_id: int | None = None
        self.name = ""
        self.counts = dict.fromkeys(self._tables, 0)

    def store(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Insert numbered lines; SearchExists if the name is taken, SearchFileError for a line that does not fit."""
        for name, group in groupby(rows, key=lambda numbered: numbered[1].get("table")):
            while some := list(islice(group, _AT_ONCE)):
                first = some[0][0]
                if not isinstance(name, str) or name not in self._tables:
                    raise self._bad(first, f"table {repr(name)[:60]} is not one that this replaytree has")
                if name == "searches":
                    self._begin(some)
                elif self._search_id is None:
                    raise self._bad(first, "a row comes before its search")
                else:
                    self._add(self._tables[name], some, self._search_id)
                self.counts[name] += len(some)
        if self._search_id is None:
            raise SearchFileError(f"{self._file} holds no search; export it again")

    def _begin(self, some: list[tuple[int, Row]]) -> None:
        number, row = some[0]
        if self._search_id is not None or len(some) > 1:
            raise self._bad(some[-1][0], "a second search")
        table = self._tables["searches"]
        values = self._values(table, number, row)
        self.name = values["name"]
        try:
            require_name(self.name)
        except ConfigError as error:
            raise self._bad(number, f"the search's {error}") from error
        statement = insert_for(self._connection.dialect.name, table).on_conflict_do_nothing(index_elements=["name"])
        self._search_id = self._connection.scalar(statement.returning(table.c.id), values)
        if self._search_id is None:
            raise SearchExists(
                f"there is a search {self.name!r} already; import this one under another name with --name"
            )

    def _add(self, table: Table, some: list[tuple[int, Row]], search_id: int) -> None:
        own: list[dict[str, Any]] = [{"search_id": search_id} for _ in some]
        if table.name in self._ids:
            given = new_ids(self._connection, table, len(some))
            self._ids[table.name].extend(given)
            own = [{"search_id": search_id, "id": number} for number in given]
        values = [self._values(table, number, row) | ids for (number, row), ids in zip(some, own, strict=True)]
        try:
            self._connection.execute(insert(table), values)
        except (IntegrityError, DataError) as error:
            what = " ".join(str(error.orig).split())
            raise self._bad(some[0][0], f"a row of {table.name} from here on is not legal ({what})") from error

    def _values(self, table: Table, number: int, row: Row) -> dict[str, Any]:
        columns = self._columns[table.name]
        if row.keys() != {"table", *(column.name for column, _ in columns)}:
            raise self._bad(number, f"the columns are not those of {table.name}")
        values: dict[str, Any] = {}
        for column, target in columns:
            value = row[column.name]
            if value is None:
                if not column.nullable:
                    raise self._bad(number, f"{column.name} is null")
                values[column.name] = None
            elif target is not None:
                values[column.name] = self._id(target, column, value, number)
            else:
                rule = self._rules[table.name, column.name]
                try:
                    values[column.name] = _from_plain(column, value)
                    if not rule.allows(values[column.name]):
                        raise ValueError(f"it must be {rule.text}")
                except (TypeError, ValueError) as error:
                    shown = json.dumps(value)[:60]
                    raise self._bad(number, f"{column.name} is {shown}, which is no value of it ({error})") from error
        return values

    def _id(self, target: str, column: Column[Any], value: object, number: int) -> int:
        known = self._ids[target]
        if type(value) is not int or not 1 <= value <= len(known):
            raise self._bad(
                number, f"{column.name} is {repr(value)[:60]}, and {len(known)} rows of {target} came before it"
            )
        return known[value - 1]

    def _bad(self, number: int, what: str) -> SearchFileError:
        return SearchFileError(f"{self._file}, line {number}: {what}; nothing was imported; export the search again")


def _referred(tables: Iterable[Table]) -> set[str]:
    """The tables that some carried column refers to."""
    return {target for table in tables for _, target in carried_columns(table) if target is not None}


def _plain(value: Any) -> Any:
    """A stored value as JSON has it."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _from_plain(column: Column[Any], value: object) -> Any:
    """The inverse of _plain for a column; TypeError or ValueError for what SQLite would take, but no reader."""
    if isinstance(column.type, UtcDateTime | DateTime):
        time = datetime.fromisoformat(_of(str, value))
        if time.tzinfo is None:
            raise ValueError("a time without its zone")
        return time if isinstance(column.type, UtcDateTime) else time.astimezone(UTC).replace(tzinfo=None)
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(_of(str, value), validate=True)
    kind = column.type.python_type
    if kind is float and type(value) is int:
        return float(value)
    if (
        kind is int
        and not -(limit := 2**63 if isinstance(column.type, BigInteger) else 2**31) <= _of(int, value) < limit
    ):
        raise ValueError("out of range")
    return _of(kind, value)


def _of(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(f"it must be a {kind.__name__}")
    return value
