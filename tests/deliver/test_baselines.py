"""Which baselines are trained, how large they may be, and how they are trained."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from replaytree import Search
from replaytree.config import SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.deliver.baseline_networks import BASELINES
from replaytree.deliver.baselines import Size, baseline_subjects, recipe_as, size_of
from replaytree.errors import ConfigError
from replaytree.training import Recipe
from replaytree.tree import ModelInfo, record_model


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search of digits whose best prefix has limits of its own."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('baselines')}/tree.db"
    search = Search(name="d", storage=storage, max_layers=2, epochs_first=1, epochs_last=1, train_limit=100, width=0.25)
    search.run(trainings=1)
    return search


def model(**values):
    known = {
        "model_id": 1, "search": "d", "node_id": 1, "labels": ("conv32k3",), "seed": 0, "epochs": 7,
        "test_accuracy": None, "test_image_count": None, "weights_path": "w", "created_at": datetime.now(UTC),
    }  # fmt: skip
    return ModelInfo(**(known | values))


def test_the_size_is_that_of_the_best_prefix_then_of_what_was_retrained_from_it(found):
    best = found.tree.best(1)[0]
    size = size_of(found.tree)
    assert size.limits == {"params": best.params, "flops": best.flops}
    assert f"node {best.node_id}: at most {best.params:,} parameters and at most {best.flops:,} FLOPs" in size.text
    record_model(
        found.tree.engine, labels=best.labels, seed=0, epochs=1, test_accuracy=None, weights_path="w", search="d",
        node_id=best.node_id, params=777, flops=8_888, training={},
    )  # fmt: skip
    assert size_of(found.tree).limits == {"params": 777, "flops": 8_888}


def test_limits_of_the_search_go_first(tmp_path):
    search = Search(storage=f"sqlite:///{tmp_path}/t.db", max_layers=2, max_params=5_000, max_ram=8_000)
    size = size_of(search.tree)
    assert size.limits == {"params": 5_000, "ram_bytes": 8_000}
    assert size.text == "the search's limits: at most 5,000 parameters and at most 8,000 bytes of RAM"


def test_limits_are_raised_to_what_was_retrained_wider(found):
    best = found.tree.best(1)[0]
    known = {
        "labels": best.labels, "epochs": 1, "test_accuracy": None, "search": "d", "node_id": best.node_id,
        "training": {},
    }  # fmt: skip
    tree = SimpleNamespace(
        info=lambda: SimpleNamespace(config=SearchConfig().with_options(max_params=700, max_flops=9_000)),
        best=found.tree.best, models=found.tree.models,
    )  # fmt: skip
    record_model(found.tree.engine, seed=0, weights_path="w", params=700, flops=8_888, **known)
    assert size_of(tree) == Size({"params": 700, "flops": 9_000}, (
        "the search's limits: at most 700 parameters and at most 9,000 FLOPs"
    ))  # fmt: skip
    record_model(found.tree.engine, seed=0, weights_path="w", params=777, flops=8_888, **known)
    size = size_of(tree)
    assert size.limits == {"params": 777, "flops": 9_000}
    assert size.text.startswith(
        "the search's limits, or the size of what was retrained where that is more: at most 777"
    )


def test_it_says_that_a_limit_on_latency_is_not_looked_at():
    config = SearchConfig().with_options(max_params=5_000, max_latency="2ms", latency_table="lat.csv")
    size = size_of(SimpleNamespace(info=lambda: SimpleNamespace(config=config), best=lambda k: [], models=list))
    assert size.text.endswith("at most 5,000 parameters; its limit on latency is not looked at")


def test_all_are_made_within_the_size_and_named_after_it(found):
    size = size_of(found.tree)
    names = sorted({*BASELINES} - {"mobilenet-v3-small"})
    subjects, notes = baseline_subjects(found.tree, names, size=size, train_limit=50)
    made = {subject.baseline for subject in subjects}
    assert made | {note.split()[3] for note in notes} == set(names)
    for subject in subjects:
        assert subject.graph.params <= size.limits["params"] or subject.baseline == "linear"
        assert subject.stem.startswith(f"d-{subject.baseline}-")
        assert (subject.search, subject.node_id) == ("d", None)
        assert len(subject.data.train_images) == 50


def test_a_name_that_there_is_not_and_a_size_that_none_has(found):
    with pytest.raises(ConfigError, match="'resnet9' is not a baseline; these are: resnet8"):
        baseline_subjects(found.tree, ["resnet9"], size=None)
    tiny = type(size_of(found.tree))({"params": 10, "flops": None}, "")
    with pytest.raises(ConfigError, match=r"no form of resnet8 .*; no form of ds-cnn .*; choose among .* --full-size"):
        baseline_subjects(found.tree, ["resnet8", "ds-cnn"], size=tiny)
    subjects, notes = baseline_subjects(found.tree, ["resnet8", "linear"], size=tiny)
    assert [subject.baseline for subject in subjects] == ["linear"]
    assert notes[0].startswith("no form of resnet8 has at most 10 parameters")


def test_the_linear_model_may_be_larger_than_the_size(found):
    [subject], _ = baseline_subjects(found.tree, ["linear"], size=None)
    # 64 pixels x 10 classes and a bias each.
    for limits, is_larger in (({"params": 649}, True), ({"params": 650}, False), ({"params": None, "flops": 1}, True)):
        assert Size(limits, "").is_under(subject.graph) is is_larger


def test_the_recipe_is_that_of_the_answer():
    usual = Recipe(batch_size=16, cutout=2)
    training = Recipe(batch_size=32, learning_rate=0.2, cutout=0, schedule="cosine").values()
    trained = model(training=json.loads(json.dumps({**training, "epochs": 7, "mirror": False, "trained_on": "ab"})))
    same = recipe_as(trained, usual, normed=True)
    assert (same.batch_size, same.learning_rate, same.cutout, same.schedule) == (32, 0.2, 0, "cosine")
    assert recipe_as(model(training=None), usual, normed=True) == usual


@pytest.mark.parametrize(
    ("rate", "was_normed", "normed", "expected"),
    [
        (0.1, True, True, 0.1),
        (0.1, True, False, 0.01),  # a linear model beside a network with batch norm
        (0.01, False, True, 0.1),  # resnet8 beside a network without
        (0.01, True, True, 0.01),  # given, and not what such a network has by itself
        (0.2, True, False, 0.01),
        (0.003, False, False, 0.003),
    ],
)
def test_the_rate_is_the_networks_own_unless_it_was_given(rate, was_normed, normed, expected):
    usual = Recipe(learning_rate=0.1 if normed else 0.01)
    trained = model(training={"learning_rate": rate, "normed": was_normed})
    assert recipe_as(trained, usual, normed=normed).learning_rate == expected


@pytest.mark.parametrize(
    ("batch", "rate", "was_normed", "normed", "expected"),
    [
        # What a GPU with large batches has by itself, and a given rate.
        (512, 0.4, True, False, 0.04),
        (256, 0.04, False, True, 0.4),
        (512, 0.4, True, True, 0.4),
        (512, 0.3, True, False, 0.01),
        (512, 0.1, True, False, 0.01),
        (128, 0.2, True, False, 0.01),
    ],
)
def test_the_rate_of_large_batches_is_the_networks_own_unless_it_was_given(batch, rate, was_normed, normed, expected):
    trained = model(training={"batch_size": batch, "learning_rate": rate, "normed": was_normed})
    found = recipe_as(trained, Recipe(batch_size=128, learning_rate=0.1 if normed else 0.01), normed=normed)
    assert (found.batch_size, found.learning_rate) == (batch, pytest.approx(expected))


def test_what_the_answer_was_trained_without_its_baselines_are_trained_without():
    """A training names neither zeros nor random flips; on a GPU the usual recipe has others."""
    usual = Recipe(padding="reflect", flip=True, alternate_flip=True)
    found = recipe_as(model(training=Recipe(flip=True).values()), usual, normed=True)
    assert (found.padding, found.flip, found.alternate_flip) == ("zeros", True, False)


def test_a_recipe_that_is_not_given_is_the_usual_one(found):
    subject = baseline_subjects(found.tree, ["linear"], size=None)[0][0]
    assert Recipe.full(subject.data, RetrainOptions(), normed=subject.graph.is_normed).learning_rate == 0.01
