"""A network in its final training: with drop-path, and with its auxiliary classifier.

Shapes: B images, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replaytree.space.building import build_layer
from replaytree.space.graph import IMAGE, Graph


class RegularisedNetwork(nn.Module):
    """The network of a graph in the form of a PrefixNetwork with T = 1, or 2 in training with the auxiliary classifier.

    `network` is what build(graph) made. In training, the output of a node is dropped for each image by itself with
    probability `drop` of the node times the rate, and else divided by the probability that it is kept: drop-path
    (Larsson et al., 2017; ScheduledDropPath, Zoph et al., 2018). The rate is 0 until `set_rate`.
    """

    rate: Tensor

    def __init__(self, network: nn.Module, graph: Graph, *, auxiliary: bool) -> None:
        super().__init__()
        self.network = network
        self.auxiliary: nn.Module | None = None
        if auxiliary:
            assert graph.auxiliary is not None, "asked for where there is one"
            self.auxiliary = build_layer(graph.auxiliary.head, graph.auxiliary_shape)
            self._source = graph.auxiliary.source - IMAGE
        # Where each map stands: the image at 0, node n at n + 1.
        self._steps = [(node.name, [source - IMAGE for source in node.inputs], node.drop) for node in graph.nodes]
        self._ends = [source - IMAGE for source in graph.ends]
        self._merges = graph.merge is not None
        # On the device, where a captured step reads it anew each time.
        self.register_buffer("rate", torch.zeros(()), persistent=False)

    def set_rate(self, rate: float) -> None:
        """The rate of drop-path from now on."""
        self.rate.fill_(rate)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (T, B, K): the network's own, and in training the auxiliary classifier's."""
        maps = [images_BCHW]
        for name, sources, drop in self._steps:
            made_BCHW = self.network.get_submodule(name)(*[maps[source] for source in sources])
            maps.append(self._dropped(made_BCHW, drop) if self.training and drop else made_BCHW)
        ends = [maps[source] for source in self._ends]
        end_BCHW = self.network.get_submodule("merge")(*ends) if self._merges else ends[0]
        logits = [self.network.get_submodule("head")(end_BCHW)]
        if self.training and self.auxiliary is not None:
            logits.append(self.auxiliary(maps[self._source]))
        return torch.stack(logits)

    def _dropped(self, made_BCHW: Tensor, drop: float) -> Tensor:
        keep = 1.0 - drop * self.rate
        kept_B111 = torch.bernoulli(keep.expand(len(made_BCHW), 1, 1, 1))
        return made_BCHW * (kept_B111 / keep).to(made_BCHW.dtype)
