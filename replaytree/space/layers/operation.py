"""What a layer does when it is deployed: its operations, as a small device runs them one after the other. No torch.

An operation reads buffers and makes one. It is one kernel of a library of 8-bit networks, so that what follows a
convolution in the same kernel is no operation of its own: batch norm that is folded into it, ReLU, zero padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

INPUT = -1
"""Among what an operation reads: the layer's first input; the second is -2."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One that makes `makes` numbers, and has `weights` and `biases`.

    `reads` are positions of earlier operations of the layer, or its inputs. One that is `in_place` works on each number
    by itself, so it may write over an input of its size that nothing reads later.
    """

    makes: int
    weights: int = 0
    biases: int = 0
    reads: tuple[int, ...] = (INPUT,)
    in_place: bool = False


def in_turn(*operations: Operation) -> tuple[Operation, ...]:
    """The operations, each of which reads what the one before it makes, and the first the layer's input."""
    return tuple(replace(each, reads=(position + INPUT,)) for position, each in enumerate(operations))


def added(size: int, inputs: int) -> Operation:
    """The sum of some inputs of one size."""
    return Operation(size, reads=tuple(INPUT - place for place in range(inputs)), in_place=True)


def joined(layers: Iterable[tuple[Sequence[int], Sequence[Operation]]]) -> tuple[Operation, ...]:
    """The operations of several layers in turn. Each layer is given as what it reads and what it does.

    A layer reads earlier layers, by position, or what is negative, which stays as it is.
    """
    found: list[Operation] = []
    made: list[int] = []
    for sources, operations in layers:
        inputs = [made[source] if source >= 0 else source for source in sources]
        first = len(found)
        for each in operations:
            reads = tuple(inputs[INPUT - read] if read < 0 else first + read for read in each.reads)
            # As replace(), which needs four times as long, of the many operations of cells.
            found.append(Operation(each.makes, each.weights, each.biases, reads, each.in_place))
        made.append(len(found) - 1)
    return tuple(found)
