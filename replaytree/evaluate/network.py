"""The network that scores every prefix of some paths at once: a trie of layers, a classifier head after each.

Shapes: B images, K classes, T nodes, that is distinct prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from replaytree.records import Path
from replaytree.space import LayerSpace, prefixes
from replaytree.space.modules import build_head, build_layer


class NodeError(Exception):
    """A layer or head raised; `__cause__` is what it raised, and `node` the prefix that it ends."""

    def __init__(self, node: Path) -> None:
        super().__init__(node)
        self.node = node


class PrefixNetwork(nn.Module):
    """One layer for every distinct prefix of the paths, and a head (global average pooling, linear) after each.

    A prefix that paths share is one node: computed once, and with one head. Of a single path it is a chain with a head
    after every layer. `nodes` is depth first: a node stands right behind its parent or a subtree of its parent's.
    Raises NodeError where a layer cannot be built or, in forward, run.
    """

    def __init__(self, space: LayerSpace, paths: Sequence[Path], num_classes: int) -> None:
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
        self.heads = nn.ModuleList(build_head(space.output_shape(node)[0], num_classes) for node in self.nodes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of every node, (T, B, K), in the order of `nodes`."""
        logits = []
        # The features of the last node's ancestors, by depth: a node's parent is the last one that is a layer shorter.
        features = [images_BCHW]
        for node, layer, head in zip(self.nodes, self.layers, self.heads, strict=True):
            del features[len(node) :]
            try:
                features.append(layer(features[-1]))
                logits.append(head(features[-1]))
            except Exception as error:
                raise NodeError(node) from error
        return torch.stack(logits)

    def keep(self, paths: Sequence[Path]) -> None:
        """Let go of the nodes that lie on none of these paths."""
        kept = prefixes(paths)
        places = [self._place[node] for node in kept]
        self.layers = nn.ModuleList(self.layers[place] for place in places)
        self.heads = nn.ModuleList(self.heads[place] for place in places)
        self.nodes = kept
        self._place = {node: place for place, node in enumerate(kept)}

    def places(self, path: Path) -> list[int]:
        """Where the nodes of a path stand in `nodes`, shallow to deep."""
        return [self._place[path[:depth]] for depth in range(1, len(path) + 1)]


class SingleHead(nn.Module):
    """One network with one head, in the form of a PrefixNetwork with T = 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (1, B, K)."""
        logits_BK: Tensor = self.network(images_BCHW)
        return logits_BK[None]
