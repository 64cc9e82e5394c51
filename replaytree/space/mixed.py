"""The mixed supernet of a space: one network that mixes the options of every decision, as plain values. No torch.

A differentiable search holds one vector of numbers a decision. Their softmax, or for a set of inputs the sigmoid of
each, weighs the options: an edge is the weighted sum of what its options make of one map, and a node is the sum of its
edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from replaytree.errors import SpaceError
from replaytree.records import Path, Shape
from replaytree.space.cells import KINDS, CellPlan, Node
from replaytree.space.layers import Layer, NormedPooling, Pooling, legal_output

Factor = tuple[int, int]
"""A decision, and one of its options."""

Weight = tuple[tuple[Factor, ...], ...]
"""A sum of products of the weights of options: ((a, b), (c,)) is a b + c."""

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mixing:
    """A decision of the supernet, which has one number an option.

    `choice`: their softmax weighs the options, of which one is derived. `inputs`: the sigmoid of each weighs it, and
    any of them are derived. `never` are options that are in the softmax and are never derived, as 'none'. `skips` are
    those that pass a map on as it is.
    """

    name: str
    options: tuple[str, ...]
    kind: Literal["choice", "inputs"] = "choice"
    never: tuple[int, ...] = ()
    skips: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice" and len(self.never) >= len(self.options):
            raise SpaceError(f"of decision {self.name!r} nothing could be derived; give it an option")


@dataclass(frozen=True, slots=True)
class MixedOption:
    """What an edge may do: layers in turn, none of them where it passes its map on; `layers` None: it gives zeros.

    `masks` are pairs of a weight and a number of channels, where one operation serves for several options that differ
    in these alone: the leading channels of its output count with the weight. Then `weight` is empty.
    """

    layers: tuple[Layer, ...] | None
    weight: Weight
    masks: tuple[tuple[Weight, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MixedEdge:
    """The options that read map `source`, all with output of one shape; fewer channels count as zeros beyond.

    `factor` weighs the edge among those of its node. With `share` s > 1 the options see the first 1/s of the channels,
    the others pass by, weighed by `passing` where there is such a weight, and all are shuffled: PC-DARTS. With `stride`
    2 what passes by is pooled.
    """

    source: int
    options: tuple[MixedOption, ...]
    factor: Factor | None = None
    share: int = 1
    stride: int = 1
    passing: Weight = ()


@dataclass(frozen=True, slots=True)
class MixedNode:
    """A map: a layer that reads earlier maps, or the sum of some edges. Map 0 is the image, node n makes map n + 1."""

    name: str
    shape: Shape
    layer: Layer | None = None
    inputs: tuple[int, ...] = ()
    edges: tuple[MixedEdge, ...] = ()


@dataclass(frozen=True, slots=True)
class MixedGraph:
    """A whole mixed supernet; the head reads the last map."""

    input_shape: Shape
    decisions: tuple[Mixing, ...]
    nodes: tuple[MixedNode, ...]
    head: Layer

    def shape(self, number: int) -> Shape:
        """The shape of a map."""
        return self.nodes[number - 1].shape if number else self.input_shape

    def parts(self) -> Iterator[tuple[Layer, tuple[Shape, ...]]]:
        """Every layer, and the shapes that it reads."""
        for node in self.nodes:
            if node.layer is not None:
                yield node.layer, tuple(map(self.shape, node.inputs))
            for edge in node.edges:
                for option in edge.options:
                    shape = read_shape(self.shape(edge.source), edge)
                    for layer in option.layers or ():
                        yield layer, (shape,)
                        shape = legal_output(layer, shape)
        yield self.head, (self.shape(len(self.nodes)),)

    @property
    def flops(self) -> int:
        """Multiply-adds for one image, of all options."""
        return sum(layer.flops(*shapes) for layer, shapes in self.parts())

    def activations(self, *, together: bool) -> int:
        """Numbers of 32 bits that a step keeps for one image for the backward pass, products with weights among them.

        Of all options `together`, or of one option an edge, the one that keeps most.
        """
        total = self.head.activations(self.shape(len(self.nodes)))
        for node in self.nodes:
            if node.layer is not None:
                total += node.layer.activations(*map(self.shape, node.inputs))
            for edge in node.edges:
                shape = read_shape(self.shape(edge.source), edge)
                product = math.prod(node.shape) // edge.share
                kept = [product + _kept(option.layers or (), shape) for option in edge.options]
                total += sum(kept) if together else max(kept)
        return total


@dataclass(frozen=True, slots=True)
class Projection:
    """A step of a derivation by perturbation: which one of some weights is kept, or which `keep` edges of a node.

    `decisions` is one decision whose option is chosen, or the edges of a node, of which `keep` are chosen. Where one
    decision weighs the edges of a node, it stands there alone, and `keep` of its options are chosen.
    """

    name: str
    decisions: tuple[int, ...]
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Skips:
    """Of a path: the operations of its normal cell that pass their input on, and the share of these in both cells."""

    normal: int
    share: float


class Mixture(Protocol):
    """The mixed supernet of a space, and how its weights become a path."""

    graph: MixedGraph

    def derive(self, weights: Sequence[Row]) -> Path:
        """The path of some weights, one row a decision."""
        ...

    def rows(self, path: Path) -> list[Row]:
        """The weights with which the supernet is the network of a path: ones and zeros."""
        ...

    def projections(self) -> list[Projection]:
        """The steps of a derivation by perturbation; those that choose options come first."""
        ...

    def skips(self, path: Path) -> Skips | None:
        """How many of its operations pass their input on; None in a space that has no such operation."""
        ...


def _kept(layers: Sequence[Layer], shape: Shape) -> int:
    """What layers in turn keep for the backward pass."""
    total = 0
    for layer in layers:
        total += layer.activations(shape)
        shape = legal_output(layer, shape)
    return total


def read_shape(shape: Shape, edge: MixedEdge) -> Shape:
    """What the options of an edge see of its map."""
    return (shape[0] // edge.share, *shape[1:])


def normed(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers of an option, with batch norm behind poolings, as DARTS searches with them."""
    return tuple(
        NormedPooling(layer.kind, layer.kernel, layer.stride) if isinstance(layer, Pooling) else layer
        for layer in layers
    )


def one_hot(size: int, *places: int) -> Row:
    """A row of zeros, and of ones at some places."""
    return tuple(1.0 if place in places else 0.0 for place in range(size))


def best_option(mixing: Mixing, row: Sequence[float]) -> int:
    """The option of the largest weight, among those that may be derived; the first of equal ones."""
    allowed = [option for option in range(len(mixing.options)) if option not in mixing.never]
    return max(allowed, key=lambda option: row[option])


class MixedDrawing:
    """A mixed graph under construction, which knows the shape of every map."""

    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self.decisions: list[Mixing] = []
        self._nodes: list[MixedNode] = []

    def decide(self, mixing: Mixing) -> int:
        """A decision; its number."""
        self.decisions.append(mixing)
        return len(self.decisions) - 1

    def add(self, name: str, layer: Layer, *inputs: int) -> int:
        """A map that a layer makes of earlier ones; its number."""
        shape = legal_output(layer, *map(self.shape, inputs))
        self._nodes.append(MixedNode(name, shape, layer=layer, inputs=inputs))
        return len(self._nodes)

    def mix(self, name: str, shape: Shape, edges: Sequence[MixedEdge]) -> int:
        """A map that is the sum of edges; its number."""
        assert edges, "a node reads something"
        self._nodes.append(MixedNode(name, shape, edges=tuple(edges)))
        return len(self._nodes)

    def shape(self, number: int) -> Shape:
        """The shape of a map."""
        return self._nodes[number - 1].shape if number else self.input_shape

    def graph(self, head: Layer) -> MixedGraph:
        """The whole, with a head that reads the last map."""
        return MixedGraph(self.input_shape, tuple(self.decisions), tuple(self._nodes), head)


def require_cells(plan: CellPlan, *, share: int) -> None:
    """SpaceError unless these cells have a supernet whose operations see one of `share` parts of the channels."""
    if plan.channels % share:
        raise SpaceError(
            f"channels are {plan.channels}, which is no multiple of {share}, the parts of which operations see one; "
            f"choose other --channels, or --channel-parts"
        )
    if plan.max_layers < len(KINDS):
        raise SpaceError(
            f"max_layers is {plan.max_layers}, and a supernet has a node of each kind of cell; give at least "
            f"{len(KINDS)} (--max-layers)"
        )


def cell_skips(cells: tuple[Sequence[Node], Sequence[Node]], word: str) -> Skips:
    """The operations of that name in a normal and a reduction cell."""
    normal, both = ([edge for cell in some for node in cell for edge in node.edges] for some in (cells[:1], cells))
    return Skips(
        sum(edge.operation == word for edge in normal),
        sum(edge.operation == word for edge in both) / len(both),
    )
