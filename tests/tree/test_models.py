import pytest

from replaytree.errors import ConfigError
from replaytree.tree import check, is_like, list_models, record_model, retrainings


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


def test_the_same_layers_at_another_width_are_another_retraining(tree):
    add(tree, weights_path="a", params=100, flops=1_000, test_accuracy=0.5)
    add(tree, weights_path="b", params=1_600, flops=9_000, test_accuracy=0.75)
    narrow, wide = retrainings(list_models(tree.engine))
    assert (narrow.test.values, wide.test.values) == ((0.5,), (0.75,))


def test_a_seed_that_was_trained_again_in_another_folder_counts_once(tree):
    for place, seed, accuracy in (("a", 0, 0.5), ("b", 1, 0.75), ("c", 0, 0.25)):
        add(tree, weights_path=place, seed=seed, test_accuracy=accuracy)
    [several] = retrainings(list_models(tree.engine))
    assert [(model.seed, model.weights_path) for model in several.models] == [(1, "b"), (0, "c")]


def test_a_baseline_keeps_its_costs_and_how_it_was_trained(tree):
    training = {"epochs": 3, "learning_rate": 0.1}
    add(
        tree, baseline="resnet8", params=2**40, flops=7, ram_bytes=5, validation_accuracy=0.25,
        validation_image_count=180, test_accuracy=None, training=training,
    )  # fmt: skip
    [found] = list_models(tree.engine)
    assert (found.baseline, found.params, found.flops, found.ram_bytes) == ("resnet8", 2**40, 7, 5)
    assert (found.validation_accuracy, found.validation_image_count, found.training) == (0.25, 180, training)
    assert check(tree.engine) == []
    with pytest.raises(ConfigError, match="validation_accuracy is -1"):
        add(tree, validation_accuracy=-1)
    with pytest.raises(ConfigError, match="validation_image_count is 0"):
        add(tree, validation_image_count=0)


def test_what_was_trained_otherwise_is_another_retraining(tree):
    add(tree, weights_path="a", training={"mirror": False})
    add(tree, weights_path="b", training={"mirror": True}, seed=1)
    add(tree, weights_path="c", training={"mirror": True}, seed=2)
    assert [len(each.models) for each in retrainings(list_models(tree.engine))] == [1, 2]


def test_without_a_test_split_the_validation_images_are_what_was_measured(tree):
    add(tree, weights_path="a", test_accuracy=None, validation_accuracy=0.5, validation_image_count=9)
    add(tree, weights_path="b", epochs=4)
    first, second = retrainings(list_models(tree.engine))
    assert (first.test, first.measured.values, first.measured.images) == (None, (0.5,), 9)
    assert (second.validation, second.measured.values) == (None, (0.5,))


def test_only_the_rate_may_differ_between_models_that_are_compared(tree):
    training = {"epochs": 3, "learning_rate": 0.1, "trained_on": "ab"}
    for place, change in enumerate(({}, {"learning_rate": 0.01}, {"trained_on": "cd"}, None)):
        add(tree, weights_path=str(place), training=None if change is None else training | change)
    first, slow, other, unknown = list_models(tree.engine)
    assert is_like(first, slow)
    assert not is_like(first, other)
    assert not is_like(first, unknown)
    assert not is_like(unknown, unknown)
