"""Averages of the cells of a feature map, as Triton kernels for images in channels_last.

A head reads averages of a map that later layers read, too. On the way back torch spreads the gradient of the averages
over a map of its own and adds it to the other: four passes over a map. Here the sum is made in two.

Shapes: B images, C channels, H rows, W columns of a feature map, whose cells form a grid and are of one size.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

# A program takes tiles of 4096 numbers: of large cells some pixels at once, of small cells several.
TILE, WARPS = 4096, 4
MANY, FEW = 32, 4
# One compiled form for all of them: to Triton 1, and what 16 divides, are numbers of another kind.
SIZES = ["cells", "rows", "columns", "down", "across", "height", "width"]


@triton.jit
def _places(rows, columns, down, across, height, width, cell):
    """The pixel at the upper left of a cell, among the pixels of all images."""
    image, place = cell // (rows * columns), cell % (rows * columns)
    top, left = place // columns * down, place % columns * across
    return (image.to(tl.int64) * height + top) * width + left


@triton.jit(do_not_specialize=SIZES)
def _averages(
    x, averages, cells, channels, rows, columns, down, across, height, width,
    PIXELS: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_CHANNELS: tl.constexpr,
):  # fmt: skip
    """Averages of all `cells`, which are of `down` times `across` pixels, `rows` times `columns` in an image."""
    row = tl.arange(0, TILE_ROWS)
    first = tl.program_id(0) * (TILE_ROWS // PIXELS)
    cell = first + row // PIXELS
    channel = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    corner = _places(rows, columns, down, across, height, width, cell)
    total = tl.zeros((TILE_ROWS, TILE_CHANNELS), tl.float32)
    for begin in range(0, down * across, PIXELS):
        pixel = begin + row % PIXELS
        mask = ((cell < cells) & (pixel < down * across))[:, None] & (channel < channels)[None, :]
        at = (corner + pixel // across * width + pixel % across) * channels
        total += tl.load(x + at[:, None] + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    sums = tl.sum(tl.reshape(total, (TILE_ROWS // PIXELS, PIXELS, TILE_CHANNELS)), axis=1) / (down * across)
    cell = first + tl.arange(0, TILE_ROWS // PIXELS)
    mask = (cell < cells)[:, None] & (channel < channels)[None, :]
    at = (cell.to(tl.int64) * channels)[:, None] + channel[None, :]
    tl.store(averages + at, sums.to(averages.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=SIZES)
def _spread(
    gradient, added, total, cells, channels, rows, columns, down, across, height, width,
    ADDS: tl.constexpr, PIXELS: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of averages spread over the pixels of their cells, and with ADDS what is added to it."""
    row = tl.arange(0, TILE_ROWS)
    cell = tl.program_id(0) * (TILE_ROWS // PIXELS) + row // PIXELS
    channel = tl.program_id(1) * TILE_CHANNELS + tl.arange(0, TILE_CHANNELS)
    corner = _places(rows, columns, down, across, height, width, cell)
    inside = (cell < cells)[:, None] & (channel < channels)[None, :]
    at = (cell.to(tl.int64) * channels)[:, None] + channel[None, :]
    share = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32) / (down * across)
    for begin in range(0, down * across, PIXELS):
        pixel = begin + row % PIXELS
        mask = inside & (pixel < down * across)[:, None]
        at = ((corner + pixel // across * width + pixel % across) * channels)[:, None] + channel[None, :]
        value = share
        if ADDS:
            value = share + tl.load(added + at, mask=mask, other=0.0).to(tl.float32)
        tl.store(total + at, value.to(total.dtype.element_ty), mask=mask)


class _Cells:
    """How a feature map is parted into a grid of (rows, columns), and how many programs take part."""

    def __init__(self, x_BCHW: Tensor, rows: int, columns: int) -> None:
        images, channels, height, width = x_BCHW.shape
        down, across = height // rows, width // columns
        cells = images * rows * columns
        pixels = MANY if down * across >= MANY else FEW
        tile_channels = min(128, max(16, triton.next_power_of_2(channels)))
        tile_rows = TILE // tile_channels
        self.grid = (triton.cdiv(cells, tile_rows // pixels), triton.cdiv(channels, tile_channels))
        self.numbers = (cells, channels, rows, columns, down, across, height, width)
        self.tile = {"PIXELS": pixels, "TILE_ROWS": tile_rows, "TILE_CHANNELS": tile_channels, "num_warps": WARPS}


class Tap(torch.autograd.Function):
    """A map as it is, and the averages of the cells of a grid, whose sides divide those of the map.

    The gradient of the map is that of both. The map is channels_last, and so are the averages.
    """

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) and averages (B, C, rows, columns)."""
        cells = _Cells(x_BCHW, rows, columns)
        images, channels = x_BCHW.shape[:2]
        averages = x_BCHW.new_empty((images, rows, columns, channels)).permute(0, 3, 1, 2)
        _averages[cells.grid](x_BCHW, averages, *cells.numbers, **cells.tile)
        ctx.cells, ctx.shape = cells, x_BCHW.shape
        ctx.set_materialize_grads(False)
        return x_BCHW.view_as(x_BCHW), averages

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx_BCHW: Tensor | None, averages: Tensor | None) -> tuple[Tensor | None, None, None]:
        """The gradient of x from those of x as it is and of the averages; either may be missing."""
        if averages is None:
            return dx_BCHW, None, None
        averages = averages.contiguous(memory_format=torch.channels_last)
        total_BCHW = torch.empty(
            ctx.shape, dtype=averages.dtype, device=averages.device, memory_format=torch.channels_last
        )
        adds = dx_BCHW is not None
        added = averages if dx_BCHW is None else dx_BCHW.contiguous(memory_format=torch.channels_last)
        cells: _Cells = ctx.cells
        _spread[cells.grid](averages, added, total_BCHW, *cells.numbers, ADDS=adds, **cells.tile)
        return total_BCHW, None, None
