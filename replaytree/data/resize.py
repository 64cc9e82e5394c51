"""Images in another number of rows and columns: stretched, with black beside them, or cut to their middle.

Pictures from files go through Pillow and arrays through torch; both by the same geometry, bilinear and antialiased.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from replaytree.config.source import Resize

Sides = tuple[int, int]
"""Rows and columns."""

SQUASH: Resize = "squash"
_CHUNK = 4096


def scaled_sides(found: Sides, sides: Sides, how: Resize) -> Sides:
    """Rows and columns that an image is scaled to, before black is added to it or it is cut to `sides`."""
    if how == SQUASH:
        return sides
    ratios = [wanted / own for wanted, own in zip(sides, found, strict=True)]
    ratio = min(ratios) if how == "pad" else max(ratios)
    # The side that decides the ratio is met exactly.
    rows, columns = (
        wanted if own_ratio == ratio else round(own * ratio)
        for wanted, own, own_ratio in zip(sides, found, ratios, strict=True)
    )
    if how == "pad":
        return max(1, min(rows, sides[0])), max(1, min(columns, sides[1]))
    return max(rows, sides[0]), max(columns, sides[1])


def resized_picture(image: Image.Image, sides: Sides, how: Resize) -> Image.Image:
    """A picture of `sides` rows and columns, in the mode that it had."""
    rows, columns = scaled_sides((image.height, image.width), sides, how)
    image = image.resize((columns, rows), Image.Resampling.BILINEAR)
    if (rows, columns) == sides:
        return image
    top, left = (rows - sides[0]) // 2, (columns - sides[1]) // 2
    # Beyond the edges Pillow's crop is black.
    return image.crop((left, top, left + sides[1], top + sides[0]))


def resized_images(images_NCHW: Tensor, sides: Sides, how: Resize = SQUASH) -> Tensor:
    """uint8 (N, C, H, W) of `sides` rows and columns, in chunks, so that the copy in float32 stays small."""
    found = (images_NCHW.shape[2], images_NCHW.shape[3])
    if found == sides:
        return images_NCHW
    rows, columns = scaled_sides(found, sides, how)
    chunks = [
        functional.interpolate(chunk, (rows, columns), mode="bilinear", antialias=True)
        for chunk in torch.split(images_NCHW, _CHUNK)
    ]
    images_NCHW = torch.cat(chunks)
    top, left = (rows - sides[0]) // 2, (columns - sides[1]) // 2
    # A negative pad cuts.
    return functional.pad(images_NCHW, (-left, sides[1] - columns + left, -top, sides[0] - rows + top))


def resizing_text(sides: Sides, how: Resize) -> str:
    """What is done to pictures of another size, in words."""
    done = {
        "squash": "stretched, bilinear, antialiased",
        "pad": "scaled to fit, bilinear, antialiased, with black beside them",
        "crop": "scaled, bilinear, antialiased, and cut to their middle",
    }
    return f"pictures become {sides[0]}x{sides[1]} pixels (rows x columns): {done[how]}"
