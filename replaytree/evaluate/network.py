"""The network that scores every prefix of a path at once: one chain of layers, a classifier head after each.

Shapes: B images, K classes, T heads.
"""

from __future__ import annotations

from torch import Tensor, nn

from replaytree.records import Path
from replaytree.space import LayerSpace
from replaytree.space.modules import build_head, build_layer


class PrefixNetwork(nn.Module):
    """Layers a_1..a_T in a chain, and a head (global average pooling, linear) after every one of them."""

    def __init__(self, space: LayerSpace, path: Path, num_classes: int) -> None:
        super().__init__()
        shapes = [space.input_shape, *(space.output_shape(path[: t + 1]) for t in range(len(path)))]
        self.layers = nn.ModuleList(
            build_layer(space.layers[action], shape) for action, shape in zip(path, shapes[:-1], strict=True)
        )
        self.heads = nn.ModuleList(build_head(shape[0], num_classes) for shape in shapes[1:])

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Logits of every prefix, shallow to deep: T tensors of shape (B, K)."""
        logits = []
        features = images_BCHW
        for layer, head in zip(self.layers, self.heads, strict=True):
            features = layer(features)
            logits.append(head(features))
        return logits


class SingleHead(nn.Module):
    """One network with one head, in the form of a PrefixNetwork with T = 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Logits, one tensor of shape (B, K)."""
        return [self.network(images_BCHW)]
