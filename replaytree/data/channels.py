"""Images in the number of channels that a network was trained on.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from replaytree.errors import DataError


def match_channels(images_NCHW: Tensor, channels: int) -> Tensor:
    """uint8 (N, C, H, W) -> uint8 (N, channels, H, W): grey is repeated, colour becomes its luminance.

    Luminance is (19595 R + 38470 G + 7471 B + 32768) >> 16, Pillow's formula, which leaves a grey image unchanged.
    Raises DataError for numbers of channels other than 1 and 3.
    """
    found = images_NCHW.shape[1]
    if found == channels:
        return images_NCHW
    if (found, channels) == (1, 3):
        return images_NCHW.expand(-1, 3, -1, -1).contiguous()
    if (found, channels) == (3, 1):
        weights_C11 = torch.tensor([19595, 38470, 7471], dtype=torch.int32)[:, None, None]
        return ((images_NCHW.int() * weights_C11).sum(dim=1, keepdim=True) + 32768 >> 16).to(torch.uint8)
    raise DataError(f"the images have {found} channels, and {channels} are needed; only 1 and 3 can be converted")
