"""Batch norm, alone, with a ReLU, or with an addition and a ReLU, as Triton kernels for images in channels_last.

All are bound by memory. Batch norm with ReLU passes over a feature map 13 times, forward and backward, as torch runs
them, with an addition between them 19 times; here 8 and 11 times. Batch norm alone takes 8 passes in both, and torch's
sums of channels are far from the rate of a copy.

Shapes: B images, C channels, H rows, W columns of a feature map. In memory it is a table of B H W rows of C numbers.
The kernels read it as a table of R rows of M = k C columns, whose column m is of channel m % C, so that one compiled
form serves all numbers of channels. Sums over rows are made in two stages, of S splits each, in one order always.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

# A program takes tiles of so many numbers: with 4 warps, four loads of 16 bytes a thread are under way at once.
TILE_ROWS, TILE_COLUMNS, WARPS = 32, 128, 4
# Programs a multiprocessor, where there are so many tiles. Of sums fewer, for each leaves a row to be summed again.
PROGRAMS, SUMMING = 8, 4
PARTS, PART_CHANNELS, PART_WARPS = 512, 8, 8


@triton.jit(do_not_specialize=["rows"])
def _sums(x, sums, rows, columns, channels, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr):
    """Sums of x and of its squares, each less the first row: without that, a large mean would drown the variance."""
    split, splits = tl.program_id(0), tl.num_programs(0)
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    inside = column < columns
    first = tl.load(x + column % channels, mask=inside, other=0.0).to(tl.float32)[None, :]
    row = tl.arange(0, TILE_ROWS)
    place = row[:, None] * columns + column[None, :]
    total = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    squares = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    for tile in range(split, tl.cdiv(rows, TILE_ROWS), splits):
        begin = tile * TILE_ROWS
        mask = (row < rows - begin)[:, None] & inside[None, :]
        value = tl.load(x + begin.to(tl.int64) * columns + place, mask=mask, other=0.0).to(tl.float32)
        value = tl.where(mask, value - first, 0.0)
        total += value
        squares += value * value
    part = sums + split * columns + column
    tl.store(part, tl.sum(total, axis=0), mask=inside)
    tl.store(part + splits * columns, tl.sum(squares, axis=0), mask=inside)


@triton.jit
def _total(sums, parts, channels, channel, inside, PARTS: tl.constexpr, PART_CHANNELS: tl.constexpr):
    """The sums over all parts, of a table of (parts, channels)."""
    part = tl.arange(0, PARTS)
    total = tl.zeros((PARTS, PART_CHANNELS), tl.float32)
    for begin in range(0, parts, PARTS):
        mask = (part < parts - begin)[:, None] & inside[None, :]
        total += tl.load(sums + (begin + part)[:, None] * channels + channel[None, :], mask=mask, other=0.0)
    return tl.sum(total, axis=0)


@triton.jit(do_not_specialize=["parts", "count"])
def _statistics(
    x, sums, statistics, running_mean, running_var, tracked, parts, channels, count, momentum, eps,
    PARTS: tl.constexpr, PART_CHANNELS: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / standard deviation of each channel, and the running averages of a nn.BatchNorm2d."""
    channel = tl.program_id(0) * PART_CHANNELS + tl.arange(0, PART_CHANNELS)
    inside = channel < channels
    total = _total(sums, parts, channels, channel, inside, PARTS, PART_CHANNELS)
    squares = _total(sums + parts * channels, parts, channels, channel, inside, PARTS, PART_CHANNELS)
    images = count.to(tl.float32)
    mean = total / images
    # Not the larger of it and 0, which would hide a variance that is no number.
    variance = squares / images - mean * mean
    variance = tl.where(variance < 0.0, 0.0, variance)
    mean += tl.load(x + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(statistics + channel, mean, mask=inside)
    tl.store(statistics + channels + channel, tl.rsqrt(variance + eps), mask=inside)
    before = tl.load(running_mean + channel, mask=inside)
    tl.store(running_mean + channel, before + momentum * (mean - before), mask=inside)
    before = tl.load(running_var + channel, mask=inside)
    unbiased = variance * (images / (images - 1.0))
    tl.store(running_var + channel, before + momentum * (unbiased - before), mask=inside)
    if tl.program_id(0) == 0:
        tl.store(tracked, tl.load(tracked) + 1)


@triton.jit
def _affine(statistics, weight, bias, channels, channel, inside):
    """What makes norm(x) = (x - mean) scale + shift of some channels, as rows."""
    mean = tl.load(statistics + channel, mask=inside, other=0.0)
    inverse = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    scale = inverse * tl.load(weight + channel, mask=inside, other=0.0)
    shift = tl.load(bias + channel, mask=inside, other=0.0)
    return mean[None, :], scale[None, :], shift[None, :]


@triton.jit(do_not_specialize=["rows"])
def _normalised(
    x, statistics, weight, bias, added, added_statistics, added_weight, added_bias, y, rows, columns, channels,
    ADDS: tl.constexpr, NORMS: tl.constexpr, RELU: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
):  # fmt: skip
    """norm(x); with ADDS norm(x) + added, with NORMS norm(x) + norm(added); and with RELU what of that is positive.

    From the end, which was read last and may still be in the cache.
    """
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    inside = column < columns
    channel = column % channels
    mean, scale, shift = _affine(statistics, weight, bias, channels, channel, inside)
    if NORMS:
        other_mean, other_scale, other_shift = _affine(
            added_statistics, added_weight, added_bias, channels, channel, inside
        )
    row = tl.arange(0, TILE_ROWS)
    place = row[:, None] * columns + column[None, :]
    tiles = tl.cdiv(rows, TILE_ROWS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        begin = (tiles - 1 - tile) * TILE_ROWS
        mask = (row < rows - begin)[:, None] & inside[None, :]
        at = begin.to(tl.int64) * columns + place
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        value = (value - mean) * scale + shift
        if ADDS:
            other = tl.load(added + at, mask=mask, other=0.0).to(tl.float32)
            if NORMS:
                other = (other - other_mean) * other_scale + other_shift
            value += other
        if RELU:
            # What is no number stays none, as in torch.
            value = tl.where(value <= 0.0, 0.0, value)
        tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def _gradient_sums(
    x, dy, y, dz, sums, statistics, weight, bias, rows, columns, channels,
    ADDS: tl.constexpr, RELU: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums of dz and of dz (x - mean), dz the gradient before the ReLU. Where something was added, dz is stored."""
    split, splits = tl.program_id(0), tl.num_programs(0)
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    inside = column < columns
    channel = column % channels
    mean, scale, shift = _affine(statistics, weight, bias, channels, channel, inside)
    row = tl.arange(0, TILE_ROWS)
    place = row[:, None] * columns + column[None, :]
    total = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    products = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    for tile in range(split, tl.cdiv(rows, TILE_ROWS), splits):
        begin = tile * TILE_ROWS
        mask = (row < rows - begin)[:, None] & inside[None, :]
        at = begin.to(tl.int64) * columns + place
        gradient = tl.load(dy + at, mask=mask, other=0.0)
        centred = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mean
        if ADDS:
            gradient = tl.where(tl.load(y + at, mask=mask, other=0.0) <= 0.0, 0.0, gradient)
            tl.store(dz + at, gradient, mask=mask)
            gradient = gradient.to(tl.float32)
        else:
            gradient = gradient.to(tl.float32)
            if RELU:
                gradient = tl.where(centred * scale + shift <= 0.0, 0.0, gradient)
        total += gradient
        # Beyond the last row x is 0 and not the mean, but the gradient is 0, too.
        products += gradient * centred
    part = sums + split * columns + column
    tl.store(part, tl.sum(total, axis=0), mask=inside)
    tl.store(part + splits * columns, tl.sum(products, axis=0), mask=inside)


@triton.jit(do_not_specialize=["parts"])
def _parameter_gradients(
    sums, statistics, gradients, parts, channels, PARTS: tl.constexpr, PART_CHANNELS: tl.constexpr
):
    """The gradients of bias and weight, in this order."""
    channel = tl.program_id(0) * PART_CHANNELS + tl.arange(0, PART_CHANNELS)
    inside = channel < channels
    total = _total(sums, parts, channels, channel, inside, PARTS, PART_CHANNELS)
    products = _total(sums + parts * channels, parts, channels, channel, inside, PARTS, PART_CHANNELS)
    inverse = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    tl.store(gradients + channel, total, mask=inside)
    tl.store(gradients + channels + channel, products * inverse, mask=inside)


@triton.jit(do_not_specialize=["rows", "count"])
def _input_gradient(
    x, dy, dx, statistics, weight, bias, gradients, rows, columns, channels, count,
    MASKS: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
):  # fmt: skip
    """dx = weight / deviation (dz - mean(dz) - xhat mean(dz xhat)); dz is dy, with MASKS where the ReLU passed it."""
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    inside = column < columns
    channel = column % channels
    images = count.to(tl.float32)
    mean, scale, shift = _affine(statistics, weight, bias, channels, channel, inside)
    inverse = tl.load(statistics + channels + channel, mask=inside, other=0.0)
    level = (tl.load(gradients + channel, mask=inside, other=0.0) / images)[None, :]
    slope = (tl.load(gradients + channels + channel, mask=inside, other=0.0) * inverse / images)[None, :]
    row = tl.arange(0, TILE_ROWS)
    place = row[:, None] * columns + column[None, :]
    tiles = tl.cdiv(rows, TILE_ROWS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        begin = (tiles - 1 - tile) * TILE_ROWS
        mask = (row < rows - begin)[:, None] & inside[None, :]
        at = begin.to(tl.int64) * columns + place
        gradient = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        centred = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mean
        if MASKS:
            gradient = tl.where(centred * scale + shift <= 0.0, 0.0, gradient)
        tl.store(dx + at, (scale * (gradient - level - centred * slope)).to(dx.dtype.element_ty), mask=mask)


@cache
def _multiprocessors(device: torch.device) -> int:
    # On the CPU Triton interprets: few programs, which run one after the other.
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _folded(rows: int, channels: int) -> tuple[int, int]:
    """A table of (rows, channels) as one of (rows / k, k channels), as wide as a tile where that is possible.

    A width that is a multiple of 16 is read 16 bytes at once.
    """
    fitting = [k for k in range(1, max(1, TILE_COLUMNS // channels) + 1) if rows % k == 0]
    k = max([k for k in fitting if k * channels % 16 == 0] or fitting)
    return rows // k, k * channels


class _Table:
    """How a feature map of B H W = count rows and C channels is read, and how many programs take part."""

    def __init__(self, maps_BCHW: Tensor) -> None:
        self.channels = maps_BCHW.shape[1]
        self.count = maps_BCHW.numel() // self.channels
        self.rows, self.columns = _folded(self.count, self.channels)
        tiles, across = triton.cdiv(self.rows, TILE_ROWS), triton.cdiv(self.columns, TILE_COLUMNS)
        processors = _multiprocessors(maps_BCHW.device)
        self.grid = (min(tiles, max(1, processors * PROGRAMS // across)), across)
        self.splits = min(tiles, max(1, processors * SUMMING // across))
        self.summing = (self.splits, across)
        self.parts = self.splits * (self.columns // self.channels)
        self.by_channel = (triton.cdiv(self.channels, PART_CHANNELS),)
        self.shape = (self.rows, self.columns, self.channels)
        self.tile = {"TILE_ROWS": TILE_ROWS, "TILE_COLUMNS": TILE_COLUMNS, "num_warps": WARPS}
        self.part = {"PARTS": PARTS, "PART_CHANNELS": PART_CHANNELS, "num_warps": PART_WARPS}

    def sums(self, like: Tensor) -> Tensor:
        """Room for two sums of every split and column."""
        return torch.empty((2, self.splits, self.columns), dtype=torch.float32, device=like.device)

    def of_channels(self, like: Tensor) -> Tensor:
        """Room for two numbers a channel."""
        return torch.empty((2, self.channels), dtype=torch.float32, device=like.device)


Running = tuple[Tensor, Tensor, Tensor, float, float]
"""Mean, variance and number of batches of a nn.BatchNorm2d, which change in place; its momentum and eps."""


def _measured(table: _Table, x_BCHW: Tensor, running: Running) -> Tensor:
    """Mean and 1 / standard deviation of each channel, which the running averages learn of."""
    sums, statistics = table.sums(x_BCHW), table.of_channels(x_BCHW)
    _sums[table.summing](x_BCHW, sums, *table.shape, **table.tile)
    *averages, momentum, eps = running
    counts = (table.parts, table.channels, table.count)
    _statistics[table.by_channel](x_BCHW, sums, statistics, *averages, *counts, momentum, eps, **table.part)
    return statistics


def _returned(
    table: _Table, norm: tuple[Tensor, ...], dy_BCHW: Tensor, y_BCHW: Tensor | None = None, *, relu: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, of what was added, of weight and bias. `norm` is x, its statistics, weight and bias.

    What was added, and so is not known here, asks for the map y that came of it: the gradient is masked by that.
    """
    x_BCHW, *own = norm
    adds = y_BCHW is not None
    dz_BCHW = torch.empty_like(x_BCHW) if adds else dy_BCHW
    sums, gradients, dx_BCHW = table.sums(x_BCHW), table.of_channels(x_BCHW), torch.empty_like(x_BCHW)
    _gradient_sums[table.summing](
        x_BCHW, dy_BCHW, y_BCHW if adds else x_BCHW, dz_BCHW, sums, *own, *table.shape,
        ADDS=adds, RELU=relu, **table.tile,
    )  # fmt: skip
    _parameter_gradients[table.by_channel](sums, own[0], gradients, table.parts, table.channels, **table.part)
    _input_gradient[table.grid](
        x_BCHW, dz_BCHW, dx_BCHW, *own, gradients, *table.shape, table.count,
        MASKS=relu and not adds, **table.tile,
    )  # fmt: skip
    return dx_BCHW, dz_BCHW, gradients[1], gradients[0]


class Norm(torch.autograd.Function):
    """norm(x), relu(norm(x)), or relu(norm(x) + added), and the gradients of x, added, weight and bias.

    The norm is that of nn.BatchNorm2d in training. x and `added` are channels_last, of one type; weight, bias and
    running averages are float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_BCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        running: Running,
        added_BCHW: Tensor | None,
        relu: bool,
    ) -> Tensor:
        """What is added asks for the ReLU, too."""
        table, y_BCHW, adds = _Table(x_BCHW), torch.empty_like(x_BCHW), added_BCHW is not None
        own = (x_BCHW, _measured(table, x_BCHW, running), weight_C, bias_C)
        _normalised[table.grid](
            *own, added_BCHW if adds else x_BCHW, *own[1:], y_BCHW, *table.shape,
            ADDS=adds, NORMS=False, RELU=relu, **table.tile,
        )  # fmt: skip
        ctx.table, ctx.relu = table, relu
        ctx.save_for_backward(y_BCHW if adds else None, *own)
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BCHW: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias, and of what was added."""
        y_BCHW, *own = ctx.saved_tensors
        dy_BCHW = dy_BCHW.contiguous(memory_format=torch.channels_last)
        dx_BCHW, dz_BCHW, dweight_C, dbias_C = _returned(ctx.table, tuple(own), dy_BCHW, y_BCHW, relu=ctx.relu)
        return dx_BCHW, dweight_C, dbias_C, None, None if y_BCHW is None else dz_BCHW, None


class NormSum(torch.autograd.Function):
    """relu(norm(a) + norm(b)), of two norms, and all gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        a_BCHW: Tensor,
        a_weight_C: Tensor,
        a_bias_C: Tensor,
        a_running: Running,
        b_BCHW: Tensor,
        b_weight_C: Tensor,
        b_bias_C: Tensor,
        b_running: Running,
    ) -> Tensor:
        """Both maps are channels_last, of one shape and type."""
        table, y_BCHW = _Table(a_BCHW), torch.empty_like(a_BCHW)
        a = (a_BCHW, _measured(table, a_BCHW, a_running), a_weight_C, a_bias_C)
        b = (b_BCHW, _measured(table, b_BCHW, b_running), b_weight_C, b_bias_C)
        _normalised[table.grid](*a, *b, y_BCHW, *table.shape, ADDS=True, NORMS=True, RELU=True, **table.tile)
        ctx.table = table
        ctx.save_for_backward(y_BCHW, *a, *b)
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BCHW: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of both maps, weights and biases."""
        y_BCHW, *both = ctx.saved_tensors
        dy_BCHW = dy_BCHW.contiguous(memory_format=torch.channels_last)
        da_BCHW, dz_BCHW, *of_a = _returned(ctx.table, tuple(both[:4]), dy_BCHW, y_BCHW, relu=True)
        db_BCHW, _, *of_b = _returned(ctx.table, tuple(both[4:]), dz_BCHW, relu=False)
        return da_BCHW, *of_a, None, db_BCHW, *of_b, None
