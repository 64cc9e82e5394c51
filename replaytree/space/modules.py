"""From layers to nn.Modules, which map feature maps of (images, channels, height, width) to feature maps.

No module changes its input: the feature map is also read by the classifier head of its own prefix. ReLUs are in place
only on tensors made inside the layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers import (
    Convolution,
    CustomLayer,
    Layer,
    Pooling,
    ResidualBlock,
    format_shape,
    why_illegal,
)
from replaytree.space.returned import require_shape


class SubsampledConv2d(nn.Conv2d):
    """A 1x1 convolution with a stride: subsampling, then the convolution without a stride.

    Function, parameters, FLOPs and state-dict keys are those of nn.Conv2d. On AVX-512 with several threads oneDNN 3.12
    (torch 2.14) writes out of bounds in the gradient of the strided form, and the process dies.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(images, channels, height, width), as in nn.Conv2d."""
        rows, columns = self.stride
        return functional.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias, groups=self.groups)


class ResidualModule(nn.Module):
    """relu(branch(x) + shortcut(x)); the module of a ResidualBlock."""

    def __init__(self, input_channels: int, channels: int, *, stride: int, projects: bool) -> None:
        super().__init__()
        # The branch's last batch norm starts at 1, not 0: at 0 a short training would rate an identity, not the block.
        self.branch = nn.Sequential(
            _convolution(input_channels, channels, kernel=3, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _convolution(channels, channels, kernel=3),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if projects:
            self.shortcut = nn.Sequential(
                _convolution(input_channels, channels, kernel=1, stride=stride), nn.BatchNorm2d(channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(images, input_channels, height, width) -> (images, channels, height / stride, width / stride)."""
        return torch.relu_(self.branch(features) + self.shortcut(features))


def build_layer(layer: Layer, input_shape: Shape) -> nn.Module:
    """The layer as a module, for feature maps of `input_shape`; SpaceError where it is illegal.

    Convolutions start from He's normal distribution (fan out); a CustomLayer from whatever its builder chose.
    """
    if layer.output_shape(input_shape) is None:
        raise SpaceError(f"{layer.label} is illegal here: {why_illegal(layer, input_shape)}")
    input_channels = input_shape[0]
    match layer:
        case Convolution():
            return _build_convolution(layer, input_channels)
        case ResidualBlock():
            return ResidualModule(
                input_channels, layer.output_channels, stride=layer.stride, projects=layer.projects(input_channels)
            )
        case Pooling(kind="avg"):
            return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding, count_include_pad=False)
        case Pooling():
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
        case CustomLayer():
            return _build_custom(layer, input_shape)
        case _:
            assert_never(layer)


def build_head(shape: Shape, num_classes: int) -> nn.Sequential:
    """A classifier, (images, *shape) -> (images, num_classes): global average pooling and a linear layer."""
    modules = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(shape[0], num_classes)}
    return nn.Sequential(OrderedDict(modules))


def build_network(layers: Sequence[Layer], *, input_shape: Shape, num_classes: int) -> nn.Sequential:
    """The layers in turn, named as in 'layer1_res128', then `head`; SpaceError where one is illegal."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    shape = input_shape
    for depth, layer in enumerate(layers, start=1):
        after = layer.output_shape(shape)
        if after is None:
            raise SpaceError(f"layer {depth}, {layer.label}, is illegal there: {why_illegal(layer, shape)}")
        # torch allows no dot in the name of a module; a user's label may have one.
        modules[f"layer{depth}_{layer.label.replace('.', '_')}"] = build_layer(layer, shape)
        shape = after
    modules["head"] = build_head(shape, num_classes)
    return nn.Sequential(modules)


def measure(layer: CustomLayer, input_shape: Shape) -> tuple[Shape, int, int]:
    """(output shape, parameters, multiply-adds for one image), from one pass on the meta device, without data.

    Raises SpaceError where the layer cannot be built or run, changes its input, or gives no feature map.
    """
    features = torch.empty((1, *input_shape), device="meta")
    try:
        # Evaluation mode, because batch norm refuses to train on one image of 1x1.
        with torch.device("meta"):
            module = _build_custom(layer, input_shape).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(features)
    except SpaceError:
        raise
    except Exception as error:
        raise SpaceError(
            f"layer {layer.label!r} could not be measured at {format_shape(input_shape)}: {error}; fix its builder, "
            f"or give output_shape= (None where the layer is illegal) and cost="
        ) from error
    if features._version:
        raise SpaceError(f"layer {layer.label!r} changes its input; take inplace=True from what reads it first")
    shape = tuple(output.shape[1:]) if isinstance(output, Tensor) and output.shape[:1] == (1,) else output
    params = sum(parameter.numel() for parameter in module.parameters())
    return require_shape(f"the output shape of layer {layer.label!r}", shape), params, counter.get_total_flops() // 2


def _build_custom(layer: CustomLayer, input_shape: Shape) -> nn.Module:
    module = layer.builder(input_shape)
    if not isinstance(module, nn.Module):
        raise SpaceError(f"the builder of layer {layer.label!r} returned {module!r}; it must be an nn.Module")
    _subsample_first(module)
    # Trainings run in channels_last, in which a user's x.view(...) would raise.
    module.register_forward_pre_hook(lambda _, inputs: tuple(features.contiguous() for features in inputs))
    return module


def _build_convolution(layer: Convolution, input_channels: int) -> nn.Sequential:
    before, after = (layer.kernel - 1) // 2, layer.kernel // 2
    modules: list[nn.Module] = []
    if before != after:
        # Even kernels: nn.Conv2d pads both sides alike, and its padding="same" warns that it copies.
        modules.append(nn.ZeroPad2d((before, after, before, after)))
    convolution = _convolution(
        input_channels, layer.output_channels, kernel=layer.kernel, stride=layer.stride, padding=not modules
    )
    return nn.Sequential(*modules, convolution, nn.BatchNorm2d(layer.output_channels), nn.ReLU(inplace=True))


def _convolution(
    input_channels: int, channels: int, *, kernel: int, stride: int = 1, padding: bool = True
) -> nn.Conv2d:
    pad = kernel // 2 if padding else 0
    module = nn.Conv2d(input_channels, channels, kernel, stride, pad, bias=False)
    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    _subsample_first(module)
    return module


def _subsample_first(module: nn.Module) -> None:
    """Make every 1x1 convolution with a stride, in a module of whatever origin, a SubsampledConv2d.

    Padded ones, and larger kernels, do not kill the process. Subclasses of nn.Conv2d and calls of functional.conv2d
    stay as they are: a path that kills the process by them is put aside at its second death.
    """
    for part in module.modules():
        if (
            type(part) is nn.Conv2d
            and part.kernel_size == (1, 1)
            and part.stride != (1, 1)
            and part.padding in ((0, 0), "valid")
        ):
            part.__class__ = SubsampledConv2d
