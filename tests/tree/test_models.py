import pytest

from replaytree.errors import ConfigError
from replaytree.tree import list_models, record_model, retrainings


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


def test_the_number_of_test_images_is_stored_and_may_be_unknown(tree):
    add(tree, test_image_count=300)
    add(tree, weights_path="b")
    assert [model.test_image_count for model in list_models(tree.engine)] == [300, None]
    with pytest.raises(ConfigError, match="test_image_count is 0"):
        add(tree, test_image_count=0)


def test_retrainings_are_grouped_and_the_last_trained_comes_last(tree):
    add(tree, weights_path="a", seed=0, test_accuracy=0.5, test_image_count=300)
    add(tree, weights_path="other", epochs=4, test_accuracy=None)
    add(tree, weights_path="b", seed=1, test_accuracy=0.75, test_image_count=200)
    other, several = retrainings(list_models(tree.engine))
    assert [model.seed for model in several.models] == [0, 1]
    assert (several.test.values, several.test.images) == ((0.5, 0.75), 200)
    assert other.test is None
    add(tree, weights_path="c", seed=2)
    assert retrainings(list_models(tree.engine))[-1].test.images is None
