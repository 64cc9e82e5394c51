"""Convolutions as networks start with them."""

from __future__ import annotations

from torch import nn

Sides = int | tuple[int, int]
"""One number for height and width, or each."""


def convolution(
    inputs: int,
    channels: int,
    kernel: Sides,
    stride: Sides = 1,
    padding: Sides = 0,
    *,
    groups: int = 1,
    dilation: int = 1,
) -> nn.Conv2d:
    """A convolution without bias, for batch norm to follow. It starts from He's normal distribution (fan out)."""
    module = nn.Conv2d(inputs, channels, kernel, stride, padding, dilation, groups, bias=False)
    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return module
