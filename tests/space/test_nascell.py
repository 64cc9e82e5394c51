import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.space.catalogue import about, named_space
from replaytree.space.coding import count

DIGITS = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3}
SPACES = {flag: named_space("nascell", **DIGITS, two_dimensional=flag) for flag in (True, False)}


def test_the_published_network_has_507_993_parameters():
    published = about("nascell").published["readme"]
    space = named_space("nascell", input_shape=(1, 28, 28), num_classes=10, max_layers=2, two_dimensional=False)
    path = space.parse(published.path)
    first, second, head = 61 * 24 + 24, 57 * 24 * 55 + 55, 784 * 55 * 10 + 10
    assert (first, second, head) == (1_488, 75_295, 431_210)
    assert space.cost(path) == (507_993, 784 * (61 * 24 + 57 * 24 * 55) + head - 10)
    assert sum(each.numel() for each in space.build(path).parameters()) == 507_993
    assert published.params == 507_993
    graph = space.network(path)
    assert [node.name for node in graph.nodes] == ["layer1_unrolled", "layer1_conv24k61p60", "layer2_conv55k57p59"]
    assert graph.shapes == ((1, 784, 1), (24, 784, 1), (55, 784, 1))


def test_in_two_dimensions_windows_are_squares():
    space = SPACES[True]
    path = space.parse("kernel3-filters16-pool2-dropout0.1 kernel5-filters8-pool1-dropout0")
    assert space.network(path).labels == ("conv16k3p2d0.1", "conv8k5")
    first, second, head = 9 * 16 + 16, 25 * 16 * 8 + 8, 64 * 8 * 10 + 10
    flops = 64 * (9 * 16 + 25 * 16 * 8) + head - 10
    assert space.cost(path) == (first + second + head, flops)
    network = space.build(path).eval()
    assert sum(each.numel() for each in network.parameters()) == first + second + head
    with FlopCounterMode(display=False) as counter:
        assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert counter.get_total_flops() == 2 * flops


def test_the_options():
    assert count(SPACES[True].decisions(1)) == 4 * 6 * 4 * 4
    assert count(SPACES[False].decisions(3)) == 7 * 6 * 7 * 4
    for space in SPACES.values():
        assert [each.name for each in space.decisions(2)] == ["kernel", "filters", "pool", "dropout"]
        rates = [float(option) for option in space.decisions(2)[3].options]
        assert rates[0] == 0
        assert all(0 < rate < 1 for rate in rates[1:])


def test_everything_is_legal_up_to_max_layers_and_nothing_behind():
    for space in SPACES.values():
        path = space.parse(" ".join([space.label((), count(space.decisions(1)) - 1)] * 3))
        for depth in range(3):
            assert all(all(space.legal(path[:depth], (0,) * chosen)) for chosen in range(4))
        assert not any(space.legal(path))


@given(data=st.data(), two_dimensional=st.booleans())
def test_labels_are_read_back_and_layers_follow_them(data, two_dimensional):
    space = SPACES[two_dimensional]
    actions = st.integers(0, count(space.decisions(1)) - 1)
    path = tuple(data.draw(st.lists(actions, min_size=1, max_size=3)))
    labels = space.labels(path)
    assert space.parse(" ".join(labels)) == path
    layers = [node.layer for node in space.network(path).nodes if node.name != "layer1_unrolled"]
    written = [f"kernel{each.kernel}-filters{each.channels}-pool{each.pool}-dropout{each.dropout:g}" for each in layers]
    assert written == list(labels)
    assert all(each.one_dimensional is not two_dimensional for each in layers)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("kernel2-filters16-pool2-dropout0", "layer 1 is 'kernel2-filters16-pool2-dropout0', which is not in this"),
        ("kernel3-filters16-pool2-dropout5", "write it as in 'kernel1-filters8-pool1-dropout0'"),
    ],
)
def test_a_path_that_is_none(label, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        SPACES[True].parse(label)


def test_an_option_that_is_no_bool():
    with pytest.raises(SpaceError, match="two_dimensional is 1; it must be True or False"):
        named_space("nascell", **DIGITS, two_dimensional=1)
