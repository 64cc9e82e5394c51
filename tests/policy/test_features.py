"""The features of paths, worked out by hand."""

import numpy as np

from replaytree.policy.features import PathFeatures, joined
from replaytree.records import Decision
from replaytree.space import LabelSpace
from replaytree.space.coding import encode


class Skips:
    """Two layers of a kernel, a width, and which earlier layers are read."""

    max_layers = 2

    def decisions(self, depth):
        earlier = tuple(str(layer) for layer in range(1, depth))
        sources = tuple(range(1, depth))
        return (
            Decision("kernel", ("1", "3", "5")),
            Decision("filters", ("8", "16")),
            Decision("inputs", ("image", *earlier), "inputs", (0, *sources)),
        )


def features(space, path, epochs):
    read = PathFeatures(space)
    return read.of(read.padded([path]), np.array([epochs]))


def test_one_decision():
    read = features(LabelSpace(["a", "b", "c"], max_layers=4), (2, 0), 4)
    assert read.places.tolist() == [[0, 0, 1, *(1, 0, 0), *(0, 0, 0), *(0, 0, 0)]]
    assert read.totals.tolist() == [[1, 0, 1]]
    assert (read.depths.tolist(), read.budgets.tolist()) == ([2], [2])


def test_several_decisions_and_inputs():
    space = Skips()
    path = (encode(space.decisions(1), (1, 0, 1)), encode(space.decisions(2), (2, 0, 0b10)))
    read = features(space, path, 2)
    assert read.places.tolist() == [[
        *(0, 1, 0), *(1, 0), 1,  # layer 1: kernel 3, 8 filters, reads the image
        *(0, 0, 1), *(1, 0), *(0, 1),  # layer 2: kernel 5, 8 filters, reads layer 1
    ]]  # fmt: skip
    assert read.totals.tolist() == [[*(0, 1, 1), *(2, 0)]]  # of each kernel and width
    assert (read.depths.tolist(), read.budgets.tolist()) == ([2], [1])
    assert PathFeatures(space).decisions == 3


def test_no_paths_have_no_features():
    read = PathFeatures(Skips())
    assert read.of(read.padded([]), np.array([], dtype=np.int64)).places.shape == (0, 13)


def test_joined_are_both_in_order():
    space = LabelSpace(["a", "b"], max_layers=2)
    both = joined(features(space, (1,), 4), features(space, (0, 1), 2))
    assert both.places.tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
    assert both.totals.tolist() == [[0, 1], [1, 1]]
    assert (both.depths.tolist(), both.budgets.tolist()) == ([1, 2], [2, 1])
