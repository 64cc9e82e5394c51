import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd.graph import saved_tensors_hooks

from replaytree.networks.heads import Heads
from replaytree.space import (
    Convolution,
    LayerSpace,
    Pooling,
    ResidualBlock,
    batches_of_paths,
    prefixes,
    trie_cost,
    xu24,
)
from replaytree.space.building import build_layer
from replaytree.space.layers import FactorizedReduction, NormedConvolution, NormedSum
from replaytree.space.trie import HEAD_HIDDEN, head_grid, head_units

SPACE = LayerSpace(
    [Convolution(8, 3), Pooling("max", 2, 2), ResidualBlock(16, 2)], input_shape=(1, 8, 8), num_classes=10, max_layers=4
)
CONV, POOL, RES = 0, 1, 2


def test_prefixes_are_distinct_and_depth_first():
    assert prefixes([(1, 0), (0, 2, 1), (0, 2), (1, 0)]) == ((0,), (0, 2), (0, 2, 1), (1,), (1, 0))
    assert prefixes([]) == ()


def test_the_cost_of_a_trie_by_hand():
    cost = trie_cost(SPACE, [(CONV, POOL), (CONV, RES), (CONV,)])
    # 8x8x8 after the convolution, 8x4x4 after the pooling, 16x4x4 after the block.
    conv, pool, res = 9 * 8 * 64, 0, (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16) * 16
    # Each node has a head: 32 units (the block's: 64) with batch norm on each of 4x4 cells, and a linear layer.
    assert cost.flops == conv + pool + 2 * (16 * 8 * 32 + 320) + res + (16 * 16 * 64 + 640)
    heads = 2 * (8 * 32 + 2 * 32 + 330) + (16 * 64 + 2 * 64 + 650)
    assert cost.params == (72 + 16) + (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16 + 3 * 32) + heads
    heads = 2 * (16 * (8 + 32 + 32) + 32) + (16 * (16 + 64 + 64) + 64)
    assert cost.activations == 2 * 512 + 3 * 128 + 5 * 256 + heads
    assert cost.train_bytes(64) == 4 * (4 * cost.params + 64 * cost.activations)


def test_a_chain_costs_what_the_space_says_and_its_inner_heads():
    path = (CONV, RES, POOL)
    params, flops = SPACE.cost(path)
    cost = trie_cost(SPACE, [path])
    # The space counts one head, a linear layer on 16 averages; the trie's third reads 2x2 cells.
    assert cost.params - params == 650 + 1802 + 1802 - 170
    assert cost.flops - flops == (16 * 8 * 32 + 320) + (16 * 16 * 64 + 640) + (4 * 16 * 64 + 640) - 160


def test_units_are_four_a_channel_512_at_most_and_none_where_nothing_was_learnt():
    layers = [Convolution(127, 1), Convolution(200, 1), Pooling("avg", 2, 2)]
    space = LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=3)
    assert [head_units(space, node) for node in [(0,), (1,), (2,), (2, 2), (2, 2, 1)]] == [508, 512, 0, 0, 512]
    assert head_units(space, (2, 0), hidden=1) == 127
    # A linear head on one channel: as many numbers as classes, and a bias.
    cost = trie_cost(space, [(2,)])
    assert (cost.params, cost.flops, cost.activations) == (20, 10, layers[2].activations((1, 8, 8)) + 1)
    assert trie_cost(space, [(0,)], hidden=0).params == 127 + 2 * 127 + 128 * 10


def test_heads_read_4x4_cells_behind_the_first_two_layers_and_then_2x2():
    space = LayerSpace([Convolution(8, 3), Pooling("max", 2, 2)], input_shape=(1, 16, 12), num_classes=2, max_layers=4)
    assert [head_grid(space, (0,) * depth) for depth in (1, 2, 3, 4)] == [(4, 4), (4, 4), (2, 2), (2, 2)]
    assert [head_grid(space, (1,) * depth) for depth in (1, 2, 3)] == [(4, 4), (4, 3), (2, 1)]


@pytest.mark.parametrize("hidden", [0, HEAD_HIDDEN])
@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 4, 4), (6, 1, 1), (200, 2, 2)])
def test_the_activations_of_a_head_are_what_autograd_keeps(shape, hidden):
    images, kept = 4, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    layer = Convolution(shape[0], 1)
    space = LayerSpace([layer], input_shape=shape, num_classes=10, max_layers=1)
    units = head_units(space, (0,), hidden)
    head = Heads([shape], [head_grid(space, (0,))], [units], 10, passes_on=[0.5])
    features = torch.randn(images, *shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        head({0: head.read(0, features)[1]})
    for known in (features, *head.parameters()):
        kept.pop(known.untyped_storage().data_ptr(), None)
    estimated = trie_cost(space, [(0,)], hidden=hidden).activations - layer.activations(shape)
    # A few numbers a unit are not counted.
    assert 0 <= sum(kept.values()) / 4 - images * estimated <= 6 * units


NORMED = [
    *(NormedConvolution(16, 3, separable) for separable in (False, True)),
    *(NormedConvolution(16, 3, True, relu) for relu in ("before", "both", "none")),
    FactorizedReduction(16),
    NormedSum(),
]


@pytest.mark.parametrize("layer", [*xu24(0.25), Pooling("avg", 3, 1), *NORMED], ids=repr)
@pytest.mark.parametrize("channels", [3, 16])
def test_activations_are_what_autograd_keeps(layer, channels):
    images, shape = 4, (channels, 8, 8)
    module = build_layer(layer, shape).train()
    kept = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    features = torch.randn(images, *shape, requires_grad=True)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(features)
        output.mul(torch.rand_like(output))  # what follows keeps the output: the next layer's input
    # The input belongs to the layer before; the random factor and a few numbers a channel are not of the layer.
    kept.pop(features.untyped_storage().data_ptr(), None)
    kept[output.untyped_storage().data_ptr()] = output.untyped_storage().nbytes()
    measured = sum(kept.values()) - 4 * output.numel()
    assert 0 <= measured / 4 - images * layer.activations(shape) <= 20 * max(output.shape[1], channels)


paths_of_the_space = st.lists(
    st.lists(st.sampled_from([CONV, RES]), min_size=1, max_size=3).map(tuple), min_size=1, max_size=8
)


@given(paths=paths_of_the_space, limit=st.integers(0, 2_000_000))
def test_batches_hold_every_path_once_and_fit(paths, limit):
    batches = batches_of_paths(SPACE, paths, batch_size=16, memory_bytes=limit)
    assert sorted(index for batch in batches for index in batch) == list(range(len(paths)))
    for batch in batches:
        own = [paths[index] for index in batch]
        assert len(set(own)) == len(own)
        assert len(own) == 1 or trie_cost(SPACE, own).train_bytes(16) <= limit


def test_without_a_limit_only_equal_paths_are_parted():
    paths = [(CONV, RES), (POOL,), (CONV, RES), (CONV, CONV)]
    assert batches_of_paths(SPACE, paths, batch_size=64) == [(0, 1, 3), (2,)]


def test_paths_that_share_most_come_together_where_memory_is_short():
    paths = [(CONV, CONV, RES), (RES, CONV, CONV), (CONV, CONV, POOL), (RES, CONV, POOL)]
    limit = max(trie_cost(SPACE, [paths[a], paths[b]]).train_bytes(64) for a, b in ((0, 2), (1, 3)))
    assert batches_of_paths(SPACE, paths, batch_size=64, memory_bytes=limit) == [(0, 2), (1, 3)]
