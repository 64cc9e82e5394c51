from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from replaytree.search import stored
from replaytree.tree import open_engine, upgrade
from replaytree.tree.stored_layers import stored_layers

OLD = Path(__file__).parents[1] / "databases" / "0003.db"


@pytest.fixture
def old(tmp_path):
    """A search of the digits from before layers were stored, at today's revision."""
    url = f"sqlite:///{shutil.copy(OLD, tmp_path / 'old.db')}"
    upgrade(url)
    return url


def test_an_old_search_of_a_named_data_set_is_checked_by_xu24(old):
    engine = open_engine(old)
    assert (stored.check(engine), list(stored.unknown_layers(engine))) == ([], [])
    with closing(sqlite3.connect(old.removeprefix("sqlite:///"))) as connection:
        [(node,)] = connection.execute("SELECT MAX(id) FROM nodes").fetchall()
        connection.execute("UPDATE nodes SET params = params + 1 WHERE id = ?", [node])
        connection.commit()
    found = [problem for problem in stored.check(engine) if "adds to params" in problem.invariant]
    assert [(problem.node_id, problem.found - problem.expected) for problem in found] == [(node, 1)]
    engine.dispose()


def test_where_the_layers_are_not_certain_it_says_why(old):
    with closing(sqlite3.connect(old.removeprefix("sqlite:///"))) as connection:
        row = connection.execute("SELECT space_json, config_json, data_json FROM searches").fetchone()
    space, config, data = map(json.loads, row)

    def why(space=space, config=config, data=data):
        layers, reason = stored_layers(space, config_json=json.dumps(config), data_json=json.dumps(data))
        return layers is None, reason

    assert why() == (False, "")
    assert why(space={**space, "kind": "Own"}) == (True, "the space is your own")
    assert why(space={**space, "labels": ["a"]}) == (True, "the space is your own")
    assert why(config={**config, "dataset": None}) == (True, "an older replaytree stored them without their sizes")
    assert why(data={}) == (True, "its configuration or its images cannot be read")
    assert why(space={**space, "layers": [{"type": "CustomLayer"}]}) == (True, "some of them are your own code")
