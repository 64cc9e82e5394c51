"""The decisions of nodes in the database: recorded, asked for with SQL, exported, and actions of up to 63 bits."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from replaytree.errors import SpaceError
from replaytree.records import Decision, PathEvaluation
from replaytree.space import Convolution, LabelSpace, LayerSpace
from replaytree.space.catalogue import named_space
from replaytree.tree import Episode, ReplayTree, check, export_search, import_search, open_engine, upgrade
from replaytree.tree.engine import _alembic_config, reading, writing

ZOPH = named_space("zoph", input_shape=(1, 8, 8), num_classes=10, max_layers=3)

# As README has it; PostgreSQL writes decisions::jsonb ->> 'filter_height' for json_extract(...).
BY_HEIGHT = """
SELECT json_extract(decisions, '$.filter_height') AS filter_height, COUNT(*) AS nodes,
       ROUND(AVG(average_accuracy), 4) AS average_accuracy
FROM architectures WHERE average_accuracy IS NOT NULL
GROUP BY 1 ORDER BY 1
"""
BY_HEIGHT_IN_POSTGRESQL = """
SELECT CAST(decisions AS jsonb) ->> 'filter_height' AS filter_height, COUNT(*) AS nodes,
       ROUND(CAST(AVG(average_accuracy) AS NUMERIC), 4) AS average_accuracy
FROM architectures WHERE average_accuracy IS NOT NULL
GROUP BY 1 ORDER BY 1
"""


class Wide:
    """A user's own space with 2**62 actions: two decisions and one of inputs."""

    max_layers = 2
    wide = Decision("wide", tuple(map(str, range(2**10))))

    def decisions(self, depth):
        return (self.wide, Decision("inputs", tuple(f"n{i}" for i in range(52)), "inputs", (0,) * 52))

    def legal(self, prefix, chosen=()):
        return (len(prefix) < 2,) * len(self.decisions(1)[len(chosen)].options)

    def label(self, prefix, action):
        return f"w{action:x}"

    def action(self, prefix, label):
        return int(label[1:], 16)

    def build(self, prefix, num_classes):
        raise AssertionError("nothing is built")

    def cost(self, prefix):
        return None


def create(storage, space, name="first"):
    return ReplayTree.create(storage, name, space=space, seed=7, config_json='{"seed": 7}', versions={})


def trained(path, accuracies):
    return Episode(path, "sample", len(path), 4, True, PathEvaluation(accuracies))


def layers(space, *choices):
    """The path whose layers take these options, by decision; lists of `inputs`."""
    path = ()
    for choice in choices:
        values = [
            sum(1 << each.options.index(str(one)) for one in choice[each.name])
            if each.kind == "inputs"
            else each.options.index(str(choice[each.name]))
            for each in space.decisions(len(path) + 1)
        ]
        action = 0
        for each, value in zip(space.decisions(len(path) + 1), values, strict=True):
            action = action * each.size + value
        path = (*path, action)
    space.check(path)
    return path


FIRST = {"filter_height": 3, "filter_width": 5, "filters": 24}
SECOND = {"filter_height": 5, "filter_width": 3, "filters": 36, "inputs": [1]}
THIRD = {"filter_height": 3, "filter_width": 3, "filters": 48, "inputs": [1, 2]}


def test_numbers_and_inputs_are_numbers_and_sql_can_ask_for_them(url):
    engine = open_engine(url)
    tree = create(engine, ZOPH)
    tree.record([trained(layers(ZOPH, FIRST, SECOND, THIRD), [0.5, 0.75, 0.625])], state=b"")
    with reading(engine) as connection:
        found = connection.scalars(text("SELECT decisions FROM architectures ORDER BY depth")).all()
        query = BY_HEIGHT if connection.dialect.name == "sqlite" else BY_HEIGHT_IN_POSTGRESQL
        rows = [(int(row[0]), row[1], float(row[2])) for row in connection.execute(text(query))]
    assert [json.loads(each) for each in found] == [FIRST, SECOND, THIRD]
    # Heights 3 (0.5 and 0.625) and 5.
    assert rows == [(3, 2, 0.5625), (5, 1, 0.75)]
    assert check(engine) == []
    engine.dispose()


@pytest.mark.parametrize("action", [2**31, 2**53 + 1, 2**62 - 1])
def test_actions_of_63_bits_are_recorded_exported_and_checked(url, tmp_path, action):
    engine = open_engine(url)
    tree = create(engine, Wide())
    path = (action, 2**62 - 1)
    tree.record([trained(path, [0.5, 0.6])], state=b"")
    assert [node.path for node in tree.nodes()] == [(action,), path]
    assert tree.node(path).action == 2**62 - 1
    export_search(engine, "first", tmp_path / "1.gz")
    other = open_engine("sqlite://")
    import_search(other, tmp_path / "1.gz")
    assert ReplayTree.open(other, "first", space=Wide()).nodes() == tree.nodes()
    assert check(engine) == check(other) == []
    other.dispose()
    engine.dispose()


def test_an_action_beyond_63_bits_is_refused():
    with pytest.raises(SpaceError, match="an action of the path is 9223372036854775808; it must be a whole number"):
        Episode((2**63,), "sample", 1, 1, False)


DAMAGE = [
    ("decisions = '{\"filter_height\": 3}'", "decisions", json.dumps(SECOND), '{"filter_height": 3}'),
    ("label = 'other', labels = SUBSTR(labels, 1, INSTR(labels, ' ')) || 'other'", "label", None, "other"),
    ("params = params + 1", "params", 0, 1),
    ("flops = NULL", "flops", None, None),
    ("output_shape = '1x1x1'", "output_shape", None, "1x1x1"),
]


@pytest.mark.parametrize(("change", "column", "expected", "found"), DAMAGE)
def test_what_a_node_stores_is_computed_again_from_the_space(change, column, expected, found):
    engine = open_engine("sqlite://")
    path = layers(ZOPH, FIRST, SECOND)
    create(engine, ZOPH).record([trained(path, [0.5, 0.75])], state=b"")
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE nodes SET {change} WHERE depth = 2"))
    problems = [problem for problem in check(engine) if problem.invariant == column]
    assert [problem.node_id for problem in problems] == [2]
    computed = {"label": ZOPH.label(path[:1], path[1]), "params": ZOPH.cost(path)[0], "flops": ZOPH.cost(path)[1]}
    computed["output_shape"] = "x".join(map(str, ZOPH.output_shape(path)))
    assert problems[0].expected == computed.get(column, expected)
    assert problems[0].found == (computed["params"] + 1 if column == "params" else found)
    engine.dispose()


def test_of_an_illegal_node_nothing_below_it_is_said_too():
    """Three poolings by 2 leave one pixel of 8; the fourth is illegal there, and so is all below it."""
    engine = open_engine("sqlite://")
    space = named_space("xu24", input_shape=(1, 8, 8), num_classes=10, max_layers=5)
    create(engine, space).record([trained(space.parse("max2s2 max2s2 max2s2 conv32k3 res32"), [0.5] * 5)], state=b"")
    with writing(engine) as connection:
        connection.execute(text("UPDATE nodes SET action = 21, label = 'max2s2' WHERE depth = 4"))
        connection.execute(text("UPDATE nodes SET path = '21.21.21.21' || SUBSTR(path, 11) WHERE depth >= 4"))
        connection.execute(text("UPDATE nodes SET labels = REPLACE(labels, 'conv32k3', 'max2s2') WHERE depth >= 4"))
    assert [(problem.node_id, problem.invariant, problem.found) for problem in check(engine)] == [(4, "action", 21)]
    engine.dispose()


def test_of_a_users_own_space_the_decisions_are_checked(url):
    engine = open_engine(url)
    create(engine, Wide()).record([trained((5, 7), [0.5, 0.6])], state=b"")
    with writing(engine) as connection:
        connection.execute(text("""UPDATE nodes SET decisions = '{"wide": 1, "inputs": []}' WHERE depth = 2"""))
    [problem] = check(engine)
    assert (problem.invariant, problem.expected) == ("decisions", '{"wide": 0, "inputs": ["n0", "n1", "n2"]}')
    engine.dispose()


def test_an_old_file_has_its_decisions_filled_in(tmp_path):
    engine = open_engine("sqlite://")
    import_search(engine, Path(__file__).parents[1] / "databases" / "0012.jsonl.gz")
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT label, decisions FROM nodes")).all()
    assert rows
    assert all(json.loads(row.decisions) == {"layer": row.label} for row in rows)
    engine.dispose()


SPACES = [
    # (the space as an older version stored it, changes to the configuration) -> what is described now
    ({}, {}, {"kind": "xu24", "width": 0.25}),
    ({}, {"space": None}, {"kind": "layers"}),
    ({"kind": "ConstrainedSpace"}, {"max_params": 9000}, {"kind": "xu24"}),
    ({"layers": None}, {}, {"kind": "xu24", "input_shape": [1, 8, 8], "num_classes": 10}),
    ({"layers": None}, {"dataset": None}, {"kind": "own", "class": "LayerSpace"}),
    # Its own labels, and no layers: not those of xu24, though the data set is one of ours.
    ({"layers": None, "labels": ["res64", "conv"]}, {}, {"kind": "own", "class": "LayerSpace"}),
    ({"layers": None, "kind": "Mine"}, {}, {"kind": "own", "class": "Mine"}),
    ({"layers": None, "kind": "LabelSpace", "labels": ['"', "7"]}, {}, {"kind": "own", "class": "LabelSpace"}),
    ({"layers": "damaged"}, {}, {"kind": "layers", "layers": "damaged"}),
]


@pytest.mark.parametrize(("change", "options", "described"), SPACES)
def test_what_older_versions_stored_of_a_space_is_described(tmp_path, change, options, described):
    file = shutil.copy(Path(__file__).parents[1] / "databases" / "0012.db", tmp_path / "old.db")
    with closing(sqlite3.connect(file)) as old, old:
        query = "SELECT space_json, config_json FROM searches WHERE name = 'evolved'"
        [(space, config)] = old.execute(query).fetchall()
        space, config = json.loads(space) | change, json.loads(config) | options
        if space["layers"] is None:
            space = {name: space[name] for name in ("kind", "labels", "max_layers")}
        row = json.dumps(space), json.dumps(config)
        old.execute("UPDATE searches SET space_json = ?, config_json = ? WHERE name = 'evolved'", row)
        labels = ('"', "7", "\\") if space["labels"][0] == '"' else ("res64",)
        for number, label in enumerate(labels, start=1):
            old.execute("UPDATE nodes SET label = ? WHERE id = ?", (label, number))
    upgrade(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as new:
        [(found,)] = new.execute("SELECT space_json FROM searches WHERE name = 'evolved'").fetchall()
        assert (json.loads(found) | described, json.loads(found)["format"]) == (json.loads(found), 1)
        stored = [json.loads(each) for (each,) in new.execute("SELECT decisions FROM nodes ORDER BY id")]
    assert stored[: len(labels)] == [{"layer": 7 if label == "7" else label} for label in labels]


def test_a_description_that_cannot_be_read_stays_as_it_is(tmp_path):
    file = shutil.copy(Path(__file__).parents[1] / "databases" / "0012.db", tmp_path / "old.db")
    with closing(sqlite3.connect(file)) as old, old:
        old.execute("UPDATE searches SET space_json = '{damaged' WHERE name = 'evolved'")
    upgrade(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as new:
        found = dict(new.execute("SELECT name, space_json FROM searches").fetchall())
    assert found["evolved"] == "{damaged"
    assert json.loads(found["replayed"])["kind"] == "xu24"


def test_spaces_of_labels_and_of_layers_of_ones_own_go_back_to_an_older_version():
    engine = open_engine("sqlite://")
    layers = LayerSpace([Convolution(8, 3)], input_shape=(1, 4, 4), num_classes=2, max_layers=2)
    for name, space in (("labels", LabelSpace(["a", "b"], max_layers=3)), ("layers", layers), ("zoph", ZOPH)):
        create(engine, space, name)
    with writing(engine) as connection:
        command.downgrade(_alembic_config(connection), "0012")
    with reading(engine) as connection:
        found = dict(map(tuple, connection.execute(text("SELECT name, space_json FROM searches"))))
    assert json.loads(found["labels"]) == {"kind": "LabelSpace", "labels": ["a", "b"], "max_layers": 3}
    own = json.loads(found["layers"])
    assert (own["kind"], own["labels"], own["max_layers"]) == ("LayerSpace", ["conv8k3"], 2)
    # What older versions have no word for stays as it is.
    assert json.loads(found["zoph"]) == ZOPH.describe()
    engine.dispose()
