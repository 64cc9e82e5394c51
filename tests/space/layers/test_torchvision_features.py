"""A network of torchvision as a layer: what it refuses, and its names."""

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.space.layers import TorchvisionFeatures, layer_from_json, layer_to_json
from replaytree.space.layers.modules.torchvision_features import Larger


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"name": "vgg"}, "name of a TorchvisionFeatures is 'vgg'; it must be mobilenet_v3_small or resnet18"),
        ({"name": "mobilenet_v3_small", "width": 1.5}, "width of a TorchvisionFeatures is 1.5; it must be above 0"),
        ({"name": "mobilenet_v3_small", "width": True}, "width of a TorchvisionFeatures is True"),
        ({"name": "resnet18", "width": 0.5}, "width of a TorchvisionFeatures is 0.5, and resnet18 has one width"),
        ({"name": "resnet18", "stem_stride": 3}, "stem_stride of a TorchvisionFeatures is 3; it must be at most 2"),
        ({"name": "resnet18", "upscale": 1000}, "upscale of a TorchvisionFeatures is 1000; it must be at most 64"),
    ],
)
def test_what_no_network_has_is_refused_also_from_a_file(values, line):
    with pytest.raises(SpaceError, match=line):
        layer_from_json({"type": "TorchvisionFeatures", **values})


def test_json_and_label():
    layer = TorchvisionFeatures("mobilenet_v3_small", 0.25, stem_stride=1, upscale=2)
    assert layer_from_json(layer_to_json(layer)) == layer
    assert layer.label == "mobilenet_v3_small-w0.25"
    assert TorchvisionFeatures("resnet18").label == "resnet18"


def test_the_stem_keeps_the_size_and_reads_any_channels():
    layer = TorchvisionFeatures("mobilenet_v3_small", 0.25, stem_stride=1)
    network = layer.module((5, 8, 8))
    assert network[1].weight.shape == (8, 5, 3, 3)
    assert network[1](torch.zeros(1, 5, 8, 8)).shape[2:] == (8, 8)
    assert layer.output_shape((5, 8, 8)) == tuple(network.eval()(torch.zeros(1, 5, 8, 8)).shape[1:])


def test_every_pixel_becomes_a_square():
    assert Larger(2)(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_batch_norm_keeps_up_with_short_trainings(name):
    found = [
        part.momentum for part in TorchvisionFeatures(name).module((3, 8, 8)).modules() if hasattr(part, "momentum")
    ]
    assert set(found) == {0.1}
