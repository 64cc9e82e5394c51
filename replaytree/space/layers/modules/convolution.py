"""Convolutions as networks start with them."""

from __future__ import annotations

import math

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
    # As nn.init.kaiming_normal_(mode="fan_out"), which takes an input to reach the channels of all groups.
    nn.init.normal_(module.weight, std=math.sqrt(2.0) / math.sqrt(channels // groups * module.weight[0, 0].numel()))
    return module
