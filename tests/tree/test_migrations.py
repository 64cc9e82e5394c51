"""The sample of every revision, through all migrations, on both databases."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path as FilePath

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, DateTime, MetaData, insert, select, text

from replaytree.search.search import Search
from replaytree.tree import (
    ReplayTree,
    check,
    current_revision,
    export_search,
    head_revision,
    import_search,
    open_engine,
)
from replaytree.tree import upgrade as upgrade_database
from replaytree.tree.engine import _alembic_config, build_engine, known_revisions, migrate, reading, writing
from replaytree.tree.schema import VERSION_TABLE, Base
from replaytree.tree.transfer_rows import carried_tables

SAMPLES = FilePath(__file__).parents[1] / "databases"
REVISIONS = sorted(file.stem for file in SAMPLES.glob("*.db"))
DIGITS = {"kind": "xu24", "format": 1, "input_shape": [1, 8, 8], "num_classes": 10, "max_layers": 3}
# Tables that 0012 drops; a downgrade makes them again without their rows.
DROPPED = ("calibrations", "separate_evaluations")


def tables_of(connection):
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name != VERSION_TABLE)
    return metadata.sorted_tables


def contents(engine):
    """Every row of every table, as plain values that mean the same in both databases."""
    with reading(engine) as connection:
        return {
            table.name: [
                {
                    column.name: row[column.name]
                    if row[column.name] is None or not isinstance(column.type, DateTime)
                    else f"{row[column.name]:%Y-%m-%d %H:%M:%S.%f}"
                    for column in table.columns
                }
                for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in tables_of(connection)
        }


def among(rows, old):
    """The rows, less the tables and columns that `old` has not; none where a table has been dropped."""
    return {
        name: [{key: value for key, value in row.items() if key in before[0]} for row in rows.get(name, [])]
        if before
        else []
        for name, before in old.items()
    }


def described(searches):
    """The searches with their spaces as 0013 describes them: all are of the digits, and of xu24."""
    return [row | {"space_json": json.dumps(DIGITS | {"width": width_of(row)}, sort_keys=True)} for row in searches]


def width_of(search):
    return json.loads(search["config_json"])["width"]


def with_labels_only(tables):
    """The tables without what older versions did not store of a space, and a downgrade does."""

    def labels_only(row):
        space = json.loads(row["space_json"])
        return row | {"space_json": {name: space[name] for name in ("kind", "labels", "max_layers") if name in space}}

    return tables | {"searches": [labels_only(row) for row in tables["searches"]]}


def copied(source, target):
    """All rows of one database into another of the same revision, with the same ids."""
    with reading(source) as old, writing(target) as new:
        for table, other in zip(tables_of(old), tables_of(new), strict=True):
            rows = [dict(row) for row in old.execute(select(table)).mappings()]
            for row in rows:
                row |= {c.name: bool(row[c.name]) for c in other.columns if isinstance(c.type, Boolean)}
            if rows:
                new.execute(insert(other), rows)
                if "id" in rows[0]:
                    ids = f"SELECT setval(pg_get_serial_sequence('{other.name}', 'id'), MAX(id)) FROM {other.name}"
                    new.execute(text(ids))


@pytest.fixture(params=REVISIONS)
def revision(request):
    return request.param


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request, revision, tmp_path):
    """An engine, not looked at, on a copy of the sample of a revision."""
    shutil.copy(SAMPLES / f"{revision}.db", tmp_path / "old.db")
    engine = build_engine(f"sqlite:///{tmp_path}/old.db")
    if request.param == "postgresql":
        source, engine = engine, build_engine(request.getfixturevalue("empty_postgresql"))
        with writing(engine) as connection:
            migrate(connection, revision)
        copied(source, engine)
        source.dispose()
    yield engine
    engine.dispose()


def test_every_revision_before_this_one_has_a_sample():
    assert known_revisions() - {head_revision()} <= set(REVISIONS) <= known_revisions()


def test_the_names_of_the_files_say_what_alembic_reads_in_them():
    with build_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(_alembic_config(connection))
        assert scripts.get_heads() == [head_revision()]
        assert {script.revision for script in scripts.walk_revisions()} == known_revisions()


def test_up_down_up_with_the_data_intact(old, revision):
    assert current_revision(old) == revision
    before = contents(old)
    assert all(before[table.name] for table in carried_tables(Base.metadata) if table.name in before)
    with writing(old) as connection:
        migrate(connection, "head")
    up = contents(old)
    assert not up.keys() & set(DROPPED)
    kept = {name: [] if name in DROPPED else rows for name, rows in before.items()}
    assert among(up, before) == kept | {"searches": described(before["searches"])}
    assert {row["decisions"] for row in up["nodes"]} == {f'{{"layer": "{row["label"]}"}}' for row in before["nodes"]}, (
        "of one decision a layer"
    )
    assert check(old) == []
    with writing(old) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    with writing(old) as connection:
        command.downgrade(_alembic_config(connection), revision)
    assert with_labels_only(contents(old)) == with_labels_only(kept)
    with writing(old) as connection:
        migrate(connection, "head")
    assert contents(old) == up


def test_an_old_search_goes_on(revision, tmp_path):
    """On the digits, with the strategy's state that the old version stored."""
    shutil.copy(SAMPLES / f"{revision}.db", tmp_path / "old.db")
    url = f"sqlite:///{tmp_path}/old.db"
    upgrade_database(url)
    before = ReplayTree.open(url, "replayed").training_count
    search = Search.resume("replayed", storage=url).run(trainings=1)
    assert search.tree.training_count == before + 1
    assert check(search.tree.engine) == []
    search.tree.engine.dispose()


def test_an_old_export_is_what_the_old_database_held(revision, tmp_path):
    shutil.copy(SAMPLES / f"{revision}.db", tmp_path / "old.db")
    upgrade_database(f"sqlite:///{tmp_path}/old.db")
    export_search(f"sqlite:///{tmp_path}/old.db", "replayed", tmp_path / "1.gz")
    engine = open_engine("sqlite://")
    import_search(engine, SAMPLES / f"{revision}.jsonl.gz")
    export_search(engine, "replayed", tmp_path / "2.gz")
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()


def test_a_calibrated_search_goes_on_by_its_plain_averages_and_says_so(tmp_path, caplog):
    """Its rows were 4 separate trainings and 6 biases of up to 0.13; a copy of the file is made before they go."""
    shutil.copy(SAMPLES / "0010.db", tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        ranked = "SELECT average_accuracy, calibrated_accuracy FROM best_prefixes WHERE search = 'replayed'"
        assert all(average != calibrated for average, calibrated in old.execute(ranked))
        assert old.execute("SELECT COUNT(*) FROM separate_evaluations").fetchone() == (4,)
    url = f"sqlite:///{tmp_path}/old.db"
    backup = upgrade_database(url).backup
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT COUNT(*) FROM separate_evaluations").fetchone() == (4,)
    search = Search.resume("replayed", storage=url)
    assert caplog.messages == [
        "search replayed: it was begun with --calibrate 0.1, which was removed, because depth calibration made "
        "rankings less faithful; its averages are now plain"
    ]
    assert [search.memory.get(node.path).average_accuracy for node in search.tree.nodes()] == [
        node.average_accuracy for node in search.tree.nodes()
    ]
    caplog.clear()
    Search.resume("evolved", storage=url)
    assert caplog.messages == [], "this one was not calibrated"
    search.tree.engine.dispose()
