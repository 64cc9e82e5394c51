"""The mixed supernet of whole networks of ENAS."""

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.networks.mixed import Mix, MixedNetwork, soft_mix
from replaytree.space.catalogue import named_space
from replaytree.space.mixtures import mixture_of

SMALL = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 4, "channels": 8}


def of(share=1, **options):
    space = named_space("enas-macro", **SMALL | options)
    return space, mixture_of(space, share=share)


def test_an_operation_a_layer_and_a_number_for_each_earlier_map():
    _, own = of()
    assert [(mixing.name, len(mixing.options), mixing.kind) for mixing in own.graph.decisions] == [
        ("1 operation", 6, "choice"),
        ("2 operation", 6, "choice"), ("2 inputs", 1, "inputs"),
        ("3 operation", 6, "choice"), ("3 inputs", 2, "inputs"),
        ("4 operation", 6, "choice"), ("4 inputs", 3, "inputs"),
    ]  # fmt: skip


def test_maps_join_whose_weight_is_over_a_half():
    space, own = of()
    rows = [[0.1] * len(mixing.options) for mixing in own.graph.decisions]
    rows[0][4], rows[3][1] = 0.2, 0.2
    rows[4] = [0.5, 0.51]
    rows[6] = [0.9, 0.2, 0.8]
    assert space.labels(own.derive(rows)) == ("avg3", "conv3", "sep3+1", "conv3+0+2")


def test_a_path_is_what_its_own_weights_say():
    space, own = of()
    path = space.parse("sep5 conv5+0 max3 avg3+0+1+2")
    assert own.derive(own.rows(path)) == path
    assert own.rows(path)[4] == (0.0, 0.0)


def test_a_layer_is_the_operation_and_the_maps_that_join_it():
    """The nodes are those of the space's own network; a path without poolings is that network, batch norms aside."""
    space, own = of()
    network = MixedNetwork(own.graph)
    path = space.parse("conv3 sep5+0 conv5+1 sep3+0+2")
    rows = Mix.of_rows(own.rows(path), torch.device("cpu"))
    operations = dict(zip(("layer1", "layer2", "layer3", "layer4"), (0, 3, 2, 1), strict=True))
    found = [
        tuple(parameter.shape)
        for name, parameter in network.named_parameters()
        if parameter.ndim == 4
        and (name.startswith("layers") or int(name.split(".")[2]) == operations[name.split(".")[1].rpartition("_")[0]])
    ]
    built = [tuple(parameter.shape) for parameter in space.build(path).parameters() if parameter.ndim == 4]
    assert sorted(found) == sorted(built)
    assert network(torch.randn(2, 1, 8, 8), rows).shape == (2, 10)


@pytest.mark.parametrize("share", [1, 4])
def test_every_number_has_a_gradient(share):
    _, own = of(share)
    numbers = [torch.zeros(len(mixing.options), requires_grad=True) for mixing in own.graph.decisions]
    MixedNetwork(own.graph)(torch.randn(4, 1, 8, 8), soft_mix(own.graph.decisions, numbers)).square().sum().backward()
    assert all(number.grad is not None and bool(number.grad.abs().max() > 0) for number in numbers)


@pytest.mark.parametrize(
    ("share", "options", "said"),
    [(1, {"final": True}, "leave out --final"), (4, {"channels": 6}, "no multiple of 4")],
)
def test_supernets_that_cannot_be(share, options, said):
    with pytest.raises(SpaceError, match=said):
        of(share, **options)
