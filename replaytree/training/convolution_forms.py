"""Convolutions in forms that GPUs are fast in: the same functions, with zeros among weights and channels.

On an H100, 512 images of 128x32x32 in bfloat16, cuDNN takes 4.1 ms for the gradient of the weights of a kernel of 4
behind padding, and 0.8 ms for one of 5, which pads by itself. A kernel of 4 is one of 5 whose first row and column are
zeros. Of images of 3 channels cuDNN knows few kernels on matrix units, of 8 channels all.

Shapes: B images, C channels, H rows, W columns; O channels out, K rows and columns of a kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Channels that are read 16 bytes at once.
CHANNELS = 8
# An even kernel of 2 would have more than twice the weights.
LEAST_EVEN = 4


def is_padded_even(pad: nn.Module, convolution: nn.Module) -> bool:
    """Whether two modules in a row are a convolution with an even kernel behind its padding, one more at the right."""
    if type(pad) is not nn.ZeroPad2d or type(convolution) is not nn.Conv2d:
        return False
    kernel, other = convolution.kernel_size
    before, after = (kernel - 1) // 2, kernel // 2
    return (
        kernel == other
        and kernel % 2 == 0
        and kernel >= LEAST_EVEN
        and tuple(pad.padding) == (before, after, before, after)
        and convolution.padding == (0, 0)
        and convolution.dilation == (1, 1)
    )


def has_few_channels(module: nn.Module) -> bool:
    """Whether a convolution reads so few channels that zeros are to be added to them."""
    return type(module) is nn.Conv2d and module.in_channels < CHANNELS and module.groups == 1


def convolved(convolution: nn.Conv2d, x_BCHW: Tensor, *, even: bool = False) -> Tensor:
    """What a convolution computes, with zeros where that is faster; with `even`, of a map that is not padded yet."""
    weight_OCKK, padding = convolution.weight, convolution.padding
    kind = x_BCHW.device.type
    if torch.is_autocast_enabled(kind):
        # As autocast would, but before zeros are added.
        dtype = torch.get_autocast_dtype(kind)
        x_BCHW, weight_OCKK = x_BCHW.to(dtype), weight_OCKK.to(dtype)
    if even:
        # A row and a column of zeros before the others, so that both sides are padded alike.
        weight_OCKK = functional.pad(weight_OCKK, (1, 0, 1, 0))
        padding = (weight_OCKK.shape[2] // 2, weight_OCKK.shape[3] // 2)
    if has_few_channels(convolution):
        added = (0, 0, 0, 0, 0, CHANNELS - convolution.in_channels)
        x_BCHW, weight_OCKK = functional.pad(x_BCHW, added), functional.pad(weight_OCKK, added)
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
    weight_OCKK = weight_OCKK.contiguous(memory_format=torch.channels_last)
    return functional.conv2d(
        x_BCHW,
        weight_OCKK,
        convolution.bias,
        convolution.stride,
        padding,
        convolution.dilation,
        convolution.groups,
    )
