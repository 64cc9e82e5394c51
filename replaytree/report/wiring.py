"""What the layers of a path read, as boxes and lines: cells, each drawn once, or a chain with its skips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replaytree.records import Decision
from replaytree.space import sketch as drawing
from replaytree.space.coding import Values, taken
from replaytree.space.sketch import Sketch

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
    inputs, outputs = len(sketch.inputs), len(sketch.outputs)
    columns = [0] * inputs
    for node in sketch.nodes:
        columns.append(1 + max(columns[source] for source in node.reads))
    rows = max(inputs, outputs, len(sketch.nodes))
    middle = MARGIN + (rows - 1) * DOWN / 2
    last = MARGIN + (1 + max(columns)) * ACROSS
    # Inputs and outputs stand between the rows, so that their lines do not run along those of the nodes.
    boxes = [_box(each, MARGIN, middle + (place - (inputs - 1) / 2) * DOWN) for place, each in enumerate(sketch.inputs)]
    boxes += [
        _box(node, MARGIN + columns[inputs + row] * ACROSS, MARGIN + row * DOWN)
        for row, node in enumerate(sketch.nodes)
    ]
    boxes += [
        _box(each, last, middle + (place - (outputs - 1) / 2) * DOWN) for place, each in enumerate(sketch.outputs)
    ]
    drawn = (*sketch.inputs, *sketch.nodes, *sketch.outputs)
    # The lines of a node are what it reads; the wires of an output end in its middle.
    wires = [
        _wire(boxes[source], box, line if place < len(columns) else 0, is_early=source < inputs)
        for place, (each, box) in enumerate(zip(drawn, boxes, strict=True))
        for line, source in enumerate(each.reads)
    ]
    return Wiring(
        sketch.title, last + WIDTH + MARGIN, 2 * MARGIN + (rows - 1) * DOWN + HEIGHT, tuple(boxes), tuple(wires)
    )


def _box(drawn: drawing.Box, x: float, y: float) -> Box:
    lines = tuple(line for words in drawn.lines for line in _wrapped(words))
    return Box(x, y, WIDTH, HEIGHT, drawn.title, lines, drawn.depth)


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


def _wire(source: Box, target: Box, line: int, *, is_early: bool) -> str:
    """From the right side of a box to a line of another.

    It changes rows between two columns only, and is level elsewhere, so that it runs under no other box: a node has its
    row for itself. If `is_early`, it runs in the row of its target, and else in that of its source.
    """
    x, y = source.x + source.width, source.y + source.height / 2
    end_x, end_y = target.x, target.y + target.height / 2 + line * LINE
    gap = ACROSS - WIDTH
    begin = x if is_early else end_x - gap
    before = f" H{begin:g}" if begin > x else ""
    behind = f" H{end_x:g}" if begin + gap < end_x else ""
    middle, end = begin + gap / 2, begin + gap
    return f"M{x:g} {y:g}{before} C{middle:g} {y:g} {middle:g} {end_y:g} {end:g} {end_y:g}{behind}"


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
