"""Write a network as one readable PyTorch file, which imports torch and safetensors, but not replaytree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from replaytree.deliver.description import Description
from replaytree.space import Graph
from replaytree.space.graph import IMAGE
from replaytree.space.layers import format_shape

_TEMPLATE = '''"""{labels}

Written by replaytree. The weights are beside this file, in a .py.safetensors file.

    network = load()
    logits = network(images)  # images: uint8 (N, {channels}, {height}, {width}); logits: float32 (N, {num_classes})
    names = [CLASSES[index] for index in logits.argmax(dim=1)]

In training, {preparation}.
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
{architecture}


class Network(nn.Module):
    """Bytes in, logits out: the normalisation is inside."""

    def __init__(self):
        super().__init__()
        self.layers = {make}()
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

_CHAIN = '''
def layers():
    """The layers in turn; beside each, the shape after it."""
    return nn.Sequential(
        OrderedDict(
{modules}
        )
    )

'''

_GRAPH = '''
class Layers(nn.Module):
    """The layers; beside each, the shape after it."""

    def __init__(self):
        super().__init__()
{modules}

    def forward(self, image):
{calls}

'''

_PLAIN_FORWARD = "        return self.layers(inputs)"
_FLIP_FORWARD = "        return (self.layers(inputs) + self.layers(inputs.flip(3))) / 2  # the mirror image, too"


def python_source(description: Description, *, weights: Path) -> str:
    """The file's text; SpaceError if there is a custom layer."""
    graph = description.layers
    channels, height, width = graph.input_shape
    definitions = {text: None for layer, _ in graph.parts() for text in layer.definitions}
    return _TEMPLATE.format(
        # Backslashes and quotation marks would end the docstring.
        labels=description.labels.replace("\\", "\\\\").replace('"', '\\"'),
        weights=weights.name,
        channels=channels,
        height=height,
        width=width,
        num_classes=len(description.classes),
        preparation=description.preparation,
        classes=repr(description.classes),
        mean=repr(description.mean),
        std=repr(description.std),
        definitions="".join(definitions),
        architecture=_chain(graph) if graph.is_chain else _graph(graph),
        make="layers" if graph.is_chain else "Layers",
        forward=_FLIP_FORWARD if description.mirror else _PLAIN_FORWARD,
    )


def _chain(graph: Graph) -> str:
    lines = [f"{name}={source},{after}" for name, source, after in _modules(graph)]
    return _CHAIN.format(modules=_indented(lines, 12)).strip("\n")


def _graph(graph: Graph) -> str:
    def read(inputs: tuple[int, ...]) -> str:
        return ", ".join("image" if source == IMAGE else graph.nodes[source].name for source in inputs)

    calls = [f"{node.name} = self.{node.name}({read(node.inputs)})" for node in graph.nodes]
    ends = read(graph.ends) if graph.merge is None else f"self.merge({read(graph.ends)})"
    calls.append(f"return self.head({ends})")
    lines = [f"self.{name} = {source}{after}" for name, source, after in _modules(graph)]
    return _GRAPH.format(modules=_indented(lines, 8), calls=_indented(calls, 8)).strip("\n")


def _modules(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """The name of each part, the expression that makes it, and the shape after it as a comment."""
    for node, after in zip(graph.nodes, graph.shapes, strict=True):
        yield node.name, node.layer.source(*graph.input_shapes(node)), f"  # {format_shape(after)}"
    if graph.merge is not None:
        yield "merge", graph.merge.source(*graph.end_shapes), f"  # {format_shape(graph.end_shape)}"
    yield "head", graph.head.source(graph.end_shape), ""


def _indented(lines: Iterable[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
