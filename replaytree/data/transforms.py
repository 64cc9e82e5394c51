"""Transforms of one's own, as torchvision's v2 has them, on batches that are trained on.

Shapes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch

from replaytree.data.images import ImageData, Transforms
from replaytree.errors import DataError

_TRIED = 8
_LONGEST = 1000
_FORM = "they must make a uint8 tensor of a uint8 tensor (n, c, h, w), of the same shape"


def with_transforms(data: ImageData, transforms: Transforms) -> ImageData:
    """The data with transforms for training, tried on a few images; its fingerprint names them.

    DataError where they fail, or make something else than images of the same form.
    """
    if not callable(transforms):
        raise DataError(f"transforms are a {type(transforms).__name__}; {_FORM}: give a function, or v2.Compose([...])")
    images_BCHW = data.train_images[:_TRIED].clone()
    generator = torch.Generator(data.device).manual_seed(0)
    try:
        transformed(images_BCHW, transforms, generator=generator)
    except DataError:
        raise
    except Exception as error:  # a user's function may raise anything
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError(f"transforms fail on {len(images_BCHW)} training images ({why}); {_FORM}") from error
    fingerprint = replace(data.fingerprint, transforms=described(transforms))
    return replace(data, transforms=transforms, fingerprint=fingerprint)


def transformed(images_BCHW: torch.Tensor, transforms: Transforms, *, generator: torch.Generator) -> torch.Tensor:
    """A batch as the transforms make it: uint8 (B, C, H, W) -> uint8 (B, C, H, W); DataError for another form.

    They draw from torch's own generators, which are seeded from `generator` meanwhile. A transform of torchvision draws
    once a call, so that all images of a batch are turned alike.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    device = images_BCHW.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        made: Any = transforms(images_BCHW)
    if not isinstance(made, torch.Tensor):
        raise DataError(f"transforms make a {type(made).__name__}; {_FORM}")
    if made.dtype != torch.uint8 or made.shape != images_BCHW.shape:
        found, wanted = (f"{each.dtype} {tuple(each.shape)}" for each in (made, images_BCHW))
        raise DataError(f"transforms make {found} of {wanted}; {_FORM}")
    return made.as_subclass(torch.Tensor)


def described(transforms: Transforms) -> str:
    """Transforms as text, which is the same in another process."""
    return " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(transforms)).split())[:_LONGEST]
