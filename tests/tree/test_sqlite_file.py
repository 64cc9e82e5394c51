"""Files that cannot be written, for real: permissions bind this process, whoever runs the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replaytree.errors import DatabaseGone
from replaytree.tree import open_engine
from replaytree.tree.engine import build_engine, reading, writing
from replaytree.tree.sqlite_file import file_of
from replaytree.tree.urls import parsed_url

# Root may write what is read-only; without this capability it may not.
BOUND = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]

LOOK = """
import json, sys, time
from replaytree.errors import ReplayTreeError
from replaytree.tree import ReplayTree, check, open_engine, require_writable, upgrade, current_revision
from replaytree.tree.engine import writing
from sqlalchemy import text

def told(work):
    try:
        return work()
    except ReplayTreeError as error:
        return str(error)

url = sys.argv[1]
def look():
    tree = ReplayTree.open(url, "first")
    return [tree.info().node_count, len(tree.best(3)), check(tree.engine)]
def write():
    with writing(ReplayTree.open(url, "first").engine) as connection:
        connection.execute(text("DELETE FROM models"))
def require():
    require_writable(open_engine(url, create=False))
print(json.dumps([told(look), told(write), told(require), told(lambda: upgrade(url).backup)]))
"""


@pytest.fixture
def stored(create, golden, tmp_path):
    """A database in a folder of its own, closed."""
    (tmp_path / "folder").mkdir()
    tree = create(f"sqlite:///{tmp_path}/folder/tree.db?timeout=7")
    tree.record(golden, state=b"")
    tree.engine.dispose()
    yield tmp_path / "folder" / "tree.db"
    (tmp_path / "folder").chmod(0o755)


def look(file):
    if BOUND and shutil.which(BOUND[0]) is None:
        pytest.skip("root can only be bound by setpriv")
    done = subprocess.run(
        [*BOUND, sys.executable, "-c", LOOK, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=25,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("logged", [False, True])
def test_a_read_only_folder_is_read_at_once_and_a_writer_is_told(stored, logged):
    with build_engine(f"sqlite:///{stored}").connect() as held:
        if logged:
            # A reader keeps the log from being moved into the file.
            held.exec_driver_sql("SELECT COUNT(*) FROM nodes")
            with writing(open_engine(f"sqlite:///{stored}")) as connection:
                connection.exec_driver_sql("DELETE FROM leases")
        stored.chmod(0o444)
        stored.parent.chmod(0o555)
        found, written, required, upgraded = look(stored)
    assert found == [6, 3, []]
    assert f"sqlite:///{stored} is read-only (attempt to write a readonly database)" in written
    assert f"is read-only ({stored} may not be written); make the file and its folder writable" in required
    assert upgraded is None
    assert sorted(os.listdir(stored.parent))[:1] == ["tree.db"]


def test_a_log_that_cannot_be_read_is_not_passed_over(stored):
    (stored.parent / "tree.db-wal").write_bytes(b"x" * 100)
    (stored.parent / "tree.db-wal").chmod(0o000)
    stored.parent.chmod(0o555)
    assert "has changes in tree.db-wal that cannot be read where nothing can be written" in look(stored)[0]


def test_a_file_of_another_owner_is_named(stored):
    stored.chmod(0o000)
    assert f"cannot be opened: you may not read {stored}" in look(stored)[0]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///tree.db", "tree.db"),
        ("sqlite:////a/tree.db?timeout=1", "/a/tree.db"),
        ("sqlite:///file:a%20b.db?mode=ro&uri=true", "a b.db"),
        ("sqlite:///file:///a/tree.db?uri=true", "/a/tree.db"),
        ("sqlite:///file://localhost/a/tree.db?uri=true", "/a/tree.db"),
        ("sqlite:///file:x?mode=memory&uri=true", None),
        ("sqlite:///file::memory:?uri=true", None),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://host/db", None),
    ],
)
def test_the_file_of_a_url(url, file):
    assert file_of(parsed_url(url)) == (None if file is None else Path(file))


def test_a_file_that_was_deleted_or_replaced_is_noticed_by_the_next_writer(tmp_path):
    file = tmp_path / "tree.db"
    engine = open_engine(f"sqlite:///{file}")
    with writing(engine):
        pass
    file.rename(tmp_path / "moved.db")
    with pytest.raises(DatabaseGone, match=r"tree.db was deleted or moved away while it was in use"), writing(engine):
        raise AssertionError("the transaction has begun")
    assert not file.exists()
    file.write_bytes(b"another")
    with (
        pytest.raises(DatabaseGone, match=r"tree.db was replaced by another file while it was in use"),
        writing(engine),
    ):
        raise AssertionError("the transaction has begun")
    # What was there can still be read, and a new connection does not read the other file.
    with reading(engine) as first:
        assert first.exec_driver_sql("SELECT COUNT(*) FROM searches").scalar() == 0
        with pytest.raises(DatabaseGone), reading(engine):
            raise AssertionError("another file was opened")
    assert file.read_bytes() == b"another"
