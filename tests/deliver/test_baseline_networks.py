"""Baselines have the parameters and multiply-adds that are published, and fit any limits."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from replaytree.deliver.baseline_networks import BASELINES, WIDTHS, fitted
from replaytree.errors import ConfigError
from replaytree.space.building import build
from replaytree.space.layers import SeparableConvolution

SMALL = (3, 32, 32)


def network(name, shape=SMALL, classes=10, width=1.0):
    return BASELINES[name].make(shape, classes, width)


def counted(module, shape):
    """The multiply-adds that PyTorch counts for one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", BASELINES)
def test_the_graph_counts_what_its_modules_have(name):
    graph = network(name, width=0.25)
    module = build(graph)
    assert sum(each.numel() for each in module.parameters()) == graph.params
    assert counted(module, SMALL) == graph.flops
    assert module(torch.zeros(2, *SMALL)).shape == (2, 10)


def test_resnet8_is_that_of_mlperf_tiny():
    """Keras counts 78,666 parameters. 480 of them are moving averages, 336 biases, which batch norm has instead, and
    the two shortcuts, of 32 and 64 channels, have batch norm here: 2 numbers a channel.
    """
    graph = network("resnet8")
    assert graph.params == 78_666 - 480 - 336 + 2 * (32 + 64)
    assert graph.flops == 12_501_632
    assert graph.end_shape == (64, 8, 8)


def test_ds_cnn_is_that_of_mlperf_tiny():
    """Of keywords: 24,908 parameters, of which 1,152 are moving averages and 576 biases before batch norm.

    Multiply-adds on 25x5 places: 40 x 64 of the first kernel, four times 64 x (9 + 64), and 64 x 12 of the last layer.
    """
    graph = network("ds-cnn", (1, 49, 10), 12)
    assert graph.params == 24_908 - 1_152 - 576
    assert graph.flops == 125 * (40 * 64 + 4 * 64 * (9 + 64)) + 64 * 12
    square = network("ds-cnn", (1, 32, 32), 12)
    assert [node.layer.label for node in square.nodes] == ["conv64k3s2", *["sep64k3"] * 4]
    assert isinstance(square.nodes[-1].layer, SeparableConvolution)


def test_resnet18_is_that_of_torchvision_with_a_small_stem():
    theirs = resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = build(network("resnet18"))
    shapes = [sorted(tuple(each.shape) for each in net.state_dict().values()) for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert network("resnet18").flops == counted(theirs, SMALL)
    # The same weights, in the order in which the layers are called, give the same logits.
    order = sorted(theirs.state_dict(), key=lambda name: ("fc" in name, name.startswith("layer"), name))
    mine = list(ours.state_dict().values())
    for mine_each, name in zip(mine, _called(order), strict=True):
        mine_each.copy_(theirs.state_dict()[name])
    images = torch.randn(2, *SMALL)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-4, atol=1e-4)


def _called(names):
    """Names of torchvision with the shortcut of a block behind its branch, as here."""
    blocks = {}
    for name in names:
        block = ".".join(name.split(".")[:2]) if name.startswith("layer") else name.split(".")[0]
        blocks.setdefault(block, []).append(name)
    parts = ("conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1")
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def place(name):
        part = next((i for i, each in enumerate(parts) if f".{each}." in f".{name}."), 0)
        return part, kinds.index(name.split(".")[-1])

    return [name for block in ("conv1", "bn1", *[b for b in blocks if b.startswith("layer")], "fc")
            for name in sorted(blocks[block], key=place)]  # fmt: skip


def test_a_linear_model_reads_every_pixel_and_has_one_size():
    found = fitted("linear", SMALL, 10, limits={"params": 10})
    assert (found.label, found.graph.params) == ("linear", 3 * 32 * 32 * 10 + 10)
    assert not found.graph.is_normed


@pytest.mark.parametrize("limits", [{"params": 30_000, "flops": None}, {"params": 10**9, "flops": 12_500_000}])
def test_a_baseline_is_as_wide_as_the_limits_allow(limits):
    found = fitted("resnet8", SMALL, 10, limits=limits)
    wider = network("resnet8", width=WIDTHS[WIDTHS.index(found.width) + 1])
    given = {cost: limit for cost, limit in limits.items() if limit is not None}
    assert all(getattr(found.graph, cost) <= limit for cost, limit in given.items())
    assert any(getattr(wider, cost) > limit for cost, limit in given.items())
    assert found.label == f"resnet8-w{found.width:.3g}"


def test_without_limits_it_is_as_published():
    assert fitted("resnet18", SMALL, 10, limits={}).label == "resnet18"
    assert fitted("resnet8", SMALL, 10, limits={"params": 78_042}).label == "resnet8"


def test_what_cannot_be_made_so_small_says_how_small_it_gets():
    # Narrowest: 1, 1, 2 and 4 channels. 27 + 2; 18 + 4; 18 + 36 + 2 + 12; 72 + 144 + 8 + 24; 4 x 10 + 10.
    least = 29 + 22 + 68 + 248 + 50
    with pytest.raises(
        ConfigError, match=rf"no form of resnet8 has at most 400 parameters: its narrowest has {least} parameters"
    ):
        fitted("resnet8", SMALL, 10, limits={"params": 400})
    assert fitted("resnet8", SMALL, 10, limits={"params": least}).width == 1 / 16


def test_images_that_are_too_small_are_named():
    with pytest.raises(ConfigError, match="resnet18 does not take images of 1x4x4: layer 8, res512s2"):
        fitted("resnet18", (1, 4, 4), 10, limits={"params": 1000})
    with pytest.raises(ConfigError, match="'resnet9' is not a baseline; these are: resnet8, "):
        fitted("resnet9", SMALL, 10, limits={})


def test_memory_is_a_limit_too_and_what_is_unknown_is_within_none():
    found = fitted("resnet8", SMALL, 10, limits={"ram_bytes": 20_000})
    wider = network("resnet8", width=WIDTHS[WIDTHS.index(found.width) + 1])
    assert found.graph.ram_bytes <= 20_000 < wider.ram_bytes
    with pytest.raises(ConfigError, match="at most 20,000 bytes of RAM: its narrowest has an unknown number of bytes"):
        fitted("mobilenet-v3-small", SMALL, 10, limits={"ram_bytes": 20_000})
