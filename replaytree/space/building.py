"""From networks as plain values to nn.Modules.

Those of images map (images, channels, height, width) to logits (images, classes); those of text are LanguageModels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.graph import IMAGE, Graph
from replaytree.space.language_model import LanguageModel
from replaytree.space.layers import Layer, legal_output
from replaytree.space.layers.modules.subsampled import subsample_first
from replaytree.space.network import Network
from replaytree.space.recurrent import RecurrentGraph


class GraphNetwork(nn.Module):
    """A network that is no chain; its modules have the names of the nodes, and `merge` and `head`."""

    def __init__(self, graph: Graph, modules: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            if hasattr(self, name):
                raise SpaceError(f"a node is named {name!r}, as a part of every nn.Module is; name it otherwise")
            self.add_module(name, module)
        # Where each map stands: the image at 0, node n at n + 1.
        self._steps = [(node.name, [source - IMAGE for source in node.inputs]) for node in graph.nodes]
        self._ends = [source - IMAGE for source in graph.ends]
        self._merges = graph.merge is not None

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        maps = [images]
        for name, sources in self._steps:
            maps.append(self.get_submodule(name)(*[maps[source] for source in sources]))
        ends = [maps[source] for source in self._ends]
        end = self.get_submodule("merge")(*ends) if self._merges else ends[0]
        logits: Tensor = self.get_submodule("head")(end)
        return logits


def build(network: Network) -> nn.Module:
    """The network; SpaceError where a layer is illegal."""
    return _BUILDERS[type(network)](network)


def build_graph(graph: Graph) -> nn.Module:
    """A network of image layers. A chain is an nn.Sequential."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for node in graph.nodes:
        modules[node.name] = build_layer(node.layer, *graph.input_shapes(node))
    if graph.merge is not None:
        modules["merge"] = build_layer(graph.merge, *graph.end_shapes)
    modules["head"] = build_layer(graph.head, graph.end_shape)
    return nn.Sequential(modules) if graph.is_chain else GraphNetwork(graph, modules)


def build_layer(layer: Layer, *shapes: Shape) -> nn.Module:
    """The layer as a module, for feature maps of these shapes; SpaceError where it is illegal.

    Every module of a network is made here, so that no kind of layer has a strided 1x1 convolution that can crash.
    """
    legal_output(layer, *shapes)
    module = layer.module(*shapes)
    subsample_first(module)
    return module


# One line a kind of network.
_BUILDERS: dict[type, Callable[..., nn.Module]] = {Graph: build_graph, RecurrentGraph: LanguageModel}
