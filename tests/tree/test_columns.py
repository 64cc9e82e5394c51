from __future__ import annotations

import pytest
from sqlalchemy import select, text

from replaytree.errors import StorageError
from replaytree.tree import ReplayTree
from replaytree.tree.columns import as_stored
from replaytree.tree.engine import reading, writing
from replaytree.tree.schema import episodes, nodes, strategy_states


@pytest.fixture
def tree(tmp_path, space, golden):
    url = f"sqlite:///{tmp_path}/tree.db"
    tree = ReplayTree.create(url, "first", space=space, seed=0, config_json="{}", versions={})
    tree.record(golden, state=b"x")
    yield tree
    tree.engine.dispose()


@pytest.mark.parametrize(
    ("column", "stored", "message"),
    [
        (nodes.c.depth, "'many'", "holds 'many' where a whole number belongs"),
        (nodes.c.depth, "1.5", "holds 1.5 where a whole number belongs"),
        (nodes.c.params, "x'00'", r"holds b'\\x00' where a whole number belongs"),
        (nodes.c.total_accuracy, "'many'", "holds 'many' where a number belongs"),
        (nodes.c.label, "x'61'", "holds b'a' where a text belongs"),
        (episodes.c.trained, "7", "holds 7 where true or false belongs"),
        (episodes.c.trained, "'yes'", "holds 'yes' where true or false belongs"),
        (strategy_states.c.payload, "'many'", "holds 'many' where bytes belongs"),
    ],
)
def test_a_value_of_another_type_is_refused_by_whatever_reads_it(tree, column, stored, message):
    with reading(tree.engine) as connection:
        sound = connection.scalars(select(column)).all()
    with writing(tree.engine) as connection:
        connection.execute(text(f"UPDATE {column.table.name} SET {column.name} = {stored}"))
    with reading(tree.engine) as connection:
        with pytest.raises(StorageError, match=message):
            connection.scalars(select(column)).all()
        with as_stored(connection):
            found = connection.scalars(select(column)).all()
    assert len(found) == len(sound)
    assert found != sound
    with reading(tree.engine) as connection, pytest.raises(StorageError, match=message):
        connection.scalars(select(column)).all()
