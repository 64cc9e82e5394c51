"""Average and maximum pooling over square windows, as Triton kernels for images in channels_last.

Torch's gradients of pooling in channels_last run at a fifth of the rate of a copy, and its maximum stores where each
value came from as a number of 8 bytes: here it is one.

Shapes: B images, C channels, H rows, W columns of a feature map.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

# A program takes so many numbers of what it writes.
TILE, WARPS = 2048, 4
# One compiled form for all of them: to Triton 1, and what 16 divides, are numbers of another kind.
SIZES = ["pixels", "height", "width", "down", "across"]


@triton.jit
def _extent(start, side, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr):
    """How many pixels of a side a window covers, padding left out."""
    first = start * STRIDE - PADDING
    return tl.minimum(first + KERNEL, side) - tl.maximum(first, 0)


@triton.jit(do_not_specialize=SIZES)
def _pooled(
    x, y, places, pixels, channels, height, width, down, across,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, MAX: tl.constexpr,
    TILE_ROWS: tl.constexpr, TILE_CHANNELS: tl.constexpr,
):  # fmt: skip
    """All `pixels` of y, which has `down` times `across` an image; with MAX also the place of each in its window."""
    pixel = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    channel = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    inside = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    out_row, out_column = pixel // across % down, pixel % across
    first = (pixel // (down * across)).to(tl.int64) * height
    if MAX:
        total = tl.full((TILE_ROWS, TILE_CHANNELS), float("-inf"), tl.float32)
    else:
        total = tl.zeros((TILE_ROWS, TILE_CHANNELS), tl.float32)
    best = tl.zeros((TILE_ROWS, TILE_CHANNELS), tl.int32)
    for step in tl.static_range(KERNEL * KERNEL):
        row = out_row * STRIDE - PADDING + step // KERNEL
        column = out_column * STRIDE - PADDING + step % KERNEL
        valid = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        at = (((first + row) * width + column) * channels)[:, None] + channel[None, :]
        value = tl.load(x + at, mask=inside & valid[:, None], other=float("-inf") if MAX else 0.0).to(tl.float32)
        if MAX:
            # The first of equals, and what is no number, as in torch.
            better = (value > total) | (value != value)
            total = tl.where(better, value, total)
            best = tl.where(better, step, best)
        else:
            total += value
    at = (pixel.to(tl.int64) * channels)[:, None] + channel[None, :]
    if MAX:
        tl.store(places + at, best.to(tl.int8), mask=inside)
    else:
        rows = _extent(out_row, height, KERNEL, STRIDE, PADDING)
        total /= (rows * _extent(out_column, width, KERNEL, STRIDE, PADDING))[:, None]
    tl.store(y + at, total.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _pooled_gradient(
    dy, dx, places, pixels, channels, height, width, down, across,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, MAX: tl.constexpr,
    TILE_ROWS: tl.constexpr, TILE_CHANNELS: tl.constexpr,
):  # fmt: skip
    """All `pixels` of dx: of each the sum of what the windows that cover it give it."""
    REACH: tl.constexpr = (KERNEL + STRIDE - 1) // STRIDE
    pixel = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    channel = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    inside = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    row, column = pixel // width % height + PADDING, pixel % width + PADDING
    first = (pixel // (height * width)).to(tl.int64) * down
    total = tl.zeros((TILE_ROWS, TILE_CHANNELS), tl.float32)
    for step in tl.static_range(REACH * REACH):
        out_row, out_column = row // STRIDE - step // REACH, column // STRIDE - step % REACH
        below, right = row - out_row * STRIDE, column - out_column * STRIDE
        valid = (out_row >= 0) & (out_row < down) & (out_column >= 0) & (out_column < across)
        mask = inside & (valid & (below < KERNEL) & (right < KERNEL))[:, None]
        at = (((first + out_row) * across + out_column) * channels)[:, None] + channel[None, :]
        value = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        if MAX:
            place = tl.load(places + at, mask=mask, other=-1).to(tl.int32)
            total += tl.where(place == (below * KERNEL + right)[:, None], value, 0.0)
        else:
            rows = _extent(out_row, height, KERNEL, STRIDE, PADDING)
            columns = _extent(out_column, width, KERNEL, STRIDE, PADDING)
            # Where there is no window the number is any, but value is 0.
            total += value / tl.maximum(rows * columns, 1)[:, None]
    at = (pixel.to(tl.int64) * channels)[:, None] + channel[None, :]
    tl.store(dx + at, total.to(dx.dtype.element_ty), mask=inside)


class Window(torch.autograd.Function):
    """The maximum of windows, or their average without padding, of a map in channels_last."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, kernel: int, stride: int, padding: int, maximum: bool) -> Tensor:
        """Only windows that begin within the padded map and end there, as in torch without ceil_mode."""
        images, channels, *sides = x_BCHW.shape
        down, across = ((side + 2 * padding - kernel) // stride + 1 for side in sides)
        y_BCHW = x_BCHW.new_empty((images, down, across, channels)).permute(0, 3, 1, 2)
        places = torch.empty_like(y_BCHW, dtype=torch.int8) if maximum else y_BCHW
        tile_channels = min(128, max(16, triton.next_power_of_2(channels)))
        ctx.sizes = (channels, *sides, down, across)
        ctx.tile = {
            "KERNEL": kernel, "STRIDE": stride, "PADDING": padding, "MAX": maximum,
            "TILE_ROWS": TILE // tile_channels, "TILE_CHANNELS": tile_channels, "num_warps": WARPS,
        }  # fmt: skip
        ctx.shape = x_BCHW.shape
        ctx.save_for_backward(places if maximum else None)
        _pooled[_grid(y_BCHW, ctx.tile)](x_BCHW, y_BCHW, places, images * down * across, *ctx.sizes, **ctx.tile)
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BCHW: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x."""
        [places] = ctx.saved_tensors
        images, _, height, width = ctx.shape
        dy_BCHW = dy_BCHW.contiguous(memory_format=torch.channels_last)
        dx_BCHW = dy_BCHW.new_empty((images, height, width, dy_BCHW.shape[1])).permute(0, 3, 1, 2)
        _pooled_gradient[_grid(dx_BCHW, ctx.tile)](
            dy_BCHW, dx_BCHW, dy_BCHW if places is None else places, images * height * width, *ctx.sizes, **ctx.tile
        )
        return dx_BCHW, None, None, None, None


def _grid(written_BCHW: Tensor, tile: dict[str, int]) -> tuple[int, int]:
    images, channels, height, width = written_BCHW.shape
    pixels = images * height * width
    return triton.cdiv(pixels, tile["TILE_ROWS"]), triton.cdiv(channels, tile["TILE_CHANNELS"])
