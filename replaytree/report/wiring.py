"""What the layers of a path read, as boxes and lines: cells, each drawn once, or a chain with its skips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replaytree.records import Decision
from replaytree.space.cells import Sketch
from replaytree.space.coding import Values, taken

# In pixels; a box has a title and two lines.
WIDTH, HEIGHT, LINE = 132.0, 58.0, 16.0
# From box to box.
ACROSS, DOWN = 180.0, 70.0
MARGIN = 8.0
# Of a chain with skips.
STEP, BOX, LOWEST = 100.0, 78.0, 34.0


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its upper left corner, the lines written in it, and the depth of the layer that it is, if it is one."""

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...]
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """A drawing; `wires` are paths in the words of SVG, drawn below the boxes."""

    title: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    wires: tuple[str, ...]


def cell_wiring(sketch: Sketch) -> Wiring:
    """A cell: inputs at left, each node right of what it reads and in a row of its own, what it gives at right."""
    column = {0: 0, 1: 0}
    for node in sketch.nodes:
        column[node.number] = 1 + max(column[edge.source] for edge in node.edges)
    rows = max(2, len(sketch.nodes))
    middle = MARGIN + (rows - 1) * DOWN / 2
    # Inputs and output stand between the rows, so that their lines do not run along those of the nodes.
    boxes = {
        number: Box(MARGIN, middle + (number - 0.5) * DOWN, WIDTH, HEIGHT, f"input {number}", _wrapped(words))
        for number, words in enumerate(sketch.inputs)
    }
    for row, node in enumerate(sketch.nodes):
        lines = tuple(map(str, node.edges))
        x = MARGIN + column[node.number] * ACROSS
        boxes[node.number] = Box(x, MARGIN + row * DOWN, WIDTH, HEIGHT, f"node {node.number}", lines, node.depth)
    last = MARGIN + (1 + max(column.values())) * ACROSS
    output = Box(last, middle, WIDTH, HEIGHT, "output", ("+".join(map(str, sketch.ends)),))
    wires = [
        _wire(boxes[edge.source], boxes[node.number], line)
        for node in sketch.nodes
        for line, edge in enumerate(node.edges)
    ]
    wires += [_wire(boxes[end], output, 0) for end in sketch.ends]
    title = f"The {sketch.kind} cell{', which halves the maps' if sketch.kind == 'reduction' else ''}"
    return Wiring(
        title, last + WIDTH + MARGIN, 2 * MARGIN + (rows - 1) * DOWN + HEIGHT, (*boxes.values(), output), tuple(wires)
    )


def reads(decisions: Sequence[Decision], values: Values, depth: int) -> tuple[int, ...]:
    """The depths of the layers that one reads, 0 for what was there before any.

    A layer whose decisions do not offer the one before it reads that anyway; one that reads nothing reads the image.
    """
    offered: set[int] = set()
    chosen: set[int] = set()
    for decision, value in zip(decisions, values, strict=True):
        if decision.kind != "choice":
            offered |= set(decision.sources)
            chosen |= {decision.sources[option] for option in taken(decision, value)}
    if depth - 1 not in offered:
        chosen.add(depth - 1)
    return tuple(sorted({max(0, source) for source in chosen})) or (0,)


def skip_wiring(labels: Sequence[str], read: Mapping[int, Sequence[int]]) -> Wiring | None:
    """A chain whose layers also read others than the one before; None where none does.

    `labels` are those of the layers, `read` what each reads, by depth.
    """
    skips = sorted(
        ((source, depth) for depth, sources in read.items() for source in sources if source != depth - 1),
        key=lambda skip: (skip[1] - skip[0], skip),
    )
    if not skips:
        return None
    longest = max(depth - source for source, depth in skips)
    # A curve reaches three quarters of the height of what bends it.
    top = MARGIN + 0.75 * _height(longest)
    boxes = [Box(MARGIN, top, BOX, LOWEST, "0 images", ())]
    boxes += [
        Box(MARGIN + depth * STEP, top, BOX, LOWEST, f"{depth} {re.split('[+@]', label)[0]}", (), depth)
        for depth, label in enumerate(labels, start=1)
    ]
    wires = [
        f"M{boxes[depth - 1].x + BOX:g} {top + LOWEST / 2:g} H{boxes[depth].x:g}"
        for depth, sources in read.items()
        if depth - 1 in sources
    ]
    for source, depth in skips:
        height = _height(depth - source)
        begin, end = boxes[source].x + 0.75 * BOX, boxes[depth].x + 0.25 * BOX
        wires.append(f"M{begin:g} {top:g} C{begin:g} {top - height:g} {end:g} {top - height:g} {end:g} {top:g}")
    return Wiring(
        "What each layer reads", boxes[-1].x + BOX + MARGIN, top + LOWEST + MARGIN, tuple(boxes), tuple(wires)
    )


def _height(length: int) -> float:
    """How high a skip of some length is bent: higher, the more layers it skips."""
    return LOWEST + 14.0 * (length - 1)


def _wire(source: Box, target: Box, line: int) -> str:
    """From the right side of a box to a line of another."""
    x, y = source.x + source.width, source.y + source.height / 2
    end_x, end_y = target.x, target.y + target.height / 2 + (line + 0.5) * LINE - LINE / 2
    bend = (end_x - x) / 2
    return f"M{x:g} {y:g} C{x + bend:g} {y:g} {end_x - bend:g} {end_y:g} {end_x:g} {end_y:g}"


def _wrapped(words: str, most: int = 16) -> tuple[str, ...]:
    """Lines of at most so many signs, broken between words."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(longer) > most:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)
