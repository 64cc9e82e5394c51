"""What a layer needs of RAM and flash by itself, with 8 bits a number. No torch.

A search within a limit on memory asks for the networks of thousands of paths, which are made of the same few layers at
the same few shapes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from replaytree.records import Shape
from replaytree.space.layers import KINDS, Layer
from replaytree.space.layers.operation import INPUT, Operation
from replaytree.space.network import BYTES, most_alive

MAX_CACHED = 65536


class Memory(NamedTuple):
    """Bytes of the maps alive at once, inputs included, and bytes of weights and biases."""

    ram_bytes: int
    flash_bytes: int


def memory_of(layer: Layer, shapes: tuple[Shape, ...]) -> Memory | None:
    """The memory of a layer that reads maps of these shapes; None where its operations are unknown."""
    # A layer of a user's own need not be hashable.
    own = KINDS.get(type(layer).__name__) is type(layer)
    return _cached(cast(Hashable, layer), shapes) if own else _memory(layer, shapes)


def operations_of(layer: Layer, shapes: tuple[Shape, ...]) -> tuple[Operation, ...] | None:
    """The operations of a layer that reads maps of these shapes; None where they are unknown."""
    own = KINDS.get(type(layer).__name__) is type(layer)
    return _cached_operations(cast(Any, layer), shapes) if own else layer.operations(*shapes)


@lru_cache(MAX_CACHED // 4)
def _cached_operations(layer: Layer, shapes: tuple[Shape, ...]) -> tuple[Operation, ...] | None:
    return layer.operations(*shapes)


def memory_of_chain(parts: Iterable[tuple[Layer, tuple[Shape, ...]]]) -> Memory | None:
    """The memory of layers in turn, each given with what it reads; None where that of one is unknown.

    Between two layers one map is alive, so the most is within one of them.
    """
    found = [memory_of(layer, shapes) for layer, shapes in parts]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return Memory(max(each.ram_bytes for each in known), sum(each.flash_bytes for each in known))


def alive_numbers(operations: Sequence[Operation], given: Mapping[int, int]) -> int:
    """The most numbers alive at once; `given` are the sizes of what is there before, by negative indices."""
    steps = [each.reads for each in operations]
    sizes = [each.makes for each in operations]
    in_place = {step for step, each in enumerate(operations) if each.in_place}
    return most_alive(steps, sizes, given, in_place=in_place)


def _memory(layer: Layer, shapes: tuple[Shape, ...]) -> Memory | None:
    operations = operations_of(layer, shapes)
    if operations is None:
        return None
    inputs = {INPUT - place: math.prod(shape) for place, shape in enumerate(shapes)}
    flash = sum(each.weights + BYTES * each.biases for each in operations)
    return Memory(alive_numbers(operations, inputs), flash)


_cached = lru_cache(MAX_CACHED)(_memory)
