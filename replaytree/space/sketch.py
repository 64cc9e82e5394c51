"""A cell to be drawn: boxes, and what each reads. No torch, and no pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """Something in a cell: its title, the lines below it, and the boxes that it reads, in order, by their places.

    `depth` is that of the layer of the path that it is; None: it is none.
    """

    title: str
    lines: tuple[str, ...] = ()
    reads: tuple[int, ...] = ()
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Sketch:
    """A cell: its title, what it is given, its nodes, and what it gives.

    A box has a place: those of `inputs` come first, then the nodes, each after what it reads.
    """

    title: str
    inputs: tuple[Box, ...]
    nodes: tuple[Box, ...]
    outputs: tuple[Box, ...]
