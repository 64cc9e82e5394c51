"""What is trained in full: a node or a path of any space that can be rebuilt, and none that cannot."""

import re

import pytest

import replaytree
from replaytree.data import load_data
from replaytree.deliver import node_subject, path_subject
from replaytree.deliver.baselines import size_of
from replaytree.deliver.subject import network_builders
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Mixed, PathEvaluation
from replaytree.space.catalogue import about
from replaytree.tree import Episode, ReplayTree

IMAGES = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3}
DIGITS = {
    "dataset": "digits",
    "image_size": None,
    "train_limit": None,
    "val_fraction": 0.1,
    "seed": 0,
    "skip_bad": False,
}
LAYERS = replaytree.LayerSpace([replaytree.Convolution(8, 3), replaytree.Pooling("max", 2, 2)], **IMAGES)
XU24 = replaytree.named_space("xu24", **IMAGES, width=0.25)
ZOPH = replaytree.named_space("zoph", **IMAGES)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def tree_of(space, path):
    """A search of the digits in which one path was trained."""
    tree = ReplayTree.create(
        "sqlite://", "first", space=space, seed=7, config_json='{"seed": 7, "dataset": "digits"}', versions={}
    )
    accuracies = [0.1 * depth for depth in range(1, len(path) + 1)]
    tree.record([Episode(path, "sample", len(path), 4, True, PathEvaluation(accuracies))], state=b"")
    return tree


@pytest.mark.parametrize("space", [LAYERS, XU24, ZOPH], ids=["layers", "xu24", "zoph"])
def test_the_best_node_of_a_space_that_was_rebuilt(space, digits):
    path = next((0, 0, action) for action in range(9) if space.cost((0, 0, action)))
    tree = tree_of(space, path)
    subject = node_subject(tree, data=digits)
    assert subject.node_id == 3
    assert subject.graph == space.network(path)
    assert subject.labels == tuple(space.label(path[:t], action) for t, action in enumerate(path))
    [build], shape = network_builders(tree, [tree.best(1)[0]])
    assert shape == (1, 8, 8)
    assert sum(each.numel() for each in build().parameters()) == space.cost(path)[0]


def test_of_a_differentiable_search_it_is_what_was_derived(digits):
    tree = tree_of(XU24, (0, 0, 1))
    derived = Episode(
        (0, 2), "sample", 2, 4, True, PathEvaluation([None, 0.01], epochs=4), mixed=Mixed({"layer 1": 1.0})
    )  # fmt: skip
    tree.record([derived], state=b"")
    assert tree.best(1)[0].path == (0, 0, 1)
    subject = node_subject(tree, data=digits)
    assert subject.node_id == tree.node((0, 2)).node_id
    assert subject.graph == XU24.network((0, 2))
    assert size_of(tree).text.startswith(f"the size of what the search derived, node {subject.node_id}: ")


def test_another_path_may_be_deeper_than_the_search(digits):
    tree = tree_of(XU24, (0, 0, 0))
    subject = node_subject(tree, path="conv32k3 " * 5, data=digits)
    assert (subject.node_id, len(subject.labels)) == (None, 5)
    assert subject.graph.nodes[4].layer.width == 0.25
    half = node_subject(tree, path="0.0.0", space_options={"width": 0.5}, data=digits)
    assert (half.node_id, half.graph.nodes[0].layer.width) == (3, 0.5)


def test_the_width_of_layers_of_ones_own_cannot_be_changed(digits):
    with pytest.raises(ConfigError, match="the layers of search 'first' have no common width to change; leave out"):
        node_subject(tree_of(LAYERS, (0,)), space_options={"width": 0.5}, data=digits)


def test_what_cannot_be_rebuilt_is_said(digits):
    own = replaytree.chain_space({"kernel": [1, 3]}, lambda kernel: replaytree.Convolution(8, kernel), **IMAGES)
    message = "has a space of its own, which the database does not hold (ChainPlan is your own code); go on in Python:"
    tree = tree_of(own, (0,))
    for ask in (lambda: node_subject(tree, data=digits), lambda: network_builders(tree, tree.best(1))):
        with pytest.raises(SpaceError, match=re.escape(message)):
            ask()
    with pytest.raises(SpaceError, match="search 'first' has labels and no layers, so no network can be built of it"):
        node_subject(tree_of(replaytree.LabelSpace(["a"], max_layers=3), (0,)), data=digits)


def test_a_path_of_a_named_space_without_a_search():
    wide = path_subject("conv32k3 res64", options=DIGITS)
    assert wide.graph.nodes[0].layer.width == 1.0, "xu24 by default"
    path = ZOPH.label((), 0)
    subject = path_subject(path, options=DIGITS, space="zoph")
    assert subject.graph == replaytree.named_space("zoph", **IMAGES | {"max_layers": 1}).network((0,))
    with pytest.raises(SpaceError, match="there is no space 'zoph2'"):
        path_subject(path, options=DIGITS, space="zoph2")
    with pytest.raises(SpaceError, match="space 'zoph' has no option 'depth'"):
        path_subject(path, options=DIGITS, space="zoph", space_options={"depth": 3})


def test_a_published_architecture_is_named_and_brings_its_options(digits):
    options = {"cells": 3, "channels": 4}
    subject = path_subject("DARTS_V2", options=DIGITS, space="darts", space_options=options)
    plan = replaytree.named_space("darts", **IMAGES | {"max_layers": 8}, final=True, **options)
    assert subject.graph == plan.network(plan.parse(about("darts").published["DARTS_V2"].path))
    # Those that were not given are its own: 20 cells.
    whole = path_subject("DARTS_V2", options=DIGITS, space="darts", space_options={"channels": 4})
    assert sum(node.name.endswith("_concat") for node in whole.graph.nodes) == 20
    # A search of its space knows it, too, at the search's size.
    small = replaytree.named_space("darts", **IMAGES, **options)
    named = node_subject(tree_of(small, small.parse("sep3@0+skip@1")), path="DARTS_V2", data=digits)
    assert named.graph == subject.graph


def test_a_name_that_is_not_published_is_told_those_that_are(digits):
    with pytest.raises(SpaceError, match=r"is 'DARTS_V9'; .*; published architectures: DARTS_V1, DARTS_V2, "):
        path_subject("DARTS_V9", options=DIGITS, space="darts")


def test_a_node_is_retrained_with_more_cells_than_it_was_searched_with(digits):
    small = replaytree.named_space("darts", **IMAGES, cells=3, channels=4)
    path = small.parse("sep3@0+skip@1")
    subject = node_subject(tree_of(small, path), space_options={"cells": 6, "channels": 8}, data=digits)
    large = replaytree.named_space("darts", **IMAGES, cells=6, channels=8, final=True)
    assert subject.graph == large.network(path)
    assert subject.node_id == 1


def test_options_that_make_other_layers_of_a_search_are_refused(digits):
    with pytest.raises(ConfigError, match=r"search 'first' has layers of .*; leave out --strides"):
        node_subject(tree_of(ZOPH, (0,)), space_options={"strides": True}, data=digits)
    small = replaytree.named_space("darts", **IMAGES)
    with pytest.raises(ConfigError, match="retrained in the form that they are delivered in; leave out --no-final"):
        node_subject(tree_of(small, small.parse("sep3@0+skip@1")), space_options={"final": False}, data=digits)
