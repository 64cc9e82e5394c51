"""The network that scores every prefix of some paths at once: a trie of layers, a classifier head after each.

Shapes: B images, K classes, T nodes, that is distinct prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from replaytree.networks.heads import Heads
from replaytree.records import Path
from replaytree.space import LayerSpace, prefixes
from replaytree.space.building import build_layer
from replaytree.space.trie import HEAD_HIDDEN, head_grid, head_units

# How much of a head's gradient each layer passes on to the one before it. With the plain sum (1) a layer serves every
# later head alike: its own prefix reads low, and the first layers get the gradients of all heads at a rate meant for
# one. No discount that was tried ranks measurably better on both data sets. The discounts and the forms of heads that
# were tried are in reports/benchmarks/heads.md.
DISCOUNT = 0.7


class NodeError(Exception):
    """A layer or head raised an error, which is `__cause__`. `node` is the prefix that the layer ends."""

    def __init__(self, node: Path) -> None:
        super().__init__(node)
        self.node = node


class PrefixNetwork(nn.Module):
    """One layer for every distinct prefix of the paths, and a head after each.

    A head has a hidden layer with `hidden` units a channel, on averages of a few cells: it does the work that a linear
    head would ask of the layers below it. With `hidden` 0, and behind pooling alone, a head is global average pooling
    and a linear layer.

    A prefix that paths share is one node: computed once, with one head. A single path gives a chain with a head after
    every layer. `nodes` is in depth-first order: a node comes after its parent and its parent's earlier subtrees.
    Raises NodeError where a layer cannot be built or, in forward, run.
    """

    def __init__(
        self,
        space: LayerSpace,
        paths: Sequence[Path],
        num_classes: int,
        *,
        discount: float = DISCOUNT,
        hidden: int = HEAD_HIDDEN,
    ) -> None:
        super().__init__()
        self.nodes = prefixes(paths)
        self._place = {node: place for place, node in enumerate(self.nodes)}
        layers = []
        for node in self.nodes:
            try:
                layers.append(build_layer(space.layers[node[-1]], space.output_shape(node[:-1])))
            except Exception as error:
                raise NodeError(node) from error
        self.layers = nn.ModuleList(layers)
        self._weights = [discount ** (len(node) - 1) for node in self.nodes]
        self.heads = Heads(
            [space.output_shape(node) for node in self.nodes],
            [head_grid(space, node) for node in self.nodes],
            [head_units(space, node, hidden) for node in self.nodes],
            num_classes,
            passes_on=self._weights,
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of every node, (T, B, K), in the order of `nodes`."""
        read: dict[int, Tensor] = {}
        # The features of the last node's ancestors, by depth: a node's parent is the last one that is a layer shorter.
        features = [images_BCHW]
        for node in self.nodes:
            place = self._place[node]
            del features[len(node) :]
            try:
                features.append(self.layers[place](features[-1]))
                if len(features[-1]) != len(images_BCHW):
                    raise ValueError(f"{len(images_BCHW)} images went in, {len(features[-1])} feature maps came out")
                read[place] = self.heads.read(place, features[-1])
            except Exception as error:
                raise NodeError(node) from error
        logits_TBK: Tensor = self.heads(read)
        return logits_TBK

    def keep(self, paths: Sequence[Path]) -> None:
        """Drop the nodes that lie on none of these paths: neither they nor their heads are computed any more."""
        self.nodes = prefixes(paths)

    def gradient_factors(self) -> list[tuple[nn.Parameter, float]]:
        """Every parameter of a layer with discount^(1 - depth), by which its gradient is to be multiplied.

        A head passes on discount^(depth - 1) of its gradient. Together the two factors give a layer of depth t the sum,
        over the later heads, of discount^(s - t) times the gradient of the head of depth s. No feature map is scaled.
        """
        places = [self._place[node] for node in self.nodes]
        return [
            (parameter, 1.0 / self._weights[place]) for place in places for parameter in self.layers[place].parameters()
        ]

    def places(self, path: Path) -> list[int]:
        """Where the nodes of a path stand in `nodes`, shallow to deep."""
        return [self.nodes.index(path[:depth]) for depth in range(1, len(path) + 1)]


class SingleHead(nn.Module):
    """One network with one head, in the form of a PrefixNetwork with T = 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (1, B, K)."""
        logits_BK: Tensor = self.network(images_BCHW)
        return logits_BK[None]
