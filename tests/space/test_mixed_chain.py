"""The mixed supernet of chains: what is mixed, with which weights, and what is derived."""

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.networks.mixed import Mix, MixedNetwork, soft_mix
from replaytree.space import Convolution, CustomLayer, LayerSpace
from replaytree.space.catalogue import named_space
from replaytree.space.mixtures import mixture_of

SMALL = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3}


def of(name, share=1, **options):
    space = named_space(name, **SMALL | options)
    return space, mixture_of(space, share=share)


def test_layers_halve_the_map_behind_each_third_and_nowhere_else():
    _space, own = of("xu24", max_layers=6, width=0.125)
    assert [node.shape for node in own.graph.nodes] == [
        (16, 8, 8), (16, 8, 8), (16, 4, 4), (16, 4, 4), (16, 2, 2), (16, 2, 2),
    ]  # fmt: skip
    options = [mixing.options for mixing in own.graph.decisions]
    # Nine convolutions, three residual blocks and two poolings of stride 1; three, three and four of stride 2.
    assert [len(each) for each in options] == [14, 14, 10, 14, 10, 14]
    assert set(options[2]) == {
        "conv32k3s2", "conv64k3s2", "conv128k3s2", "res32s2", "res64s2", "res128s2", "avg2s2", "avg3s2", "max2s2",
        "max3s2",
    }  # fmt: skip
    assert "res32" in options[0]
    assert "avg3s1" in options[0]


def test_a_pooling_that_rounds_down_is_left_out_of_odd_maps():
    _, own = of("xu24", input_shape=(1, 7, 7), width=0.125)
    # 2x2 pooling makes 3x3 of 7x7, and all others 4x4.
    assert len(own.graph.decisions[1].options) == 8
    assert "avg2s2" not in own.graph.decisions[1].options


def test_layers_that_differ_in_channels_alone_share_weights():
    _, own = of("xu24", width=0.125)
    [edge] = own.graph.nodes[0].edges
    # Kernels 3, 4 and 5, the residual block, two poolings.
    assert len(edge.options) == 6
    masks = [option.masks for option in edge.options if option.masks]
    assert [[channels for _, channels in each] for each in masks] == [[4, 8, 16]] * 4
    # conv32k3, conv64k3, conv128k3 are options 0, 3 and 6.
    assert [weight for weight, _ in masks[0]] == [(((0, 0),),), (((0, 3),),), (((0, 6),),)]


def test_a_layer_is_the_weighted_sum_of_padded_maps():
    space, own = of("xu24", max_layers=1, width=0.125)
    network = MixedNetwork(own.graph)
    network.head = torch.nn.Identity()
    images = torch.randn(4, 1, 8, 8)
    decisions = own.graph.decisions[0].options

    def alone(label):
        return network(images, Mix.of_rows(own.rows(space.parse(label)), torch.device("cpu")))

    wide, narrow = alone("conv128k5"), alone("conv32k5")
    assert torch.equal(narrow[:, :4], wide[:, :4])
    assert not narrow[:, 4:].any()
    weights = torch.zeros(len(decisions))
    weights[decisions.index("conv128k5")], weights[decisions.index("conv32k5")] = 0.25, 0.5
    torch.testing.assert_close(network(images, Mix([weights])), 0.25 * wide + 0.5 * narrow)


def test_the_narrow_layer_is_the_network_of_its_path():
    """What the supernet computes for a path of convolutions is its network with the leading parts of the weights."""
    space, own = of("xu24", max_layers=2, width=0.125)
    network = MixedNetwork(own.graph)
    path = space.parse("conv32k3 conv64k5")
    built = space.build(path, 10)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if parameter.ndim != 4:
                continue
            node = own.graph.nodes[0 if name.startswith("layer1") else 1]
            kernel = parameter.shape[-1]
            place = next(
                place
                for place, option in enumerate(node.edges[0].options)
                if isinstance(option.layers[0], Convolution) and option.layers[0].kernel == kernel
            )
            whole = next(p for p in network.options[f"{node.name}_0"][place].parameters())
            parameter.copy_(whole[: parameter.shape[0], : parameter.shape[1]])
    built[-1] = network.head = torch.nn.Identity()
    images = torch.randn(6, 1, 8, 8)
    found = network(images, Mix.of_rows(own.rows(path), torch.device("cpu")))
    torch.testing.assert_close(found[:, :8], built.train()(images), rtol=1e-4, atol=1e-5)
    assert not found[:, 8:].any()


def test_kind_and_channels_of_small_layers_are_decisions():
    _space, own = of("tiny", max_layers=2)
    first = own.graph.decisions[:2]
    assert [mixing.name for mixing in first] == ["1 kind", "1 channels"]
    assert first[0].options[-2:] == ("avg3", "max3")
    assert first[1].options == ("8", "16", "24", "32", "48", "64")
    numbers = [torch.randn(len(mixing.options)) for mixing in own.graph.decisions]
    mix = soft_mix(own.graph.decisions, numbers)
    [edge] = own.graph.nodes[0].edges
    weights = [w for option in edge.options for w in ([m for m, _ in option.masks] or [option.weight])]
    # Poolings have no channels to choose, and all together is a whole.
    assert len(weights) == 11 * 6 + 2
    assert sum(float(mix.weight(weight)) for weight in weights) == pytest.approx(1.0, abs=1e-6)


def test_what_is_derived_is_the_largest_of_each_decision():
    space, own = of("tiny")
    rows = [[0.1] * len(mixing.options) for mixing in own.graph.decisions]
    rows[0][2], rows[1][3] = 0.5, 0.4
    # A pooling has no channels, however much one number of channels weighs.
    rows[2][-1], rows[3][0] = 0.5, 0.9
    path = own.derive(rows)
    assert space.labels(path) == ("inverted2-32", "max3-s2", "separable3-8-s2")


@pytest.mark.parametrize("name", ["xu24", "tiny"])
def test_a_path_is_what_its_own_weights_say(name):
    space, own = of(name, max_layers=5, input_shape=(3, 16, 16))
    generator = torch.Generator().manual_seed(0)
    paths = set()
    for _ in range(20):
        rows = [tuple(torch.rand(len(mixing.options), generator=generator).tolist()) for mixing in own.graph.decisions]
        path = own.derive(rows)
        space.check(path)
        assert own.derive(own.rows(path)) == path
        paths.add(path)
    assert len(paths) == 20
    network = MixedNetwork(own.graph)
    images = torch.randn(2, 3, 16, 16)
    assert network(images, Mix.of_rows(own.rows(path), torch.device("cpu"))).shape == (2, 10)


def test_what_cannot_be():
    with pytest.raises(SpaceError, match=r"layers of tiny change the number of channels, .* choose --strategy"):
        of("tiny", share=4)
    with pytest.raises(SpaceError, match="layers of xu24 change the number of channels"):
        of("xu24", share=4)
    space, own = of("xu24")
    with pytest.raises(SpaceError, match=r"layer 1 of path .* is none that the supernet mixes there"):
        own.rows(space.parse("conv32k3s2 conv32k3 conv32k3"))
    with pytest.raises(
        SpaceError, match=r"no supernet that mixes the layers of zoph, .* choose --space darts or nasnet"
    ):
        of("zoph")
    layers = [Convolution(4, 3), CustomLayer("own", torch.nn.Identity)]
    with pytest.raises(SpaceError, match="no supernet that mixes the layers of this space"):
        mixture_of(LayerSpace(layers[:1], input_shape=(1, 8, 8), num_classes=2, max_layers=2))
