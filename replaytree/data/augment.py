"""Augmentation and normalisation of a whole batch, on its device.

Shapes: B images, C channels, H rows, W columns, P = H * W.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from replaytree.config.retraining import Padding
from replaytree.errors import DataError


def augment(
    images_BCHW: torch.Tensor,
    *,
    crop_padding: int,
    flip: bool | torch.Tensor,
    generator: torch.Generator,
    padding: Padding = "zeros",
) -> torch.Tensor:
    """Random crop and horizontal flip, drawn anew for every image: uint8 (B, C, H, W) -> uint8 (B, C, H, W).

    An image is padded by `crop_padding` pixels on each side and cut back to H x W at an offset uniform in
    0..2 * crop_padding in rows and in columns (torchvision's RandomCrop), then mirrored with probability 1/2 if
    `flip`, or where `flip` is true if it is a bool (B). The `padding` is zeros, or the pixels next to the edge in
    reverse order ("reflect", which leaves out the edge itself). With no padding and no flip the images are returned as
    they are. The draws are made on the generator's device; a generator on the images' device saves a copy.
    """
    _check(images_BCHW)
    if crop_padding < 0:
        raise DataError(f"crop_padding is {crop_padding}; it must be 0 or more (--crop-padding)")
    if crop_padding == 0 and flip is False:
        return images_BCHW
    device = images_BCHW.device
    B, C, H, W = images_BCHW.shape
    if padding == "reflect":
        require_reflection(crop_padding, (H, W))
    # One gather through flat indices is several times faster than indexing with four tensors.
    top_B, left_B = _draw(2 * crop_padding + 1, (2, B), generator).to(device)
    rows_BH = top_B[:, None] + torch.arange(H, device=device)
    columns_BW = torch.arange(W, device=device).expand(B, W)
    if flip is not False:
        mirrored_B = _draw(2, (B,), generator).to(device).bool() if flip is True else flip
        columns_BW = torch.where(mirrored_B[:, None], W - 1 - columns_BW, columns_BW)
    columns_BW = columns_BW + left_B[:, None]
    if padding == "reflect":
        # The pixels of the padding are in the image already.
        rows_BH, columns_BW = _reflected(rows_BH - crop_padding, H), _reflected(columns_BW - crop_padding, W)
        padded_BCHW, width = images_BCHW, W
    else:
        padded_BCHW, width = functional.pad(images_BCHW, (crop_padding,) * 4), W + 2 * crop_padding
    places_BP = (rows_BH[:, :, None] * width + columns_BW[:, None, :]).flatten(1)
    return padded_BCHW.flatten(2).gather(2, places_BP[:, None, :].expand(B, C, H * W)).view(B, C, H, W)


def require_reflection(crop_padding: int, sides: Sequence[int]) -> None:
    """DataError where an image of these sides has fewer pixels beside its edge than its padding is to reflect."""
    if crop_padding >= min(sides):
        form = "x".join(map(str, sides))
        raise DataError(
            f"crop_padding is {crop_padding}, and images of {form} have {min(sides) - 1} pixels to reflect; give less "
            f"(--crop-padding), or --padding zeros"
        )


def _reflected(places: torch.Tensor, side: int) -> torch.Tensor:
    """Places from 1 - side to 2 * side - 2, folded at 0 and at side - 1 into 0..side - 1."""
    return side - 1 - (side - 1 - places.abs()).abs()


def normalise(
    images_BCHW: torch.Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """(x / 255 - mean) / std for each channel: uint8 (B, C, H, W) -> dtype (B, C, H, W), in the same layout.

    `mean` and `std` are fractions of 255. Computed in float32 at least, then rounded to `dtype`.
    """
    _check(images_BCHW)
    channels = images_BCHW.shape[1]
    if len(mean) != channels or len(std) != channels:
        raise DataError(f"the images have {channels} channels, but mean has {len(mean)} and std {len(std)} values")
    exact = torch.promote_types(dtype, torch.float32)
    mean_C11, std_C11 = (_filled(values, exact, images_BCHW.device) for values in (mean, std))
    # In place: an epoch's chunk is large, and a copy of it for each operation is slow.
    return images_BCHW.to(exact).div_(255).sub_(mean_C11).div_(std_C11).to(dtype)


def cutout(images_BCHW: torch.Tensor, *, size: int, fill: Sequence[float], generator: torch.Generator) -> torch.Tensor:
    """Blank one square of `size` pixels in each image: uint8 (B, C, H, W) -> uint8 (B, C, H, W), a copy.

    The centre is uniform over the pixels, so squares are cut off at the edges (DeVries and Taylor, 2017). `fill` is one
    fraction of 255 a channel; 0 pixels changes nothing.
    """
    _check(images_BCHW)
    if size < 0:
        raise DataError(f"cutout is {size}; it must be 0 or more pixels (--cutout)")
    if size == 0:
        return images_BCHW
    device = images_BCHW.device
    B, _, H, W = images_BCHW.shape
    top_B = _draw(H, (B,), generator).to(device) - size // 2
    left_B = _draw(W, (B,), generator).to(device) - size // 2
    rows_BH = torch.arange(H, device=device)[None, :] - top_B[:, None]
    columns_BW = torch.arange(W, device=device)[None, :] - left_B[:, None]
    rows_BH, columns_BW = ((offset >= 0) & (offset < size) for offset in (rows_BH, columns_BW))
    blank_B1HW = (rows_BH[:, :, None] & columns_BW[:, None, :])[:, None]
    fill_C11 = _filled([round(255 * value) for value in fill], torch.uint8, device)
    return torch.where(blank_B1HW, fill_C11, images_BCHW)


def _filled(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """One value a channel, (C, 1, 1), written by the device: a copy of numbers from here would wait for it."""
    return torch.stack([torch.full((1, 1), value, dtype=dtype, device=device) for value in values])


def _draw(high: int, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randint(high, shape, generator=generator, device=generator.device)


def _check(images_BCHW: torch.Tensor) -> None:
    if images_BCHW.ndim != 4 or images_BCHW.dtype != torch.uint8:
        raise DataError(f"images are {images_BCHW.dtype} {tuple(images_BCHW.shape)}; they must be uint8 (B, C, H, W)")
