"""The features of paths, worked out by hand."""

import numpy as np

from replaytree.policy.features import PathFeatures
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
    actions = np.full((1, space.max_layers), -1, dtype=np.int64)
    actions[0, : len(path)] = path
    return PathFeatures(space).of(actions, np.array([epochs]))[0].tolist()


def test_one_decision():
    # Path (2, 0): one-hot 2 at place 0, 0 at place 1; counts 1/4 each; last action 0; depth 2/4; log2(4)/4.
    expected = [0.0] * (3 * 4 + 3 + 3 + 2)
    expected[2] = expected[3] = 1.0
    expected[12 + 2] = expected[12 + 0] = 0.25
    expected[15 + 0] = 1.0
    expected[-2] = 0.5
    expected[-1] = 0.5
    assert features(LabelSpace(["a", "b", "c"], max_layers=4), (2, 0), 4) == expected


def test_several_decisions_and_inputs():
    space = Skips()
    path = (encode(space.decisions(1), (1, 0, 1)), encode(space.decisions(2), (2, 0, 0b10)))
    assert features(space, path, 2) == [
        *(0, 1, 0), *(1, 0), 1,  # layer 1: kernel 3, 8 filters, reads the image
        *(0, 0, 1), *(1, 0), *(0, 1),  # layer 2: kernel 5, 8 filters, reads layer 1
        *(0, 0.5, 0.5), *(1, 0),  # shares of each kernel and width
        *(0, 0, 1), *(1, 0),  # those of the last layer
        1, 0.25,
    ]  # fmt: skip


def test_a_deeper_space_has_the_same_features_first():
    shallow, deep = (LabelSpace(["a", "b"], max_layers=depth) for depth in (2, 5))
    assert PathFeatures(deep).depth_of(PathFeatures(shallow).count) == 2
    assert PathFeatures(deep).depth_of(PathFeatures(shallow).count + 1) is None
    # Of the ten one-hot numbers of five layers none, two shares, not the last layer's two, the depth, not the budget.
    assert PathFeatures(deep).shared == [10, 11, 14]
