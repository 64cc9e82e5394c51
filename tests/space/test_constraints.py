import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replaytree.errors import ConfigError, SpaceError
from replaytree.space import ConstrainedSpace, Convolution, LabelSpace, LayerSpace, xu24
from replaytree.space.catalogue import named_space
from replaytree.space.coding import ended


def space(max_layers=4, layers=None):
    return LayerSpace(layers or xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=max_layers)


def walk(constrained, draw):
    path = ()
    while len(path) < constrained.max_layers:
        legal = [action for action, may in enumerate(constrained.legal(path)) if may]
        assert legal, f"a dead end after {path}"
        path = (*path, draw(st.sampled_from(legal)))
        yield path


@given(st.data(), st.integers(30, 30_000), st.integers(700, 500_000))
def test_every_prefix_obeys_and_there_is_always_a_legal_layer(data, max_params, max_flops):
    constrained = ConstrainedSpace(space(), max_params=max_params, max_flops=max_flops)
    for path in walk(constrained, data.draw):
        params, flops = constrained.cost(path)
        assert params <= max_params
        assert flops <= max_flops
        constrained.check(path)


@given(st.data(), st.integers(200, 5_000))
def test_without_a_layer_that_costs_nothing(data, max_params):
    layers = [Convolution(2, 3), Convolution(4, 3), Convolution(8, 3)]
    try:
        constrained = ConstrainedSpace(space(layers=layers), max_params=max_params)
    except SpaceError:
        # The cheapest path, 2 channels everywhere: 18 + 3 * 36 weights, 4 batch norms of 4, and the head of 30.
        assert max_params < 18 + 3 * 36 + 4 * 4 + 30
        return
    for path in walk(constrained, data.draw):
        assert constrained.cost(path)[0] <= max_params


def test_wide_limits_change_nothing():
    constrained, whole = ConstrainedSpace(space(), max_params=10**9, max_flops=10**12), space()
    for path in ((), (0,), (17, 0), (20, 20, 20), (0, 0, 0, 0)):
        assert constrained.legal(path) == whole.legal(path)
    assert constrained.labels == whole.labels
    assert constrained.build((0,), 10) is not None


def test_labels_with_costs():
    costs = {0: 5, 1: 1}
    labels = LabelSpace(["big", "small"], max_layers=3, cost=lambda path: (sum(costs[a] for a in path), 0))
    constrained = ConstrainedSpace(labels, max_params=7)
    assert constrained.legal(()) == (True, True)
    assert constrained.legal((0,)) == (False, True)
    assert ConstrainedSpace(labels, max_params=6).legal(()) == (False, True)


@given(st.data(), st.integers(70, 9000), st.integers(200, 20_000))
@settings(deadline=None, max_examples=25)
def test_every_prefix_keeps_to_its_memory(data, max_ram, max_flash):
    try:
        constrained = ConstrainedSpace(space(), max_ram=max_ram, max_flash=max_flash)
    except SpaceError:
        # Average pooling, whose head has 1 channel: the image of 64 and 16 pixels.
        assert max_ram < 64 + 16
        return
    for path in walk(constrained, data.draw):
        graph = constrained.network(path)
        assert graph.ram_bytes <= max_ram
        assert graph.flash_bytes <= max_flash


def test_the_limits_on_memory_tell_layers_apart():
    # The image of 64 and 8 channels, or 16, of 8x8; flash: weights, a bias a channel, and a head of 10 classes.
    layers = [Convolution(8, 3), Convolution(16, 3), Convolution(8, 3, 2)]
    whole = space(layers=layers, max_layers=1)
    assert ConstrainedSpace(whole, max_ram=64 + 8 * 64).legal(()) == (True, False, True)
    assert ConstrainedSpace(whole, max_ram=64 + 8 * 64 - 1).legal(()) == (False, False, True)
    flash = 8 * 9 + 4 * 8 + 8 * 10 + 4 * 10
    assert ConstrainedSpace(whole, max_flash=flash).legal(()) == (True, False, True)
    with pytest.raises(SpaceError, match=rf"--max-flash {flash - 1}: .* conv8k3, has {flash} bytes of flash with its"):
        ConstrainedSpace(whole, max_flash=flash - 1)


def test_the_limit_that_no_network_meets_is_told_with_the_least_there_is():
    layers = [Convolution(8, 3), Convolution(16, 3, 2)]
    whole = space(layers=layers, max_layers=1)
    # 64 + 16 * 16 is less RAM than 64 + 8 * 64, and conv8k3 has fewer parameters: the other limit is not to blame.
    message = (
        "no path of 1 layers obeys --max-ram 319: the cheapest first layer, conv16k3s2, has 320 bytes of RAM with its "
        "head; raise the limit, or give smaller images (--image-size)"
    )
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}$"):
        ConstrainedSpace(whole, max_params=200, max_ram=319)
    # Each limit alone is met, and both are not.
    with pytest.raises(SpaceError, match=r"--max-params 200 and --max-ram 320: .* parameters and .* bytes of RAM"):
        ConstrainedSpace(whole, max_params=200, max_ram=320)


def test_memory_that_is_not_known_cannot_be_limited():
    labels = LabelSpace(["a", "b"], max_layers=2, cost=lambda path: (1, 1))
    with pytest.raises(SpaceError, match="does not know what its networks need of memory, so max_ram cannot be kept"):
        ConstrainedSpace(labels, max_ram=100)
    cells = named_space("darts-rnn", input_shape=(1, 1, 1), num_classes=50, max_layers=2)
    with pytest.raises(SpaceError, match="so max_flash cannot be kept; leave it out"):
        ConstrainedSpace(cells, max_flash=10**9)


def test_what_cannot_be_obeyed():
    with pytest.raises(
        SpaceError, match=r"no path of 4 layers obeys --max-params 10: the cheapest .* has 20 parameters"
    ):
        ConstrainedSpace(space(), max_params=10)
    with pytest.raises(ConfigError, match=r"max_flops is 0.*\(--max-flops\)"):
        ConstrainedSpace(space(), max_flops=0)
    with pytest.raises(SpaceError, match="does not know what its layers cost"):
        ConstrainedSpace(LabelSpace(["a"], max_layers=2), max_params=10)


def test_a_whole_path_has_nothing_after_it_in_a_space_of_decisions():
    """Which has no decisions at a depth beyond its last."""
    constrained = ConstrainedSpace(
        named_space("zoph", input_shape=(1, 8, 8), num_classes=10, max_layers=2), max_params=10**6
    )
    path = constrained.parse("1x1f24 3x3f24@1")
    assert not any(constrained.legal(path))
    assert ended(constrained, path)


def test_limits_hold_for_recurrent_cells():
    # The first node has 4 H^2, each other one 2 H^2, and the embedding 10 H.
    small = named_space("enas-rnn", input_shape=(1, 1, 1), num_classes=10, max_layers=3, hidden=5)
    whole = small.parse("tanh relu@1 relu@2")
    assert small.cost(whole) == (250, 250)
    assert ConstrainedSpace(small, max_params=250).legal(whole[:2], (1,)) == (True,) * 4
    with pytest.raises(
        SpaceError, match="no path of 3 layers obeys --max-params 249: already the cheapest layers, tanh"
    ):
        ConstrainedSpace(small, max_params=249)
    plain = named_space("plain-rnn", input_shape=(1, 1, 1), num_classes=10, max_layers=2, hidden=5)
    # 2 H^2 + H against four times that, an embedding and a decoder's bias.
    assert ConstrainedSpace(plain, max_params=115).legal(()) == (True, False)
    assert ConstrainedSpace(plain, max_params=280).legal(()) == (True, True)
