"""Write a network as one readable PyTorch file, which imports torch and safetensors, but not replaytree."""

from __future__ import annotations

from pathlib import Path

from replaytree.deliver.description import Description
from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space import Convolution, Layer, Pooling, ResidualBlock

_TEMPLATE = '''"""{labels}

Written by replaytree. The weights are beside this file, in a .safetensors file.

    network = load()
    logits = network(images)  # images: uint8 (N, {channels}, {height}, {width}); logits: float32 (N, {num_classes})
    names = [CLASSES[index] for index in logits.argmax(dim=1)]
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import nn

CLASSES = {classes}
MEAN = {mean}
STD = {std}

{subsampled}{residual}
def layers():
    """The layers in turn; beside each, the shape after it."""
    return nn.Sequential(
        OrderedDict(
{layers}
        )
    )


class Network(nn.Module):
    """Bytes in, logits out: the normalisation is inside."""

    def __init__(self):
        super().__init__()
        self.layers = layers()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, images):
        inputs = (images.float() / 255.0 - self.mean) / self.std
{forward}


def load(weights=Path(__file__).with_name({weights!r})):
    """The trained network, ready for use."""
    network = Network()
    network.layers.load_state_dict(load_tensors(Path(weights).read_bytes()))
    return network.eval()


if __name__ == "__main__":
    print(load())
'''

_SUBSAMPLED = '''
class Subsampled(nn.Conv2d):
    """A 1x1 convolution with a stride. Subsampling first is equal, and the strided gradient can crash oneDNN."""

    def forward(self, x):
        return nn.functional.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight)

'''

_RESIDUAL = '''
class Residual(nn.Module):
    """relu(branch(x) + shortcut(x))."""

    def __init__(self, inputs, channels, stride, projects):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Identity()
        if projects:
            pointwise = Subsampled if stride > 1 else nn.Conv2d
            self.shortcut = nn.Sequential(pointwise(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return torch.relu(self.branch(x) + self.shortcut(x))

'''

_PLAIN_FORWARD = "        return self.layers(inputs)"
_FLIP_FORWARD = "        return (self.layers(inputs) + self.layers(inputs.flip(3))) / 2  # the mirror image, too"


def python_source(description: Description, *, weights: Path) -> str:
    """The file's text; SpaceError if there is a custom layer."""
    channels, height, width = description.input_shape
    lines = []
    shape = description.input_shape
    for depth, layer in enumerate(description.layers, start=1):
        after = layer.output_shape(shape)
        assert after is not None, "a trained network is legal"
        lines.append(f"layer{depth}_{layer.label}={_expression(layer, shape)},  # {'x'.join(map(str, after))}")
        shape = after
    lines.append(
        f"head=nn.Sequential(OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), "
        f"linear=nn.Linear({shape[0]}, {len(description.classes)}))),"
    )
    residual = any(isinstance(layer, ResidualBlock) for layer in description.layers)
    subsampled = residual or any(_subsampled(layer) for layer in description.layers)
    return _TEMPLATE.format(
        labels=description.labels,
        weights=weights.name,
        channels=channels,
        height=height,
        width=width,
        num_classes=len(description.classes),
        classes=repr(description.classes),
        mean=repr(description.mean),
        std=repr(description.std),
        subsampled=_SUBSAMPLED if subsampled else "",
        residual=_RESIDUAL if residual else "",
        layers="\n".join(f"            {line}" for line in lines),
        forward=_FLIP_FORWARD if description.mirror else _PLAIN_FORWARD,
    )


def _expression(layer: Layer, shape: Shape) -> str:
    match layer:
        case Convolution():
            return _convolution(layer, shape[0])
        case ResidualBlock():
            projects = layer.projects(shape[0])
            return f"Residual({shape[0]}, {layer.output_channels}, stride={layer.stride}, projects={projects})"
        case Pooling(kind="avg"):
            return f"nn.AvgPool2d({layer.kernel}, {layer.stride}, {layer.padding}, count_include_pad=False)"
        case Pooling():
            return f"nn.MaxPool2d({layer.kernel}, {layer.stride}, {layer.padding})"
        case _:
            raise SpaceError(f"layer {layer.label!r} is one of your own; its code cannot be written out")


def _subsampled(layer: Layer) -> bool:
    return isinstance(layer, Convolution) and layer.kernel == 1 and layer.stride > 1


def _convolution(layer: Convolution, inputs: int) -> str:
    before, after = (layer.kernel - 1) // 2, layer.kernel // 2
    even = before != after
    kind = "Subsampled" if _subsampled(layer) else "nn.Conv2d"
    modules = [f"nn.ZeroPad2d(({before}, {after}, {before}, {after}))"] if even else []
    modules += [
        f"{kind}({inputs}, {layer.output_channels}, {layer.kernel}, {layer.stride}, "
        f"{0 if even else before}, bias=False)",
        f"nn.BatchNorm2d({layer.output_channels})",
        "nn.ReLU()",
    ]
    return f"nn.Sequential({', '.join(modules)})"
