"""The network that scores every prefix of some paths at once: a trie of layers, a classifier head after each.

Shapes: B images, K classes, T nodes, that is distinct prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from replaytree.evaluate.heads import Heads
from replaytree.records import Path
from replaytree.space import LayerSpace, prefixes
from replaytree.space.modules import build_layer
from replaytree.space.trie import HEAD_HIDDEN, head_grid, head_units

# Heads. A linear layer on global averages wants features that are linear in them from the first layer on, and what the
# layers behind would need is averaged away: fine-grained chains read too low, those that pool early too high. A hidden
# layer with batch norm on a few cells takes that work off the trunk. The fewer the cells, the truer deep prefixes read;
# the first layers want more of them, since a strong head on few cells flatters what has hardly learnt (digits, 5
# layers: 0.73, and 0.80 as it is). Kendall tau of one joint training of 15 layers, 6 epochs, with separate training at
# the full budget (30 epochs, mean of 2 seeds), pooled over prefixes of 1 to 15 layers, and the mean tau within a depth;
# 24 chains each, width 0.25, CIFAR-10 with 2,000 images of 16x16 (`replaytree bench evaluator --truth TABLE --length 15
# --seeds N [--hidden N]`; one to three seeds, which move tau by 0.02):
#                                                     digits        CIFAR-10
#     one training a prefix, 6 epochs                 0.73  0.70    0.65  0.61
#     linear, global average                          0.66  0.69    0.60  0.48
#     linear, 2x2 cells                               0.70  0.75    0.60  0.59
#         global average in the first two layers      0.67  0.74
#     linear, 4x4 cells                                             0.18  0.49
#     two hidden units a channel on every pixel       0.71  0.70    0.64  0.57
#     two on 4x4 cells                                0.74  0.75    0.62  0.57
#         without batch norm                          0.66  0.64
#     four on 4x4 cells                               0.75  0.77    0.63  0.57
#     eight on 4x4 cells                                            0.64  0.56
#     four on 3x3 cells                               0.73  0.76    0.61  0.53
#     two on 2x2 cells                                              0.60  0.54
#     four on 2x2 cells                               0.72  0.76    0.66  0.60
#     eight on 2x2 cells                              0.71  0.76    0.68  0.62
#     eight on one                                                  0.64  0.55
#     four on 2x2 cells, 4x4 in the first two layers  0.75  0.77    0.66  0.58    (as it is)
#
# How much of a head's gradient each layer passes on to the one before it. With the plain sum (1) a layer serves every
# head behind it alike: its own prefix reads low, and the first layers take the gradients of all heads at a rate meant
# for one. The same tau on the digits, over prefixes of 3 layers and more, with linear heads on global averages:
#     0.85           0.63  0.69
#     0.7            0.62  0.67    (at half the rate 0.55, 0.63; with 5 epochs 0.64, 0.69, with 10 0.65, 0.72)
#     0.5            0.59  0.62
#     0.3            0.55  0.56
# and over those of 1 to 15 layers, with linear heads on 2x2 cells, digits and CIFAR-10:
#     1              0.62  0.70    0.58  0.58
#     0.85           0.68  0.72    0.62  0.59
#     0.7            0.70  0.75    0.60  0.59
# Chunks of depth, heads 1 to 10 and 11 to 15 in two networks, no longer help: on CIFAR-10 0.59, 0.64 against 0.59, 0.57
# (3 to 15 layers, linear heads on 2x2 cells) for 1.7 times the cost.
# Against separate training of only 12 epochs the plain sum was at 0.48, 0.35 on 5 chains of digits, 0.7 at 0.75, 0.65,
# their bias at each depth fitted to other chains. Worse than a discount there: a third of the rate 0.47, the mean over
# the heads behind a layer instead of their sum 0.57 (at twice the rate 0.68), inner gradients times 0.3 0.56, the last
# quarter's weights averaged 0.53, heads fitted anew by ridge regression in the end 0.43.
DISCOUNT = 0.7


class NodeError(Exception):
    """A layer or head raised; `__cause__` is what it raised, and `node` the prefix that it ends."""

    def __init__(self, node: Path) -> None:
        super().__init__(node)
        self.node = node


class PrefixNetwork(nn.Module):
    """One layer for every distinct prefix of the paths, and a head after each, with a hidden layer.

    `hidden`: its units a channel; 0, and behind pooling alone: none, global average pooling and a linear layer.

    A prefix that paths share is one node: computed once, and with one head. Of a single path it is a chain with a head
    after every layer. `nodes` is depth first: a node stands right behind its parent or a subtree of its parent's.
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
        """Let go of the nodes that lie on none of these paths: neither they nor their heads are computed any more."""
        self.nodes = prefixes(paths)

    def gradient_factors(self) -> list[tuple[nn.Parameter, float]]:
        """Every parameter of a layer with discount^(1 - depth), by which its gradient is to be multiplied.

        The heads pass on discount^(depth - 1) of theirs. Together that leaves a layer of depth t the sum of
        discount^(s - t) times the gradient of each head behind it, of depth s, without a pass over any feature map.
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
