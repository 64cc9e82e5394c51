"""A space of decisions of one's own: searched, resumed, delivered."""

import pickle
import re

import pytest

import replaytree
from replaytree import Convolution, Pooling
from replaytree.errors import SpaceError
from replaytree.records import Decision
from replaytree.space.catalogue import PLANS

IMAGES = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3}
OPTIONS = {"kind": ["conv1", "conv3", "pooling"], "channels": [8, 16], "stride": [1, 2]}


def layer(kind, channels, stride):
    """Pooling has no channels of its own, so it goes with the first number alone."""
    if kind == "pooling":
        return Pooling("max", 3, stride) if channels == 8 else None
    return Convolution(channels, int(kind[-1]), stride)


def test_a_search_of_ones_own_decisions(tmp_path):
    storage = str(tmp_path / "tree.db")
    space = replaytree.chain_space(OPTIONS, layer, **IMAGES)
    search = replaytree.Search(
        name="own", dataset="digits", space=space, storage=storage, train_limit=200, epochs_first=1, epochs_last=1
    ).run(trainings=2)
    best = search.tree.best(1)[0]
    assert re.fullmatch(r"kind(conv1|conv3|pooling)-channels(8|16)-stride[12]", best.labels[0])
    assert best.params == space.cost(best.path)[0]
    again = replaytree.Search.resume("own", space=space, storage=storage).run(trainings=1)
    assert again.training_count == 3
    model = again.best_model(epochs=1, folder=None)
    images = search.data.val_images[:4]
    assert len(model.predict(images)) == 4


def test_what_the_function_is_given_and_what_it_refuses():
    space = replaytree.chain_space(OPTIONS, layer, **IMAGES)
    assert space.decisions(1) == (
        Decision("kind", ("conv1", "conv3", "pooling")), Decision("channels", ("8", "16")),
        Decision("stride", ("1", "2")),
    )  # fmt: skip
    assert space.legal((), (2,)) == (True, False)
    with pytest.raises(SpaceError, match="layer 1 is illegal there: channels may not be 16 there"):
        space.parse("kindpooling-channels16-stride1")
    path = space.parse("kindconv3-channels16-stride2")
    # 16 channels of 3 x 3, their batch norm, and a head of 16 numbers and a bias for 10 classes.
    assert space.cost(path)[0] == 16 * 9 + 2 * 16 + 17 * 10
    assert pickle.loads(pickle.dumps(space)).cost(path) == space.cost(path)
    # The function of a class is enough.
    plain = replaytree.chain_space({"channels": [8], "kernel": [1, 3]}, Convolution, **IMAGES)
    assert plain.output_shape(plain.parse("channels8-kernel3")) == (8, 8, 8)


@pytest.mark.parametrize(
    ("options", "function", "message"),
    [
        ([1, 3], layer, "decisions is [1, 3]; give options by name, as in {'kernel': [1, 3]}"),
        ({}, layer, "decisions is {}; give options by name"),
        ({"kernel": 3}, layer, "the options of 'kernel' is 3; it must be a list, as in [1, 3]"),
        ({"kernel": [1, "1"]}, layer, "decision 'kernel' has an option twice: 1, 1"),
        ({"kernel": []}, layer, "decision 'kernel' has no options; give at least one"),
        ({"kernel": ["3 x 3"]}, layer, "option of 'kernel' is '3 x 3'; give one word"),
        ({"kernel": [1]}, layer, "the layer of {'kernel': '1'} cannot be had: TypeError: layer() got an unexpected"),
        ({"kernel": [1]}, lambda kernel: kernel, "the layer of {'kernel': '1'} is 1; it must be a layer, or None"),
        ({"kernel": [1]}, lambda kernel: None, "no layer of own may stand first on images of"),
        ({"a": range(400), "b": range(400)}, layer, "the decisions make 160,000 layers"),
    ],
)
def test_what_is_no_space(options, function, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        replaytree.chain_space(options, function, **IMAGES)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            {"input_shape": (3, 32, 32)},
            "the space has input_shape=(3, 32, 32), num_classes=10, and the images of digits",
        ),
        ({"num_classes": 12}, "need input_shape=(1, 8, 8), num_classes=10; make it with these"),
    ],
)
def test_a_space_for_other_images(images, message):
    space = replaytree.chain_space(OPTIONS, layer, **IMAGES | images)
    with pytest.raises(SpaceError, match=re.escape(message)):
        replaytree.Search(dataset="digits", space=space, storage="sqlite://")


def test_a_plan_of_ones_own_with_the_name_of_another():
    name = next(iter(PLANS))
    plan = replaytree.ChainPlan([Decision("a", ("1",))], lambda options: Convolution(8, 1), **IMAGES, name=name)
    with pytest.raises(SpaceError, match=f"the plan ChainPlan is named '{name}', as one of ours; give it another name"):
        replaytree.Search(dataset="digits", space=replaytree.DecisionSpace(plan), storage="sqlite://")


def test_a_named_space_as_an_object():
    space = replaytree.named_space("zoph", width=0.25, **IMAGES)
    search = replaytree.Search(dataset="digits", space=space, storage="sqlite://")
    assert search.config.space.max_layers == 3
