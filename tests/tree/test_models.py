import pytest

from replaytree.errors import ConfigError
from replaytree.tree import list_models, record_model


def add(tree, **values):
    defaults = {"labels": ("conv", "res"), "seed": 0, "epochs": 3, "test_accuracy": 0.5, "weights_path": "a"}
    record_model(tree.engine, **(defaults | values))


def test_round_trip(tree):
    add(tree, search=tree.name, seed=2**40)
    add(tree, weights_path="b", test_accuracy=None)
    first, second = list_models(tree.engine)
    assert (first.search, first.node_id, first.labels) == (tree.name, None, ("conv", "res"))
    assert (first.seed, first.epochs, first.test_accuracy, first.weights_path) == (2**40, 3, 0.5, "a")
    assert (second.search, second.test_accuracy) == (None, None)
    assert [model.weights_path for model in list_models(tree.engine, search=tree.name)] == ["a"]
    assert list_models(tree.engine, search=tree.name, node_id=1) == []


def test_the_same_file_is_one_model(tree):
    add(tree)
    add(tree, weights_path="b")
    add(tree, test_accuracy=0.75)
    assert [(m.weights_path, m.test_accuracy) for m in list_models(tree.engine)] == [("b", 0.5), ("a", 0.75)]


def test_accuracy_is_a_fraction(tree):
    with pytest.raises(ConfigError, match="test_accuracy is 99"):
        add(tree, test_accuracy=99.0)
