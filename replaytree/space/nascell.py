"""The layers of wallarm/nascell-automl, and the search that it meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode, named
from replaytree.space.graph import IMAGE, Graph, GraphNode, node_name
from replaytree.space.layers import Classifier, PooledConvolution, Unrolled
from replaytree.space.plan import Published, plain_label, plain_values
from replaytree.space.returned import require_shape

_SQUARE = {
    "kernel": ("1", "3", "5", "7"),
    "filters": ("8", "16", "24", "32", "48", "64"),
    "pool": ("1", "2", "3", "5"),
    "dropout": ("0", "0.1", "0.3", "0.5"),
}
# A column of 784 pixels wants long windows. These hold the published network.
_COLUMN = {
    "kernel": ("3", "5", "9", "15", "29", "57", "61"),
    "filters": ("8", "16", "24", "32", "55", "64"),
    "pool": ("1", "2", "5", "15", "30", "59", "60"),
    "dropout": ("0", "0.1", "0.3", "0.5"),
}


class Nascell:
    """A Plan (plan.py): each layer is a convolution with bias, ReLU, maximum pooling and dropout.

    Its kernel, filters, pool and rate of dropout are four decisions. Every choice is legal: strides are 1 and maps keep
    their sides. The classifier reads every value of the last map. With `two_dimensional` windows are squares, kernel 3
    being 3x3. Without it the image is one column of pixels, as in the published program, and windows are one pixel
    wide, kernel 61 being 61x1; the options are then longer windows.

    The published program differs from what its authors describe, and none of this is repeated here:

    * its reward is the accuracy on the test images; here searches read validation images alone
    * a jump of more than one point of accuracy gets a reward of 0.01; here the reward is the accuracy
    * its exploration stands behind a return and never runs, and its actions are numbers without bounds, not samples;
      here a strategy samples among the options
    * its dropout is a whole number, used as the share to keep, which does nothing from 1 up; here it is the rate of
      what is dropped, 0 included
    """

    name = "nascell"
    about = (
        "Kernel, filters, pooling and dropout a layer, as nascell-automl meant them: bounded and sampled, rewarded by "
        "validation images where the program read the test images, with dropout that drops where the program's did "
        "nothing."
    )
    source = "wallarm/nascell-automl (GitHub, 2017)"
    nested = True
    defaults: ClassVar[Mapping[str, Any]] = {"two_dimensional": True}
    published: ClassVar[Mapping[str, Published]] = {
        "readme": Published(
            "kernel61-filters24-pool60-dropout0 kernel57-filters55-pool59-dropout0",
            input_shape=(1, 28, 28),
            options={"two_dimensional": False},
            params=507_993,
            note="its authors report 99.87 % on MNIST, of test images that the search was rewarded with; the program's "
            "dropout of 5 and 3 did nothing",
        )
    }

    def __init__(self, *, input_shape: Shape, num_classes: int, max_layers: int, two_dimensional: bool = True) -> None:
        if not isinstance(two_dimensional, bool):
            raise SpaceError(f"two_dimensional is {two_dimensional!r}; it must be True or False (--two-dimensional)")
        self.input_shape = require_shape("input_shape", input_shape)
        self.num_classes = num_classes
        self.max_layers = max_layers
        self.two_dimensional = two_dimensional
        self._head = Classifier(num_classes, "flatten")
        offered = _SQUARE if two_dimensional else _COLUMN
        self._decisions = tuple(Decision(name, options) for name, options in offered.items())

    def options(self) -> dict[str, Any]:
        """Whether windows are squares."""
        return {"two_dimensional": self.two_dimensional}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Kernel, filters, pool, dropout, at every depth."""
        return self._decisions

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """Everything."""
        return (True,) * self._decisions[len(chosen)].size

    def state(self, prefix: Path) -> None:
        """Nothing decides what may follow."""

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'kernel3-filters16-pool2-dropout0.1'."""
        return plain_label(self._decisions, values)

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        return plain_values(self._decisions, label, depth=len(prefix) + 1)

    def network(self, path: Path) -> Graph:
        """The layers in turn, the first behind an unrolled image where windows are not squares."""
        nodes: list[GraphNode] = []
        if path and not self.two_dimensional:
            nodes.append(GraphNode(node_name(1, "unrolled"), Unrolled(), (IMAGE,), 1))
        for depth, action in enumerate(path, start=1):
            layer = self._layer(decode(self._decisions, action))
            nodes.append(GraphNode(node_name(depth, layer.label), layer, (len(nodes) - 1,), depth))
        return Graph(self.input_shape, tuple(nodes), (len(nodes) - 1,), self._head)

    def _layer(self, values: Values) -> PooledConvolution:
        kernel, filters, pool, dropout = map(str, named(self._decisions, values).values())
        return PooledConvolution(
            int(filters), int(kernel), int(pool), float(dropout), one_dimensional=not self.two_dimensional
        )
