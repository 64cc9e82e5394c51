"""The memory of a node is that of the network that is delivered, where the one that is searched is another."""

import pytest
from alembic import command
from sqlalchemy import text

from replaytree.records import PathEvaluation
from replaytree.space import ConstrainedSpace, DecisionSpace, LabelSpace
from replaytree.space.catalogue import named_space
from replaytree.space.enas_macro import EnasMacro
from replaytree.space.graph_space import final_space
from replaytree.tree import Episode, ReplayTree, check, open_engine, upgrade
from replaytree.tree.engine import _alembic_config, writing

IMAGES = {"input_shape": (3, 8, 8), "num_classes": 10}
MACRO = DecisionSpace(EnasMacro(**IMAGES, max_layers=2, channels=4))
PATH = MACRO.parse("conv3 conv3+0")
# Of two layers it is searched with a sum of two maps of 4x8x8, and delivered with them side by side in a third.
RAM = {PATH[:1]: 2 * 256, PATH: 2 * 256 + 512}
# Stem, 1x1 and 3x3 convolution, and the head; in the second layer also the convolution that reads 8 channels.
FLASH = {
    PATH[:1]: (27 + 4 + 36) * 4 + 3 * 4 * 4 + 40,
    PATH: (27 + 4 + 36 + 4 + 36 + 8) * 4 + 6 * 4 * 4 + 40,
}


def recorded(engine, space, path):
    tree = ReplayTree.create(engine, "s", space=space, seed=0, config_json='{"seed": 0}', versions={})
    tree.record([Episode(path, "sample", len(path), 4, True, PathEvaluation([0.5] * len(path)))], state=b"")
    return tree


def memory(tree):
    nodes = tree.nodes()
    return {node.path: node.ram_bytes for node in nodes}, {node.path: node.flash_bytes for node in nodes}


@pytest.mark.parametrize("space", [MACRO, ConstrainedSpace(MACRO, max_ram=1024)])
def test_what_is_delivered_counts(space):
    engine = open_engine("sqlite://")
    tree = recorded(engine, space, PATH)
    assert memory(tree) == (RAM, FLASH)
    assert (MACRO.network(PATH).ram_bytes, tree.best(1, max_ram=1023)[0].path) == (768, PATH[:1])
    # Parameters and FLOPs are those of the network that is searched, which must be said.
    assert tree.info().has_final_form
    assert {(node.params, node.flops) for node in tree.nodes()} == {MACRO.cost(PATH), MACRO.cost(PATH[:1])}
    engine.dispose()


@pytest.mark.parametrize("name", ["enas-macro", "enas-micro", "darts"])
def test_nodes_are_as_limits_count_them(name, random_paths):
    space = named_space(name, **IMAGES, max_layers=4, channels=4)
    (path,) = random_paths(space, 1, seed=2)
    engine = open_engine("sqlite://")
    tree = recorded(engine, space, path)
    for node in tree.nodes():
        delivered = final_space(space).network(node.path)
        assert (node.ram_bytes, node.flash_bytes) == (delivered.ram_bytes, delivered.flash_bytes)
    engine.dispose()


def test_networks_that_are_searched_as_they_are_delivered_have_one_form(random_paths):
    named = [named_space(name, **IMAGES, max_layers=2, channels=4, final=True) for name in ("enas-macro", "darts")]
    for space in (*named, named_space("xu24", **IMAGES, max_layers=2), LabelSpace(("a",), max_layers=1)):
        engine = open_engine("sqlite://")
        assert not recorded(engine, space, random_paths(space, 1, seed=0)[0]).info().has_final_form
        engine.dispose()


def test_an_upgrade_fills_in_what_a_search_stores(tmp_path, capsys, caplog):
    url = f"sqlite:///{tmp_path}/old.db"
    engine = open_engine(url)
    recorded(engine, MACRO, PATH)
    with writing(engine) as connection:
        command.downgrade(_alembic_config(connection), "0018")
    engine.dispose()
    upgrade(url)
    # Of few networks it takes no time, and nothing is said.
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == []
    engine = open_engine(url)
    assert memory(ReplayTree.open(engine, "s")) == (RAM, FLASH)
    assert check(engine) == []
    with writing(engine) as connection:
        connection.execute(text("UPDATE nodes SET ram_bytes = 768 WHERE depth = 2"))
    [problem] = check(engine)
    assert (problem.invariant, problem.expected, problem.found) == ("ram_bytes", 1024, 768)
    engine.dispose()
