"""The CIFAR-10 space of Zoph and Le (2017): convolutions with kernels of any two sides, and skips by set selection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode, taken
from replaytree.space.graph import IMAGE, Graph, GraphNode, node_name
from replaytree.space.layers import Classifier, Concatenation, RectangularConvolution, format_shape
from replaytree.space.plan import Published
from replaytree.space.returned import require_shape

SIDES = (1, 3, 5, 7)
STRIDES = (1, 2, 3)
FILTERS = (24, 36, 48, 64)

# Cached maps are forgotten when there are more.
MOST_CACHED = 65536

_LABEL = re.compile(r"(\d+)x(\d+)(?:s(\d+)x(\d+))?f(\d+)(?:@(\d+(?:\+\d+)*))?")


class Zoph:
    """A Plan (plan.py). A layer is a convolution, ReLU, batch norm; it reads any set of the layers before it.

    * What it reads is concatenated along channels, smaller maps padded with zeros to the largest. A layer that reads no
      layer reads the image.
    * The head reads all layers that no layer reads, concatenated in the same way.
    * `strides` False fixes all strides at 1. Else each is 1, 2 or 3. Strides are chosen before the inputs, as in the
      paper, so a layer may read only maps, and have only strides, that leave pixels whatever else it reads.
    * `width` multiplies all filter numbers, and the result is rounded.

    Labels are as in '3x5f36', '3x5s2x1f36@1+3': height x width of the kernel; those of the stride, if not 1; filters;
    the layers that are read.
    """

    name = "zoph"
    about = "Convolutions with kernels of 1 to 7 rows and columns, and any skips between them."
    source = 'B. Zoph and Q. V. Le, "Neural Architecture Search with Reinforcement Learning" (2017), arXiv 1611.01578'
    nested = True
    defaults: ClassVar[Mapping[str, Any]] = {"width": 1.0, "strides": False}
    # The paper shows its networks only in figures, from which no numbers can be read.
    published: ClassVar[Mapping[str, Published]] = {}

    def __init__(
        self, *, input_shape: Shape, num_classes: int, max_layers: int, width: float = 1.0, strides: bool = False
    ) -> None:
        RectangularConvolution(min(FILTERS), 1, 1, width=width)
        if not isinstance(strides, bool):
            raise SpaceError(f"strides is {strides!r}; it must be True or False (--strides)")
        self.input_shape, self.max_layers = require_shape("input_shape", input_shape), max_layers
        self.num_classes, self._head = num_classes, Classifier(num_classes)
        self._width, self._strides = width, strides
        side, stride = tuple(map(str, SIDES)), tuple(map(str, STRIDES))
        self._choices = (
            Decision("filter_height", side),
            Decision("filter_width", side),
            *((Decision("stride_height", stride), Decision("stride_width", stride)) if strides else ()),
            Decision("filters", tuple(map(str, FILTERS))),
        )
        self._by_depth: dict[int, tuple[Decision, ...]] = {1: self._choices}
        # A layer can always read the image, so strides are legal that leave pixels of it.
        rows, columns = (tuple(stride <= side for stride in STRIDES) for side in self.input_shape[1:])
        free = (True,) * 4
        self._masks = (free, free, rows, columns, free) if strides else (free, free, free)
        self._sides: dict[Path, tuple[tuple[int, int], ...]] = {(): ()}

    def options(self) -> dict[str, Any]:
        """`width` and `strides`."""
        return {"width": self._width, "strides": self._strides}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Height and width of the kernel, strides, filters; from layer 2 on, the layers that are read."""
        if depth not in self._by_depth:
            before = tuple(range(1, depth))
            self._by_depth[depth] = (*self._choices, Decision("inputs", tuple(map(str, before)), "inputs", before))
        return self._by_depth[depth]

    def fixed(self, depth: int) -> tuple[tuple[bool, ...] | None, ...]:
        """All masks but that of `inputs` where there are strides."""
        inputs = () if depth == 1 else (None if self._strides else (True,) * (depth - 1),)
        return (*self._masks, *inputs)

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """All options, but strides beyond the image, and inputs that would leave no pixels."""
        if len(chosen) < len(self._choices):
            return self._masks[len(chosen)]
        rows, columns = self._stride(chosen)
        return tuple([height >= rows and width >= columns for height, width in self._sides_of(prefix)])

    def state(self, prefix: Path) -> tuple[tuple[int, int], ...] | None:
        """Without strides nothing decides what may follow; with them, the sides of all maps before."""
        return self._sides_of(prefix) if self._strides else None

    def why(self, prefix: Path, chosen: Values, option: int) -> str:
        """Why an option is illegal there."""
        if len(chosen) < len(self._choices):
            return f"the image is {format_shape(self.input_shape)}"
        rows, columns = self._stride(chosen)
        height, width = self._sides_of(prefix)[option]
        return f"strides {rows}x{columns} need as many pixels, and the map of layer {option + 1} has {height}x{width}"

    def label(self, prefix: Path, values: Values) -> str:
        """As in '3x5f36@1+3'."""
        read = self._inputs(len(prefix) + 1, values)
        return self._convolution(values).label + ("@" + "+".join(map(str, read)) if read else "")

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        depth = len(prefix) + 1
        found = _LABEL.fullmatch(label)
        if found is None:
            raise SpaceError(f"layer {depth} is {label!r}, which is not in this space; write it as in '3x5f36@1+2'")
        height, width, stride_height, stride_width, filters, read = found.groups()
        words = [height, width, filters]
        if self._strides:
            words[2:2] = [stride_height or "1", stride_width or "1"]
        elif stride_height is not None:
            raise SpaceError(f"layer {depth} is {label!r}, but all strides of this space are 1 (--strides)")
        chosen = []
        for decision, word in zip(self._choices, words, strict=True):
            if word not in decision.options:
                raise SpaceError(
                    f"layer {depth} is {label!r}: {decision.name} is {word}; it must be one of "
                    f"{', '.join(decision.options)}"
                )
            chosen.append(decision.options.index(word))
        sources = {int(word) for word in read.split("+")} if read else set()
        if wrong := sorted(source for source in sources if not 0 < source < depth):
            known = {1: "no layer comes", 2: "only layer 1 comes"}
            before = known.get(depth, f"only layers 1 to {depth - 1} come")
            raise SpaceError(f"layer {depth} is {label!r}, which reads layer {wrong[0]}; {before} before it")
        mask = sum(1 << source - 1 for source in sources)
        return (*chosen, mask) if depth > 1 else tuple(chosen)

    def network(self, path: Path) -> Graph:
        """The convolutions, and before each that reads several maps their concatenation."""
        nodes: list[GraphNode] = []
        outputs: list[int] = []
        loose: dict[int, None] = {}
        for depth, action in enumerate(path, start=1):
            values = decode(self.decisions(depth), action)
            inputs = tuple(outputs[layer - 1] for layer in self._inputs(depth, values)) or (IMAGE,)
            for source in inputs:
                loose.pop(source, None)
            if len(inputs) > 1:
                nodes.append(GraphNode(node_name(depth, "join"), Concatenation(), inputs, depth))
                inputs = (len(nodes) - 1,)
            layer = self._convolution(values)
            outputs.append(len(nodes))
            loose[len(nodes)] = None
            nodes.append(GraphNode(node_name(depth, layer.label), layer, inputs, depth))
        ends = tuple(loose) or (IMAGE,)
        merge = Concatenation() if len(ends) > 1 else None
        return Graph(self.input_shape, tuple(nodes), ends, self._head, merge)

    def _convolution(self, values: Values) -> RectangularConvolution:
        filters = FILTERS[values[len(self._choices) - 1]]
        return RectangularConvolution(
            filters, SIDES[values[0]], SIDES[values[1]], *self._stride(values), width=self._width
        )

    def _stride(self, values: Values) -> tuple[int, int]:
        return (STRIDES[values[2]], STRIDES[values[3]]) if self._strides else (1, 1)

    def _inputs(self, depth: int, values: Values) -> tuple[int, ...]:
        """The depths of the layers that the layer at `depth` reads."""
        if depth == 1:
            return ()
        inputs = self.decisions(depth)[-1]
        return tuple(inputs.sources[option] for option in taken(inputs, values[-1]))

    def _sides_of(self, prefix: Path) -> tuple[tuple[int, int], ...]:
        """Height and width of the map after each layer."""
        sides = self._sides.get(prefix)
        if sides is None:
            before = self._sides_of(prefix[:-1])
            values = decode(self.decisions(len(prefix)), prefix[-1])
            read = [before[layer - 1] for layer in self._inputs(len(prefix), values)] or [self.input_shape[1:]]
            rows, columns = self._stride(values)
            height, width = max([height for height, _ in read]), max([width for _, width in read])
            sides = (*before, (-(-height // rows), -(-width // columns)))
            if len(self._sides) >= MOST_CACHED:
                self._sides = {(): ()}
            self._sides[prefix] = sides
        return sides
