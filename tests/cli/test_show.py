"""`replaytree show`: nodes, and what continues them."""

import json
from dataclasses import replace

import pytest

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.cli.show import node_lines
from replaytree.metric import ACCURACY
from replaytree.tree import Episode, Node

SPACE = LabelSpace(("a", "b", "c"), max_layers=2)


@pytest.fixture
def storage(here):
    """Of the first layers, c leads to the best at 4 epochs, a to the worst, and b was measured at 2 epochs only.

    The one node that was measured twice read the same both times: trainings have no noise.
    """
    url = "sqlite:///replaytree.db"
    tree = ReplayTree.create(url, "mine", space=SPACE, seed=0, config_json='{"seed": 0}', versions={})
    for path, epochs, accuracies in (
        ((0, 1), 4, [0.5, 0.6]),
        ((1, 0), 2, [0.99, 0.99]),
        ((2, 0), 4, [0.25, 0.75]),
        ((2, 1), 4, [0.25, 0.875]),
    ):
        tree.record([Episode(path, "sample", 2, epochs, True, PathEvaluation(accuracies))], state=b"x")
    return url


FIRST_LAYERS = """\
mine: 3 first layers, best first, of what was measured at 4 epochs
node  layer  prefixes  visits  best below  at least  best node  own accuracy
   5  c             3       2      0.8750    0.8750          7        0.2500
   1  a             2       1      0.6000    0.6000          2        0.5000
   3  b             2       1           -         -          -        0.9900
"""


def test_a_search_alone_shows_its_first_layers_those_that_led_furthest_first(replaytree, storage):
    code, out, err = replaytree("show", "mine")
    assert (code, out, err) == (0, FIRST_LAYERS, "")
    for words in (["--last"], [], ["mine", "0"], ["mine", ""], ["0"]):
        assert replaytree("show", *words) == (0, FIRST_LAYERS, ""), words


def test_the_first_layers_as_json(replaytree, storage):
    rows = json.loads(replaytree("show", "mine", "--json")[1])
    assert [row["labels"] for row in rows] == ["c", "a", "b"]
    assert [row["prefix_count"] for row in rows] == [3, 2, 2]
    assert [row["best_average_accuracy"] for row in rows] == [0.875, 0.6, None]


def test_a_node_shows_what_continues_it_and_a_leaf_that_nothing_does(replaytree, storage):
    out = replaytree("show", "mine", "c")[1]
    assert out.splitlines()[:3] == ["node          5", "layers        c", "accuracy      0.2500"]
    table = out[out.index("2 next layers") :].splitlines()
    assert [line.split()[:2] for line in table[2:]] == [["7", "b"], ["6", "a"]]
    assert replaytree("show", "mine", "c b")[1].endswith("\n\nnothing continues it\n")


def test_what_is_neither_a_search_nor_a_node(replaytree, storage):
    code, out, err = replaytree("show", "mien")
    assert (code, out) == (2, "")
    assert err.startswith("Error: search 'mine' has no node 'mien'")
    # With --last the one argument is a node, whatever searches there are.
    assert replaytree("show", "mine", "--last")[0] == 2
    assert replaytree("show", "c", "--last")[1] == replaytree("show", "mine", "c")[1]


def test_a_search_without_nodes(replaytree, here):
    ReplayTree.create(
        "sqlite:///replaytree.db", "new", space=SPACE, seed=0, config_json='{"seed": 0}', versions={}
    )  # fmt: skip
    assert replaytree("show", "new") == (0, "search 'new' has no nodes yet\n", "")


def test_a_node_is_labelled_as_in_tables():
    node = Node(
        node_id=7, search="mine", path=(2, 1), labels=("c", "b"), depth=2, action=1, label="b", output_shape=(8, 4, 4),
        params=12345, flops=1234567, epochs=4, average_accuracy=2 / 3, budget_evaluation_count=2, evaluation_count=2,
        visit_count=1200, training_bound=0.6, lower_bound=0.5556,
    )  # fmt: skip
    turns = node_lines(replace(node, evaluation_count=3), unit="turns", metric=ACCURACY)
    assert [line.split("  ")[0] for line in turns if "turns" in line] == ["turns", "trainings of any turns"]
    assert not any("epochs" in line for line in turns)
    assert node_lines(node, metric=ACCURACY) == [
        "node          7", "layers        c b", "accuracy      0.6667", "at least      0.5556", "trainings     2",
        "epochs        4", "visits        1,200", "depth         2", "params        12,345", "FLOPs         1,234,567",
        "output shape  8x4x4", "path          2.1",
    ]  # fmt: skip
    known = node_lines(replace(node, ram_bytes=61_440, flash_bytes=900), metric=ACCURACY)
    assert known[10:12] == [
        "RAM           61,440 bytes with 8 bits a number",
        "flash         900 bytes with 8 bits a number",
    ]
