"""One search out of a database and into another, through a file: what a user calls (search_file.py has the format)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, MetaData

from replaytree.errors import CorruptTree, SchemaMismatch, SearchExists, SearchFileError, StorageUnavailable
from replaytree.tree.check import find_problems
from replaytree.tree.engine import build_engine, head_revision, known_revisions, migrate, open_engine, reading, writing
from replaytree.tree.names import require_name
from replaytree.tree.problem import Problem
from replaytree.tree.schema import VERSION_TABLE, Base
from replaytree.tree.search_file import Header, Row, read_header, read_rows, verify, write_lines
from replaytree.tree.search_queries import find_search, search_names
from replaytree.tree.sqlite_file import file_of
from replaytree.tree.storage_errors import advice
from replaytree.tree.transfer_rows import RowStore, carried_tables, select_rows
from replaytree.tree.urls import parsed_url


@dataclass(frozen=True, slots=True)
class Transferred:
    """What an export wrote or an import stored: the search's name, and its rows by table."""

    search: str
    rows: Mapping[str, int]

    @property
    def text(self) -> str:
        """As a phrase."""
        counts = ", ".join(f"{self.rows.get(table, 0)} {table}" for table in ("nodes", "episodes", "evaluations"))
        return f"search {self.search!r}: {counts}"


def export_search(storage: str | URL | Engine, name: str, file: str | Path, *, force: bool = False) -> Transferred:
    """Write one search, all that is stored of it, as a portable file; `import_search` is the inverse.

    The search may be running: the file holds one state of it. Raises SearchNotFound, SearchExists for a file that
    exists (unless `force`), CorruptTree for a search in which `check` finds a problem, or StorageUnavailable.
    """
    file = Path(file)
    try:
        is_folder, exists = file.is_dir(), file.exists()
    except OSError as error:
        raise StorageUnavailable(f"{file} cannot be written ({error.strerror}); choose another file") from error
    if is_folder:
        raise StorageUnavailable(f"{file} is a folder; name a file in it")
    if exists and not force:
        raise SearchExists(f"{file} exists; choose another file, or give --force to replace it")
    engine = storage if isinstance(storage, Engine) else open_engine(storage, create=False)
    search_id, _ = find_search(engine, name)
    counts = {table.name: 0 for table in carried_tables(Base.metadata)}
    with reading(engine) as connection:
        for problem in find_problems(connection, search=name):
            raise CorruptTree(
                f"{problem.text}; see {advice(engine.url, 'db', 'check', '--repair')}, and export again then"
            )
        rows = _counted(select_rows(connection, Base.metadata, search_id), counts)
        write_lines(file, Header(head_revision()), rows)
    return Transferred(name, counts)


def import_search(
    storage: str | URL | Engine,
    file: str | Path,
    *,
    name: str | None = None,
    believe: Callable[[Connection, str], Iterable[Problem]] = lambda connection, search: (),
) -> Transferred:
    """Store the search of a file that `export_search` wrote, under its own name or another: all of it, or nothing.

    The file is read to its end before the database is opened. One of an older revision is brought to this one by the
    migrations, in a database of its own. Raises SearchFileError for a file that is not whole or contradicts itself,
    SchemaMismatch for one of a newer replaytree, SearchExists if the name is taken, or a StorageError. `believe` may
    find more problems before the rows are committed: the tree knows no strategies (replaytree.search.stored does).
    """
    file = Path(file)
    if name is not None:
        require_name(name)
    header = read_header(file)
    if header.revision not in known_revisions():
        raise SchemaMismatch(
            f"{file} is of revision {header.revision}, from a newer replaytree (this one knows up to "
            f"{head_revision()}); run `pip install --upgrade replaytree`"
        )
    verify(file)
    with _opened(storage) as engine, _of_this_revision(file, header) as rows, writing(engine) as connection:
        store = RowStore(connection, Base.metadata, file=file)
        store.store(_named(rows, name))
        for problem in chain(find_problems(connection, search=store.name), believe(connection, store.name)):
            raise SearchFileError(f"{file} contradicts itself, and nothing of it was imported: {problem.text}")
    return Transferred(store.name, store.counts)


@contextmanager
def _opened(storage: str | URL | Engine) -> Iterator[Engine]:
    """The engine to import into; a file that was made for it and holds nothing is removed where the import fails."""
    if isinstance(storage, Engine):
        yield storage
        return
    file = file_of(parsed_url(storage))
    is_new = file is not None and not file.exists()
    engine = open_engine(storage)
    try:
        yield engine
    except BaseException:
        # Another process may have begun a search in it meanwhile.
        is_ours = is_new and not search_names(engine)
        engine.dispose()
        if is_ours and file is not None:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
        raise


@contextmanager
def _of_this_revision(file: Path, header: Header) -> Iterator[Iterable[tuple[int, Row]]]:
    """The rows of a file as of the present schema."""
    if header.revision == head_revision():
        yield read_rows(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        engine = build_engine(f"sqlite:///{folder}/search.db")
        try:
            with writing(engine) as connection:
                migrate(connection, header.revision)
                old = MetaData()
                old.reflect(connection, only=lambda name, _: name != VERSION_TABLE)
                store = RowStore(connection, old, file=file)
                store.store(read_rows(file))
                migrate(connection, head_revision())
            with reading(engine) as connection:
                search_id, _ = find_search(engine, store.name)
                yield enumerate(select_rows(connection, Base.metadata, search_id), start=2)
        finally:
            engine.dispose()


def _named(rows: Iterable[tuple[int, Row]], name: str | None) -> Iterator[tuple[int, Row]]:
    for number, row in rows:
        yield number, row | {"name": name} if name is not None and row.get("table") == "searches" else row


def _counted(rows: Iterable[Row], counts: dict[str, int]) -> Iterator[Row]:
    for row in rows:
        counts[row["table"]] += 1
        yield row
