"""The module of a TorchvisionFeatures; an exported Python file has the classes and functions as they stand here."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Larger(nn.Module):
    """Every pixel becomes a square of times x times; of operations that every exporter knows, unlike nn.Upsample."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, times H, times W)."""
        wider = torch.stack([x] * self.times, dim=4).flatten(3)
        return torch.stack([wider] * self.times, dim=3).flatten(2, 3)


def torchvision_features(name: str, inputs: int, width: float, stem_stride: int, upscale: int) -> nn.Sequential:
    """A network of torchvision without its last linear layer: images to (N, channels, 1, 1).

    Images are made `upscale` times as large first. With a `stem_stride` of 1 the first convolution keeps their size.
    The running averages of batch norm move by a tenth a step, as those of all layers here: MobileNetV3's own hundredth
    is for trainings of a million steps, and after some hundred it predicts by chance.
    """
    from torchvision import models

    whole = models.get_model(name, weights=None, **({} if width == 1.0 else {"width_mult": width}))
    if name == "resnet18":
        stem, end = whole.conv1, nn.Identity()
        parts = [whole.bn1, whole.relu, whole.maxpool, *whole.layer1, *whole.layer2, *whole.layer3, *whole.layer4]
        channels = whole.fc.in_features
    else:
        stem, end = whole.features[0][0], whole.classifier[:-1]
        parts = [*list(whole.features[0])[1:], *whole.features[1:]]
        channels = whole.classifier[-1].in_features
    if inputs != stem.in_channels or stem_stride != stem.stride[0]:
        stem = nn.Conv2d(inputs, stem.out_channels, stem.kernel_size, stem_stride, stem.padding, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    for part in whole.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.1
    larger = Larger(upscale) if upscale > 1 else nn.Identity()
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), end, nn.Unflatten(1, (channels, 1, 1)))
    return nn.Sequential(larger, stem, *parts, pool)
