import re
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.space import (
    Classifier,
    Concatenation,
    Convolution,
    CustomLayer,
    LayerSpace,
    Pooling,
    ResidualBlock,
    chain,
    xu24,
)
from replaytree.space.building import build, build_layer
from replaytree.space.layers import FactorizedReduction, NormedConvolution, NormedSum
from replaytree.space.layers.modules.residual import ResidualModule
from replaytree.space.layers.modules.subsampled import SubsampledConv2d

OTHERS = (Convolution(6, 1), Convolution(6, 2), Convolution(6, 4, 2), Convolution(6, 7, 3), ResidualBlock(5, 3))
POOLS = (Pooling("avg", 2, 1), Pooling("max", 4, 2), Pooling("avg", 5, 1), Pooling("max", 2, 3))
NORMED = (
    *(NormedConvolution(6, 5, separable, relu) for separable in (False, True) for relu in ("before", "after", "none")),
    NormedConvolution(6, 1, relu="both"),
    FactorizedReduction(7),
    NormedSum(),
)
LAYERS = (*xu24(width=0.25), *OTHERS, *POOLS, *NORMED)
SHAPES = [(1, 1, 1), (3, 32, 32), (8, 8, 8), (8, 7, 5), (1, 28, 28), (32, 2, 2), (16, 2, 1), (3, 3, 3)]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.label)
def test_shape_and_cost_are_those_of_the_module(layer):
    for shape in SHAPES:
        if layer.output_shape(shape) is None:
            continue
        with torch.device("meta"):
            module = build_layer(layer, shape).eval()
        with FlopCounterMode(display=False) as counter:
            output = module(torch.empty(2, *shape, device="meta"))
        assert tuple(output.shape) == (2, *layer.output_shape(shape)), shape
        assert sum(p.numel() for p in module.parameters()) == layer.params(shape), shape
        assert counter.get_total_flops() == 2 * 2 * layer.flops(shape), shape


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.label)
def test_gradients_flow_and_the_input_stays_as_it_was(layer):
    module = build_layer(layer, (8, 7, 5))
    leaf = torch.randn(4, 8, 7, 5, requires_grad=True)
    features = leaf * 1.0
    before = features.detach().clone()
    module(features).square().sum().backward()
    assert torch.equal(features, before)
    assert leaf.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_every_head_of_a_chain_can_be_trained_at_once():
    torch.manual_seed(0)
    images, shape, loss = torch.randn(4, 3, 8, 8), (3, 8, 8), torch.zeros(())
    features, modules = images, nn.ModuleList()
    for layer in xu24(width=0.25):
        if (after := layer.output_shape(shape)) is None:
            continue
        trunk, head = build_layer(layer, shape), build_layer(Classifier(3), after)
        features, shape = trunk(features), after
        loss = loss + head(features).square().mean()
        modules.extend([trunk, head])
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in modules.parameters())


def test_average_pooling_does_not_count_its_padding():
    module = build_layer(Pooling("avg", 3, 1), (1, 2, 2))
    assert torch.equal(module(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))


def test_an_even_kernel_sees_one_pixel_up_and_left_and_two_down_and_right():
    pad, convolution, *_ = build_layer(Convolution(1, 4), (1, 5, 5))
    nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        convolution.weight[0, 0, 0, 0] = convolution.weight[0, 0, 3, 3] = 1.0
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1.0
    assert convolution(pad(image))[0, 0].nonzero().tolist() == [[0, 0], [3, 3]]


def test_a_residual_block_adds_its_input():
    block = build_layer(ResidualBlock(4), (4, 6, 6))
    assert isinstance(block, ResidualModule)
    assert isinstance(block.shortcut, nn.Identity)
    nn.init.zeros_(block.branch[-1].weight)
    features = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(features), features.relu())


@pytest.mark.parametrize("groups", [1, 2])
def test_a_strided_1x1_convolution_subsamples_first_and_is_the_same_function(groups):
    plain = nn.Conv2d(4, 6, 1, (2, 3), groups=groups)
    layer = CustomLayer("own", lambda shape: nn.Sequential(nn.Conv2d(4, 6, 1, (2, 3), groups=groups)))
    module = build_layer(layer, (4, 7, 8))
    assert [type(part) for part in module] == [SubsampledConv2d]
    assert list(module.state_dict()) == ["0.weight", "0.bias"]
    module[0].load_state_dict(plain.state_dict())
    features = torch.randn(3, 4, 7, 8)
    assert torch.allclose(module(features), plain(features), atol=1e-6)
    assert module(features).shape == (3, 6, 4, 3)


def test_no_strided_1x1_convolution_is_left_to_onednn():
    block = build_layer(ResidualBlock(8, 2), (4, 8, 8))
    assert isinstance(block.shortcut[0], SubsampledConv2d)
    assert next(iter(block.shortcut.state_dict())) == "0.weight"
    assert isinstance(build_layer(Convolution(8, 1, 2), (4, 8, 8))[0], SubsampledConv2d)
    # Neither a 3x3 nor a padded 1x1 convolution can be subsampled first; without a stride nothing need be.
    for kernel, stride, padding in ((3, 2, 1), (1, 2, 1), (1, 1, 0)):
        own = CustomLayer("own", lambda shape, a=(kernel, stride, padding): nn.Sequential(nn.Conv2d(4, 6, *a)))
        assert type(build_layer(own, (4, 8, 8))[0]) is nn.Conv2d


@pytest.mark.parametrize("layer", NORMED, ids=repr)
def test_what_is_exported_is_the_same_module(layer):
    names = {"torch": torch, "nn": nn}
    for definition in layer.definitions:
        exec(definition, names)
    for shape in ((4, 6, 6), (4, 7, 5)):
        module, written = build_layer(layer, shape), eval(layer.source(shape), names)
        written.load_state_dict(module.state_dict())
        features = torch.randn(3, *shape)
        assert torch.allclose(module(features), written(features), atol=1e-6)


def test_a_separable_convolution_starts_from_the_variance_that_its_channels_have():
    torch.manual_seed(0)
    depthwise, pointwise, *_ = build_layer(NormedConvolution(512, 3, separable=True), (512, 8, 8))
    assert depthwise.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert pointwise.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.05)


@pytest.mark.parametrize(("sides", "odd"), [((2, 4), [5, 7]), ((3, 3), [4, 0, 0, 0])])
def test_a_factorized_reduction_reads_even_pixels_and_odd_ones(sides, odd):
    module = build_layer(FactorizedReduction(2), (1, *sides)).eval()
    module.norm.eps = 0.0
    for convolution in (module.even, module.odd):
        nn.init.ones_(convolution.weight)
    height, width = sides
    image = torch.arange(float(height * width)).reshape(1, 1, height, width)
    assert module(image)[0].flatten(1).tolist() == [{2: [0, 2], 3: [0, 2, 6, 8]}[height], odd]


def test_a_sum_adds_maps_of_one_shape():
    layer, shape = NormedSum(), (2, 3, 3)
    module = build_layer(layer, shape, shape, shape).eval()
    module.norm.eps = 0.0
    assert torch.equal(
        module(*(torch.full((1, *shape), value) for value in (1.0, 2.0, 4.0))), torch.full((1, *shape), 7.0)
    )
    assert (layer.params(shape, shape), layer.flops(shape, shape), layer.activations(shape, shape)) == (4, 0, 36)
    with pytest.raises(
        SpaceError, match="sum is illegal here: it adds feature maps of one shape, and these are 2x3x3, 2x3x4"
    ):
        build_layer(layer, shape, (2, 3, 4))
    with pytest.raises(SpaceError, match="sum is illegal here: it needs at least one feature map"):
        build_layer(layer)


def test_a_head_may_have_no_bias():
    head = Classifier(3, bias=False)
    module = build_layer(head, (5, 4, 2))
    assert head.params((5, 4, 2)) == sum(p.numel() for p in module.parameters()) == 15
    written = eval(head.source((5, 4, 2)), {"nn": nn, "OrderedDict": OrderedDict})
    assert list(written.state_dict()) == list(module.state_dict()) == ["linear.weight"]
    with pytest.raises(SpaceError, match="bias of a Classifier is 0; it must be True or False"):
        Classifier(3, bias=0)


def test_he_initialisation_and_no_bias():
    torch.manual_seed(0)
    convolution, norm, _ = build_layer(Convolution(64, 3), (64, 8, 8))
    assert convolution.bias is None
    assert convolution.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert torch.equal(norm.weight, torch.ones(64))


def test_the_head_is_the_mean_over_pixels_and_a_linear_layer():
    head = build_layer(Classifier(3), (5, 4, 3))
    features = torch.randn(2, 5, 4, 3)
    assert torch.allclose(head(features), head.linear(features.mean((2, 3))), atol=1e-6)


def test_a_network_reads_like_its_path():
    network = build(chain([ResidualBlock(8), Pooling("avg", 2, 2)], input_shape=(3, 8, 8), head=Classifier(4)))
    assert [name for name, _ in network.named_children()] == ["layer1_res8", "layer2_avg2s2", "head"]
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 4)


def test_illegal_layers_are_not_built():
    with pytest.raises(SpaceError, match="avg2s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        build_layer(Pooling("avg", 2, 2), (8, 1, 1))
    with pytest.raises(SpaceError, match=r"layer 2, avg2s2, is illegal there: stride 2 needs .* map is 3x1x1"):
        build(chain([Pooling("avg", 2, 2)] * 2, input_shape=(3, 2, 2), head=Classifier(4)))


def separable(shape):
    return nn.Sequential(nn.Conv2d(shape[0], shape[0], 3, padding=1, groups=shape[0]), nn.Conv2d(shape[0], 16, 1))


def test_a_custom_layer_is_measured_once_for_each_shape():
    built = []
    layer = CustomLayer("sep16.k3", lambda shape: built.append(shape) or separable(shape))
    for _ in range(2):
        assert layer.output_shape((4, 8, 8)) == (16, 8, 8)
        assert layer.params((4, 8, 8)) == 4 * 9 + 4 + 4 * 16 + 16
        assert layer.flops((4, 8, 8)) == (4 * 9 + 4 * 16) * 64
    assert built == [(4, 8, 8)]
    space = LayerSpace([layer, Pooling("max", 2, 2)], input_shape=(3, 4, 4), num_classes=2, max_layers=3)
    network = space.build((0, 1, 0))
    assert network.layer1_sep16_k3[1].out_channels == 16
    assert network(torch.randn(2, 3, 4, 4)).shape == (2, 2)
    assert sum(p.numel() for p in network.parameters()) == space.cost((0, 1, 0))[0]


def test_a_custom_layer_with_batch_norm_is_measured_at_one_pixel():
    layer = CustomLayer("bn", lambda shape: nn.BatchNorm2d(shape[0]))
    assert layer.output_shape((4, 1, 1)) == (4, 1, 1)
    assert (layer.params((4, 1, 1)), layer.flops((4, 1, 1))) == (8, 0)


class Pair(nn.Module):
    def forward(self, features):
        return features, features


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (lambda shape: nn.MaxPool2d(9), "layer 'mine' could not be measured at 4x8x8: "),
        (
            lambda shape: 1 / 0,
            "layer 'mine' could not be measured at 4x8x8: division by zero; fix its builder, or give",
        ),
        (lambda shape: "conv", "the builder of layer 'mine' returned 'conv'; it must be an nn.Module"),
        (lambda shape: nn.ReLU(inplace=True), "layer 'mine' changes its input; take inplace=True from what reads it"),
        (
            lambda shape: nn.Flatten(),
            "the output shape of layer 'mine' is (256,); it must be (channels, height, width)",
        ),
        (lambda shape: Pair(), "the output shape of layer 'mine' is (tensor("),
    ],
)
def test_custom_layers_that_cannot_be_measured(builder, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        CustomLayer("mine", builder).output_shape((4, 8, 8))


def test_a_concatenation_pads_smaller_maps_at_right_and_below():
    layer = Concatenation()
    shapes = ((1, 3, 2), (2, 2, 5))
    assert layer.output_shape(*shapes) == (3, 3, 5)
    assert (layer.params(*shapes), layer.flops(*shapes), layer.activations(*shapes)) == (0, 0, 45)
    tall, wide = (torch.rand(4, *shape) + 1 for shape in shapes)
    expected = torch.zeros(4, 3, 3, 5)
    expected[:, :1, :3, :2] = tall
    expected[:, 1:, :2, :5] = wide
    names = {"torch": torch, "nn": nn}
    for definition in layer.definitions:
        exec(definition, names)
    for module in (build_layer(layer, *shapes), eval(layer.source(*shapes), names)):
        assert torch.equal(module(tall, wide), expected)
    with pytest.raises(SpaceError, match="concat is illegal here: it needs at least one feature map"):
        build_layer(layer)


def test_a_head_reads_every_value_where_it_flattens():
    head, shape = Classifier(3, "flatten"), (5, 4, 2)
    module = build_layer(head, shape)
    features = torch.randn(2, *shape)
    assert torch.equal(module(features), module.linear(features.flatten(1)))
    assert head.params(shape) == sum(p.numel() for p in module.parameters()) == (40 + 1) * 3
    assert (head.flops(shape), head.activations(shape)) == (120, 40)
    written = eval(head.source(shape), {"nn": nn, "OrderedDict": OrderedDict})
    assert list(written.state_dict()) == list(module.state_dict()) == ["linear.weight", "linear.bias"]
    for wrong, message in (({"num_classes": 0}, "num_classes of a Classifier is 0"), ({"pool": "max"}, "is 'max'; it")):
        with pytest.raises(SpaceError, match=message):
            Classifier(**{"num_classes": 3, **wrong})
