"""Write a network as one readable PyTorch file, which imports torch and safetensors, but not replaytree."""

from __future__ import annotations

from pathlib import Path

from replaytree.deliver.description import Description
from replaytree.space import Classifier, chain
from replaytree.space.layers import format_shape

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

{definitions}
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

_PLAIN_FORWARD = "        return self.layers(inputs)"
_FLIP_FORWARD = "        return (self.layers(inputs) + self.layers(inputs.flip(3))) / 2  # the mirror image, too"


def python_source(description: Description, *, weights: Path) -> str:
    """The file's text; SpaceError if there is a custom layer."""
    channels, height, width = description.input_shape
    head = Classifier(len(description.classes))
    graph = chain(description.layers, input_shape=description.input_shape, head=head)
    definitions = {text: None for layer, _ in graph.parts() for text in layer.definitions}
    lines = [
        f"{node.name}={node.layer.source(*graph.input_shapes(node))},  # {format_shape(after)}"
        for node, after in zip(graph.nodes, graph.shapes, strict=True)
    ]
    lines.append(f"head={graph.head.source(graph.end_shape)},")
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
        definitions="".join(definitions),
        layers="\n".join(f"            {line}" for line in lines),
        forward=_FLIP_FORWARD if description.mirror else _PLAIN_FORWARD,
    )
