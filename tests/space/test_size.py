"""Paths are counted a depth at a time; here each is walked."""

import pytest

from replaytree import LayerSpace
from replaytree.records import Decision
from replaytree.space import ChainPlan, Convolution, DecisionSpace, Pooling
from replaytree.space.catalogue import USUAL_DATA, about, named_space, names
from replaytree.space.coding import ended, legal_actions
from replaytree.space.plan import Countable
from replaytree.space.size import Size, size_of


def walked(space, path=()):
    """The number of paths from here on, one by one."""
    if ended(space, path):
        return 1
    return sum(walked(space, (*path, action)) for action in legal_actions(space, path))


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(("side", "depth"), [(8, 1), (2, 2)])
def test_a_named_space_counts_the_paths_that_there_are(name, side, depth):
    try:
        shape = {"input_shape": (1, side, side)} if about(name).task == "images" else {}
        space = named_space(name, **{**USUAL_DATA[about(name).task], **shape}, max_layers=depth)
    except ValueError:
        pytest.skip("these images are too small for the space")
    found = size_of(space)
    if len(list(legal_actions(space, ()))) ** depth < 20_000:
        assert (found.paths == walked(space)) is found.is_exact


def test_sizes_known_by_hand():
    images = {"input_shape": (3, 32, 32), "num_classes": 10}
    # 4 x 4 kernels and 4 numbers of filters a layer, and any of the layers before it.
    zoph = named_space("zoph", max_layers=15, **images)
    assert size_of(zoph) == Size(64**15 * 2 ** (15 * 14 // 2), is_exact=True)
    # With strides what may be read depends on the maps: all combinations, some of them illegal.
    strided = named_space("zoph", max_layers=4, strides=True, **images)
    assert size_of(strided) == Size((64 * 9) ** 4 * 2**6, is_exact=False)
    # Two layers that halve a side of 4 twice; then only the one of stride 1 is left.
    chain = LayerSpace([Convolution(8, 3), Pooling("max", 2, 2)], input_shape=(1, 4, 4), num_classes=2, max_layers=3)
    assert size_of(chain) == Size(7, is_exact=True)


def test_a_plan_of_chains_is_counted_by_its_feature_maps():
    plan = ChainPlan(
        (Decision("kernel", ("1", "3")), Decision("stride", ("1", "2"))),
        lambda options: Convolution(8, int(options["kernel"]), int(options["stride"])),
        input_shape=(1, 2, 2), num_classes=2, max_layers=3,
    )  # fmt: skip
    space = DecisionSpace(plan)
    assert isinstance(plan, Countable)
    # A side of 2 can be halved once: 2 kernels each, and 1 + 3 ways to place the stride.
    assert size_of(space) == Size(2**3 * 4, is_exact=True)
    assert walked(space) == 32


def test_options_that_are_legal_nowhere_are_not_counted():
    """Of three widths two, in each of three layers, and any earlier layer but the last: 1, 1 and 2 sets."""

    class Narrow:
        name, source, nested, input_shape, num_classes, max_layers = "narrow", "a test", True, (1, 4, 4), 2, 3

        def options(self):
            return {}

        def decisions(self, depth):
            earlier = tuple(range(1, depth))
            return Decision("f", ("1", "2", "4")), Decision("inputs", tuple(map(str, earlier)), "inputs", earlier)

        def legal(self, prefix, chosen):
            return (*(True,) * (len(prefix) - 1), False)[: len(prefix)] if chosen else (False, True, True)

        def state(self, prefix):
            return None

    space = DecisionSpace(Narrow())
    assert size_of(space) == Size(2**3 * 2, is_exact=True)
    assert walked(space) == 16
