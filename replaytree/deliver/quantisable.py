"""A network in operations that have whole-number kernels, in whatever format it is then quantised.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.onnx_file import folded


class Quantisable(nn.Module):
    """Images as float32 of 0 to 255 (N, C, H, W) -> logits (N, K), in operations that have a whole-number kernel.

    The normalisation is a depthwise 1x1 convolution, as is each batch norm that no convolution takes in. The first
    convolution could take the normalisation in, too, but for the zeros that it pads with: to the trained network they
    are the mean colour, and a whole-number kernel pads all channels with one value.
    """

    def __init__(self, network: Deployed) -> None:
        super().__init__()
        own = folded(network)
        self.mirror = network.mirror
        self.network = own.get_submodule("network")
        mean_C, std_C = network.mean_C11.flatten(), network.std_C11.flatten()
        self.normalise = _scaling(1.0 / (255.0 * std_C), -mean_C / std_C)
        for name, module in list(self.network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                self.network.set_submodule(name, _of_norm(module))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """As Deployed."""
        inputs_NCHW = self.normalise(images_NCHW)
        logits_NK: Tensor = self.network(inputs_NCHW)
        if self.mirror:
            logits_NK = (logits_NK + self.network(inputs_NCHW.flip(3))) * 0.5
        return logits_NK


def _of_norm(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A batch norm in use, as a depthwise convolution."""
    mean_C, variance_C = norm.running_mean, norm.running_var
    assert mean_C is not None, "norms of finished networks have running averages"
    assert variance_C is not None, "norms of finished networks have running averages"
    scale_C = torch.rsqrt(variance_C + norm.eps) * (1.0 if norm.weight is None else norm.weight)
    return _scaling(scale_C, (0.0 if norm.bias is None else norm.bias) - mean_C * scale_C)


@torch.no_grad()
def _scaling(scale_C: Tensor, offset_C: Tensor) -> nn.Conv2d:
    """x -> scale x + offset of every channel, as a depthwise 1x1 convolution."""
    channels = len(scale_C)
    made = nn.Conv2d(channels, channels, 1, groups=channels)
    made.weight.copy_(scale_C[:, None, None, None])
    made.bias.copy_(offset_C)  # type: ignore[union-attr]
    return made.eval()
