from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path as FilePath

import pytest
from sqlalchemy import create_engine, event, select, text

import replaytree
from replaytree.errors import ForeignDatabase, SchemaMismatch, StorageError, StorageUnavailable
from replaytree.records import PathEvaluation
from replaytree.tree import Episode, ReplayTree, check, current_revision, engine, open_engine, upgrade
from replaytree.tree.engine import head_revision, migrations_dir, reading, writing
from replaytree.tree.schema import searches

NEXT_REVISION = """
from alembic import op
revision = "9999"
down_revision = {head!r}
def upgrade():
    op.execute("CREATE TABLE later (id INTEGER)")
def downgrade():
    op.execute("DROP TABLE later")
"""


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """A function that makes this replaytree one revision newer."""

    def become_newer():
        folder = tmp_path / "migrations"
        shutil.copytree(migrations_dir(), folder)
        (folder / "versions" / "9999_later.py").write_text(NEXT_REVISION.format(head=head_revision()))
        monkeypatch.setattr(engine, "migrations_dir", lambda: folder)
        head_revision.cache_clear()

    yield become_newer
    head_revision.cache_clear()


def test_a_new_database_is_of_the_head_revision(url):
    opened = open_engine(url)
    assert current_revision(opened) == head_revision()
    opened.dispose()


def test_opening_again_changes_nothing(create, tmp_path):
    url = f"sqlite:///{tmp_path}/tree.db"
    create(url)
    assert ReplayTree.open(open_engine(url), "first").info().name == "first"
    assert upgrade(url) == (head_revision(), head_revision(), None)
    assert upgrade(url).text == f"the database is of revision {head_revision()} already"
    assert [file for file in os.listdir(tmp_path) if "backup" in file] == []


def test_sqlite_is_set_up_for_many_readers_and_one_writer(tmp_path):
    opened = open_engine(f"sqlite:///{tmp_path}/tree.db")
    with reading(opened) as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    assert values == {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1, "synchronous": 1}


def test_reads_take_no_write_lock(tmp_path):
    opened = open_engine(f"sqlite:///{tmp_path}/tree.db")
    begun = []
    event.listen(opened, "before_cursor_execute", lambda *arguments: begun.append(arguments[2]))
    with reading(opened), reading(opened), writing(opened) as connection:
        connection.execute(text("DELETE FROM models"))
    assert begun == ["BEGIN", "BEGIN", "BEGIN IMMEDIATE", "DELETE FROM models"]


def test_a_reader_sees_one_state_while_another_writes(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    with reading(tree.engine) as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM nodes")) == 0
        tree.record(golden, state=b"")
        assert connection.scalar(text("SELECT COUNT(*) FROM nodes")) == 0
    assert len(tree.nodes()) == 6


def test_a_database_in_memory_serves_threads(create, golden):
    tree = create("sqlite://")
    tree.record(golden, state=b"")
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(tree.nodes).result()) == 6


def test_many_make_one_database(url):
    if url == "sqlite://":
        pytest.skip("a database in memory has one maker")
    gate, errors = threading.Barrier(4), []

    def make():
        try:
            gate.wait()
            open_engine(url).dispose()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    opened = open_engine(url)
    assert current_revision(opened) == head_revision()
    opened.dispose()


def test_migrations_of_an_installed_package_are_inside_it(tmp_path, monkeypatch):
    (tmp_path / "replaytree" / "migrations").mkdir(parents=True)
    monkeypatch.setattr(engine, "__file__", str(tmp_path / "replaytree" / "tree" / "engine.py"))
    assert migrations_dir() == tmp_path / "replaytree" / "migrations"
    (tmp_path / "replaytree" / "migrations").rmdir()
    assert migrations_dir() == tmp_path / "migrations"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "sqlite:tree.db",
            "storage is 'sqlite:tree.db', which is not a database URL; write a file's name, or one such",
        ),
        (
            "postgres://me@host/db",
            "'postgres' is not a database that replaytree knows; use sqlite:/// or postgresql://",
        ),
        ("sqlite://tree.db", r"which cannot be opened \(Invalid SQLite URL"),
        ("sqlite:///{tmp}/x.db?timeout=x", r"which cannot be opened \(could not convert string to float: 'x'\)"),
        ("sqlite:///{tmp}/x.db?timeout=nan", r"which cannot be opened \(timeout is nan; it must be a number of sec"),
        ("sqlite:///{tmp}/x.db?check_same_thread=9x", "which cannot be opened"),
        ("sqlite:///{tmp}/x.db?immutable=1", r"no option 'immutable'; SQLite's own go into sqlite:///file:NAME\?immut"),
        ("sqlite:///{tmp}/\udcff.db", r"storage is 'sqlite:///.*\\udcff.db', which has characters that no name"),
        ("sqlite:///{tmp}/\0.db", r"storage is 'sqlite:///.*\\x00.db', which has characters that no name"),
        ("{tmp}/" + "x" * 300, "cannot be opened: File name too long; check --storage"),
        ("/dev/null", "cannot be opened: /dev/null is a device; name a file"),
        ("/dev/null/x.db", "there is no folder /dev/null"),
        ("postgresql://me:secret@127.0.0.1:1/db?connect_timeout=x", "cannot be opened"),
        ("postgresql://me:secret@127.0.0.1:1/db?nothing=1", "cannot be opened .*nothing"),
        ("postgresql://me:secret@host:port/db", r"storage is 'postgresql://me:\*\*\*@host:port/db', which is not"),
        ("oracle://host/db", "'oracle' is not a database that replaytree knows; use sqlite:/// or postgresql://"),
        ("sqlite+nothing:///x.db", r"there is no driver 'sqlite\+nothing'; leave the driver out: sqlite://"),
        ("postgresql+pg8000://me:secret@host/db", "driver is not installed .*; run `pip install 'pg8000'`"),
        ("sqlite:///{tmp}/none/x.db", "there is no folder .*none; make it, or check --storage"),
        ("sqlite:///{tmp}", "is a folder; name a file in it"),
        ("postgresql://me:secret@127.0.0.1:1/db?connect_timeout=2", "cannot be opened .*127.0.0.1.*; check --storage"),
    ],
)
def test_storage_unavailable(url, message, tmp_path):
    with pytest.raises(StorageUnavailable, match=message) as caught:
        open_engine(url.replace("{tmp}", str(tmp_path)))
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_not_made_unless_asked(tmp_path):
    with pytest.raises(StorageUnavailable, match=r"there is no file .*tree.db; check --storage, or start a search"):
        open_engine(f"sqlite:///{tmp_path}/tree.db", create=False)
    assert os.listdir(tmp_path) == []


def test_an_empty_file_is_filled_only_if_asked(tmp_path):
    (tmp_path / "tree.db").touch()
    url = f"sqlite:///{tmp_path}/tree.db"
    with pytest.raises(
        ForeignDatabase, match=r"holds no replaytree tables; .*`replaytree db upgrade --storage sqlite:"
    ):
        open_engine(url, create=False)
    assert (tmp_path / "tree.db").stat().st_size == 0
    assert current_revision(open_engine(url)) == head_revision()


def test_a_read_only_database(create, tmp_path):
    create(f"sqlite:///{tmp_path}/tree.db").engine.dispose()
    opened = open_engine(f"sqlite:///file:{tmp_path}/tree.db?mode=ro&uri=true")
    assert current_revision(opened) == head_revision()
    with pytest.raises(StorageUnavailable, match=r"is read-only .*; make the file and its folder writable"):
        create(opened, "second")


@pytest.mark.parametrize("content", [b"not a database at all", b"x" * 5000])
def test_a_file_that_is_no_database(content, tmp_path):
    (tmp_path / "tree.db").write_bytes(content)
    with pytest.raises(ForeignDatabase, match=r"tree.db is not a SQLite database, or it is damaged .*; choose another"):
        open_engine(f"sqlite:///{tmp_path}/tree.db")
    assert (tmp_path / "tree.db").read_bytes() == content


def test_an_immutable_database_is_read_at_once(create, tmp_path):
    create(f"sqlite:///{tmp_path}/tree.db").engine.dispose()
    opened = open_engine(f"sqlite:///file:{tmp_path}/tree.db?immutable=1&uri=true&timeout=0.01")
    assert current_revision(opened) == head_revision()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(make, tmp_path):
    make(tmp_path / "tree.db")
    for url in (f"sqlite:///{tmp_path}/tree.db", f"sqlite:///file:{tmp_path}/tree.db?uri=true", f"{tmp_path}/tree.db"):
        with pytest.raises(StorageUnavailable, match=r"tree.db is a (named pipe|folder); name a file"):
            open_engine(url)


def test_a_file_that_was_copied_without_its_log_says_what_is_missing(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"")
    shutil.copy(tmp_path / "tree.db", tmp_path / "copy.db")
    with pytest.raises(
        ForeignDatabase, match=r"holds no replaytree tables; .* without copy.db-wal.*: copy copy.db, copy"
    ):
        open_engine(f"sqlite:///{tmp_path}/copy.db", create=False)
    for suffix in ("-wal", "-shm"):
        shutil.copy(tmp_path / f"tree.db{suffix}", tmp_path / f"copy.db{suffix}")
    assert len(ReplayTree.open(f"sqlite:///{tmp_path}/copy.db", "first").nodes()) == 6


def test_a_cut_file_says_how_much_is_missing(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"")
    tree.engine.dispose()
    file = tmp_path / "tree.db"
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes()[: whole // 2])
    with pytest.raises(ForeignDatabase, match=rf"damaged .*the file is cut short: {whole // 2} of {whole} bytes are"):
        check(open_engine(f"sqlite:///{file}"))


@pytest.mark.parametrize("left", [0.9, 0.5, 0.02])
def test_a_truncated_file(left, create, tmp_path):
    create(f"sqlite:///{tmp_path}/tree.db").engine.dispose()
    file = tmp_path / "tree.db"
    file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    with pytest.raises(ForeignDatabase, match="damaged"):
        open_engine(f"sqlite:///{tmp_path}/tree.db")


def test_a_database_of_others_with_a_table_of_our_name(tmp_path):
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE nodes (id INTEGER)")
    connection.close()
    before = (tmp_path / "other.db").read_bytes()
    for opening in (open_engine, upgrade):
        with pytest.raises(ForeignDatabase, match="has a table 'nodes' that replaytree did not make; choose another"):
            opening(f"sqlite:///{tmp_path}/other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_database_shared_with_others(url, create, golden):
    plain = create_engine(engine.build_engine(url).url)
    if url == "sqlite://":
        pytest.skip("nobody else has a database in memory")
    with plain.begin() as connection:
        connection.execute(text("CREATE TABLE studies (id INTEGER)"))
    tree = create(url)
    tree.record(golden, state=b"")
    assert len(tree.nodes()) == 6
    tree.engine.dispose()
    plain.dispose()


def test_an_older_database(create, golden, next_version, tmp_path):
    url = f"sqlite:///{tmp_path}/tree.db"
    old = head_revision()
    tree = create(url)
    tree.record(golden, state=b"")
    tree.engine.dispose()
    next_version()
    with pytest.raises(SchemaMismatch, match=f"is of revision {old}, and this replaytree needs 9999; run") as caught:
        open_engine(url)
    assert f"`replaytree db upgrade --storage {url}`" in str(caught.value)

    upgraded = upgrade(url)
    backup = tmp_path / f"tree.backup-{old}.db"
    assert upgraded == (old, "9999", backup)
    assert upgraded.text == f"upgraded the database from {old} to revision 9999; a copy of it as it was is {backup}"
    assert len(ReplayTree.open(url, "first").nodes()) == 6
    copy = sqlite3.connect(backup)
    assert copy.execute("SELECT version_num FROM replaytree_alembic_version").fetchall() == [(old,)]
    assert copy.execute("SELECT COUNT(*) FROM nodes").fetchall() == [(6,)]
    copy.close()


def test_a_failing_upgrade_changes_nothing(url, create, golden, next_version, tmp_path):
    if url == "sqlite://":
        pytest.skip("a database in memory ends with its engine")
    old = head_revision()
    tree = create(url)
    tree.record(golden, state=b"")
    tree.engine.dispose()
    next_version()
    script = tmp_path / "migrations" / "versions" / "9999_later.py"
    script.write_text(script.read_text().replace('INTEGER)")', "INTEGER)\")\n    op.execute('DROP TABLE nothing')"))
    with pytest.raises(StorageError, match="nothing"):
        upgrade(url)
    opened = engine.build_engine(url)
    assert current_revision(opened) == old
    with reading(opened) as connection:
        assert not opened.dialect.has_table(connection, "later")
    opened.dispose()


def test_backups_do_not_overwrite_one_another(create, next_version, tmp_path):
    old = head_revision()
    create(f"sqlite:///{tmp_path}/tree.db").engine.dispose()
    (tmp_path / f"tree.backup-{old}.db").write_text("precious")
    next_version()
    assert upgrade(f"sqlite:///{tmp_path}/tree.db").backup == tmp_path / f"tree.backup-{old}-2.db"
    assert (tmp_path / f"tree.backup-{old}.db").read_text() == "precious"


def test_upgrade_makes_a_new_database(tmp_path):
    upgraded = upgrade(f"sqlite:///{tmp_path}/tree.db")
    assert upgraded == (None, head_revision(), None)
    assert upgraded.text == f"upgraded the database from nothing to revision {head_revision()}"


def test_a_newer_database(create, tmp_path):
    url = f"sqlite:///{tmp_path}/tree.db"
    tree = create(url)
    with writing(tree.engine) as connection:
        connection.execute(text("UPDATE replaytree_alembic_version SET version_num = '7777'"))
    for opening in (open_engine, upgrade):
        with pytest.raises(
            SchemaMismatch, match=r"is of revision 7777, from a newer replaytree .*; run `pip install --"
        ):
            opening(url)


def test_a_locked_database(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db?timeout=0.05")
    other = sqlite3.connect(tmp_path / "tree.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"in use by another process .database is locked.*; wait until"):
        tree.record(golden, state=b"")
    assert tree.nodes() == []
    other.execute("ROLLBACK")
    tree.record(golden, state=b"")
    other.close()


def test_a_writer_waits_for_a_lock_more_than_once(create, golden, tmp_path):
    """0.01 s of SQLite's own waiting an attempt; the lock is given back when the second attempt has failed."""
    tree = create(f"sqlite:///{tmp_path}/tree.db?timeout=0.01")
    other = sqlite3.connect(tmp_path / "tree.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    attempts = []

    def count(connection, cursor, statement, *_):
        if statement == "BEGIN IMMEDIATE":
            attempts.append(statement)
            if len(attempts) == 3:
                other.execute("ROLLBACK")

    event.listen(tree.engine, "before_cursor_execute", count)
    tree.record(golden, state=b"")
    assert (len(attempts), tree.episode_count) == (3, 5)
    other.close()


def test_a_file_that_may_not_grow(create, golden, tmp_path):
    """The system's limit on the size of files, as a quota would be."""
    resource = pytest.importorskip("resource", reason="needs limits of the operating system")
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "tree.db-wal").stat().st_size + 10_000, hard))
    try:
        with pytest.raises(StorageError, match=r"disk I/O error.*over a quota, or failing; what was committed stays"):
            tree.record(golden, state=b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tree.strategy_state(), tree.episode_count, check(tree.engine)) == (b"before", 5, [])
    tree.record(golden, state=b"after")
    assert (tree.strategy_state(), tree.episode_count, check(tree.engine)) == (b"after", 10, [])


@pytest.mark.parametrize("left", [0.97, 0.5])
def test_a_truncated_file_with_a_whole_beginning(left, create, space, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    paths = [path for depth in (1, 2, 3) for path in product(range(3), repeat=depth)]
    for _ in range(40):
        tree.record(
            [Episode(path, "sample", 3, 4, True, PathEvaluation([0.5] * len(path))) for path in paths], state=b""
        )
    tree.engine.dispose()
    file = tmp_path / "tree.db"
    file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    for look in (lambda tree: tree.best(), lambda tree: check(tree.engine)):
        with pytest.raises(ForeignDatabase, match=r"or it is damaged .*, or restore a backup"):
            look(ReplayTree.open(f"sqlite:///{file}", "first"))


def test_a_full_disk(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    with reading(tree.engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match=r"cannot grow: the disk is full .*; free some space and try again"):
        tree.record(golden, state=b"x" * 100_000)
    assert tree.nodes() == []


def test_a_refused_statement(tmp_path):
    opened = open_engine("sqlite://")
    message = r"refused a statement .no such table: missing.; `replaytree db check"
    with pytest.raises(StorageError, match=message), reading(opened) as connection:
        connection.execute(text("SELECT * FROM missing"))


def test_a_lost_connection(empty_postgresql, create):
    tree = create(empty_postgresql)
    killer = create_engine(engine.build_engine(empty_postgresql).url)
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def lose():
        with writing(tree.engine) as mine:
            with killer.begin() as connection:
                connection.execute(others)
            mine.execute(select(searches))

    with pytest.raises(StorageError, match=r"the connection to postgresql.* was lost"):
        lose()
    assert tree.info().name == "first"
    killer.dispose()
    tree.engine.dispose()


def test_errors_of_the_caller_pass_through(tmp_path):
    opened = open_engine("sqlite://")
    with pytest.raises(KeyError), writing(opened):
        raise KeyError("mine")


def test_alembic_at_the_command_line(tmp_path):
    root = FilePath(replaytree.__file__).parent.parent
    if not (root / "alembic.ini").exists():
        pytest.skip("alembic.ini is not part of an installed package")
    environment = os.environ | {"REPLAYTREE_STORAGE": f"sqlite:///{tmp_path}/tree.db"}
    for arguments in (["upgrade", "head"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(root / "alembic.ini"), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "No new upgrade operations detected" in done.stdout
