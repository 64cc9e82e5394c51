"""What notebooks show: escaped, and the values that are stored."""

import re

import numpy as np

from replaytree import LabelSpace, ReplayTree, Search, from_arrays
from replaytree.notebook import facts, grid
from replaytree.records import BudgetSums, NodeStats


def cells(html):
    return re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", html)


def test_everything_is_escaped_and_numbers_have_commas():
    html = facts("<i>", [("a<b", 1234567), ("none", None), ("long", "x" * 500)])
    assert "<i>" not in html
    assert cells(html) == ["a&lt;b", "1,234,567", "long", "x" * 400 + "..."]
    table = grid("t", ("name", "n"), [("<script>", 5), (None, "7.5")])
    assert cells(table) == ["name", "n", "&lt;script&gt;", "5", "", "7.5"]
    assert re.findall("text-align:(\\w+)", table) == ["left", "right", "right", "right"]


def test_a_node_of_a_strategy():
    node = NodeStats((5, 0), 3, (BudgetSums(4, 2, 1.5), BudgetSums(8, 1, 0.875)))
    html = node._repr_html_()
    assert "path 5.0, 3 visits" in html
    assert cells(html) == ["epochs", "trainings", "average_accuracy", "4", "2", "0.7500", "8", "1", "0.8750"]


def test_search_tree_node_and_model(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    search = Search(
        name="a<b", storage=f"sqlite:///{tmp_path}/t.db", data=from_arrays(images, ["<x>", "y"] * 20), max_layers=2,
        epochs_first=1, epochs_last=1, width=0.25,
    )  # fmt: skip
    assert "a&lt;b" in search._repr_html_()
    search.run(trainings=1)
    best = search.tree.best(1)[0]
    for html in (search._repr_html_(), search.tree._repr_html_()):
        assert cells(html)[7:14] == [
            str(best.node_id), f"{best.average_accuracy:.4f}", f"{best.lower_bound:.4f}", "1", f"{best.params:,}",
            f"{best.flops:,}", " ".join(best.labels),
        ]  # fmt: skip
    assert "Search(&#x27;a&lt;b&#x27;" in search._repr_html_()
    node = best._repr_html_()
    assert f"node {best.node_id} of search a&lt;b" in node
    assert cells(node)[:2] == ["layers", " ".join(best.labels)]
    model = search.best_model(epochs=1, folder=None)
    html = model._repr_html_()
    assert f"model {' '.join(best.labels)}" in html
    assert "2: &lt;x&gt;, y" in cells(html)
    assert f"{model.description.params:,}" in cells(html)
    assert "test accuracy" not in cells(html)
    assert f"{model.description.validation_accuracy:.4f}" in cells(html)


def test_a_tree_of_labels_has_no_costs(tmp_path):
    space = LabelSpace(["a"], max_layers=1)
    tree = ReplayTree.create(
        f"sqlite:///{tmp_path}/t.db", "own", space=space, seed=0, config_json='{"seed": 0}', versions={}
    )
    assert "search own: 0 trainings, 0 prefixes" in tree._repr_html_()
