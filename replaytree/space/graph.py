"""The network of a prefix as plain values: layers, what each reads, and what the whole costs. No torch.

Costs, the trie, building and the exporters all read this one graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from keyword import iskeyword
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers import Classifier, Layer, layer_from_json, layer_to_json
from replaytree.space.layers.operation import Operation, joined
from replaytree.space.memory import Memory, alive_numbers, memory_of_chain, operations_of
from replaytree.space.network import BYTES, Row, Unit, most_alive
from replaytree.space.returned import require_shape

IMAGE = -1
"""Among the inputs and ends of a graph: what goes into the network."""

# Names that a network, or the exported source of one, has for something else.
_OTHER_NAMES = ("head", "merge", "image", "self")


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A layer of a graph. `inputs` are indices of earlier nodes, or IMAGE; `depth`, from 1, is of its path's layer.

    `drop`, 0 to 1, is a factor on the rate of drop-path: a training that has such a rate drops the node's whole output
    so often. 0: never, as identities.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    depth: int
    drop: float = 0.0


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A second classifier, which reads the map of node `source`, in training only."""

    source: int
    head: Layer


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after what it reads, and a head that reads `ends`.

    `merge` makes one feature map of several ends; it is None where there is one end. SpaceError where the parts do not
    fit together. In a nested space the nodes of a prefix are the first of its continuations': those of its depth and
    less, with the same names, layers and inputs; ends, merge, head and auxiliary belong to the prefix alone.

    `auxiliary` is no part of the finished network: no cost counts it, and nothing but a training builds it.
    """

    input_shape: Shape
    nodes: tuple[GraphNode, ...]
    ends: tuple[int, ...]
    head: Layer
    merge: Layer | None = None
    auxiliary: Auxiliary | None = None
    unit: ClassVar[Unit] = "image"

    def __post_init__(self) -> None:
        names: set[str] = set()
        for index, node in enumerate(self.nodes):
            if not node.name.isidentifier() or iskeyword(node.name) or node.name in _OTHER_NAMES:
                raise SpaceError(f"node {index} is named {node.name!r}; it must be a Python name, as 'layer3_join'")
            if node.name in names:
                raise SpaceError(f"two nodes are named {node.name!r}; make the names unique")
            if node.depth < 1:
                raise SpaceError(f"node {node.name} is of depth {node.depth}; it must be at least 1")
            if not 0.0 <= node.drop <= 1.0:
                raise SpaceError(f"the drop of node {node.name} is {node.drop!r}; it must be from 0 to 1")
            _require_earlier(f"node {node.name}", node.inputs, before=index)
            names.add(node.name)
        _require_earlier("the head", self.ends, before=len(self.nodes))
        if (self.merge is None) != (len(self.ends) == 1):
            raise SpaceError(f"the head reads {len(self.ends)} ends; several need a merge, and one has none")
        if self.auxiliary is not None and not 0 <= self.auxiliary.source < len(self.nodes):
            raise SpaceError(
                f"the auxiliary classifier reads node {self.auxiliary.source}; it may read 0 to {len(self.nodes) - 1}"
            )

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The feature map after each node; SpaceError, naming the layer, where one is illegal."""
        shapes: list[Shape] = []
        for node in self.nodes:
            read = self._read(node.inputs, shapes)
            after = node.layer.output_shape(*read)
            if after is None:
                raise SpaceError(
                    f"layer {node.depth}, {node.layer.label}, is illegal there: {node.layer.why_illegal(*read)}"
                )
            shapes.append(after)
        return tuple(shapes)

    @cached_property
    def end_shape(self) -> Shape:
        """The feature map that the head reads."""
        read = self._read(self.ends, self.shapes)
        if self.merge is None:
            return read[0]
        after = self.merge.output_shape(*read)
        if after is None:
            raise SpaceError(f"the head cannot read {len(read)} ends: {self.merge.why_illegal(*read)}")
        return after

    @cached_property
    def auxiliary_shape(self) -> Shape:
        """What the auxiliary classifier reads; SpaceError where there is none, or it is not one of the same classes."""
        if self.auxiliary is None:
            raise SpaceError("this network has no auxiliary classifier")
        shape, head = self.shapes[self.auxiliary.source], self.auxiliary.head
        found, wanted = head.output_shape(shape), self.head.output_shape(self.end_shape)
        if found is None:
            raise SpaceError(f"the auxiliary classifier is illegal there: {head.why_illegal(shape)}")
        if found != wanted:
            raise SpaceError(f"the auxiliary classifier makes {found} of an image, and the head makes {wanted}")
        return shape

    def input_shapes(self, node: GraphNode) -> tuple[Shape, ...]:
        """The feature maps that a node reads."""
        return self._read(node.inputs, self.shapes)

    @property
    def end_shapes(self) -> tuple[Shape, ...]:
        """The feature maps of the ends."""
        return self._read(self.ends, self.shapes)

    def parts(self, *, own: int | None = None, head: bool = True) -> Iterator[tuple[Layer, tuple[Shape, ...]]]:
        """Every layer and the shapes it reads: nodes, the merge, the head; with `own`, the nodes of that depth only."""
        for node, shapes in zip(self.nodes, self._inputs, strict=True):
            if own is None or node.depth == own:
                yield node.layer, shapes
        if self.merge is not None:
            yield self.merge, self.end_shapes
        if head:
            yield self.head, (self.end_shape,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the layers, in the order of the nodes."""
        return tuple(node.layer.label for node in self.nodes)

    @cached_property
    def params(self) -> int:
        """Numbers to train, of the whole."""
        return sum(layer.params(*shapes) for layer, shapes in self.parts())

    @cached_property
    def flops(self) -> int:
        """Multiply-adds for one image, of the whole."""
        return sum(layer.flops(*shapes) for layer, shapes in self.parts())

    @cached_property
    def activations(self) -> int:
        """Numbers of 32 bits that the whole keeps for one image for the backward pass."""
        return sum(layer.activations(*shapes) for layer, shapes in self.parts())

    @cached_property
    def peak_bytes(self) -> int:
        """The most bytes of 32-bit maps alive at once while one image is classified.

        Alive are a layer's inputs, its output, and what later layers read. What a layer makes within itself is not
        counted.
        """
        steps = [sources for _, sources, _ in self._reading]
        sizes = [math.prod(layer.output_shape(*shapes) or ()) for layer, _, shapes in self._reading]
        return BYTES * most_alive(steps, sizes, {IMAGE: math.prod(self.input_shape)})

    @cached_property
    def operations(self) -> tuple[Operation, ...] | None:
        """All operations of the deployed network in turn; they read one another, or IMAGE.

        None where those of a layer are unknown, and with them the memory.
        """
        found = [(sources, operations_of(layer, shapes)) for layer, sources, shapes in self._reading]
        known = [(sources, operations) for sources, operations in found if operations is not None]
        return joined(known) if len(known) == len(found) else None

    @cached_property
    def ram_bytes(self) -> int | None:
        """The most bytes of 8-bit maps alive at once while one image is classified, the image and the logits included.

        A buffer lives from the operation that makes it to the last one that reads it. One that works on each number by
        itself (ReLU, batch norm that is not folded, an addition) is in place where it may be. Every input of a
        concatenation is copied. What a kernel needs for itself is not counted.
        """
        if self.is_chain:
            return None if self._by_layer is None else self._by_layer.ram_bytes
        return None if self.operations is None else alive_numbers(self.operations, {IMAGE: math.prod(self.input_shape)})

    @property
    def flash_bytes(self) -> int | None:
        """The bytes of the weights, of 8 bits, and of the biases, of 32 bits; batch norm is folded where it can be."""
        return None if self._by_layer is None else self._by_layer.flash_bytes

    @cached_property
    def _by_layer(self) -> Memory | None:
        return memory_of_chain(self.parts())

    def own_params(self, depth: int) -> int:
        """Numbers to train of the layer at `depth`, and of the merge."""
        return sum(layer.params(*shapes) for layer, shapes in self.parts(own=depth, head=False))

    def rows(self) -> tuple[Row, ...]:
        """Every node, the merge, the head."""
        names = ("image", *(node.name for node in self.nodes))

        def row(name: str, depth: int | None, layer: Layer, inputs: tuple[str, ...], shapes: tuple[Shape, ...]) -> Row:
            shape = layer.output_shape(*shapes) or ()
            return Row(name, depth, layer.label, inputs, shape, layer.params(*shapes), layer.flops(*shapes))

        def read(sources: tuple[int, ...]) -> tuple[str, ...]:
            return tuple(names[source - IMAGE] for source in sources)

        rows = [
            row(node.name, node.depth, node.layer, read(node.inputs), self.input_shapes(node)) for node in self.nodes
        ]
        ends = read(self.ends)
        if self.merge is not None:
            rows.append(row("merge", None, self.merge, ends, self.end_shapes))
            ends = ("merge",)
        return (*rows, row("head", None, self.head, ends, (self.end_shape,)))

    def with_classes(self, number: int) -> Graph:
        """The same network for another number of classes."""
        assert isinstance(self.head, Classifier), "built-in heads are classifiers"
        return replace(self, head=replace(self.head, num_classes=number))

    @property
    def module_names(self) -> tuple[str, ...]:
        """The modules of the nodes; heads and merges start anew."""
        return tuple(node.name for node in self.nodes)

    @property
    def may_drop(self) -> bool:
        """Whether drop-path may drop the outputs of some nodes."""
        return any(node.drop for node in self.nodes)

    @property
    def is_normed(self) -> bool:
        """Whether no layer has weights without batch norm behind them. A kind without says so: `normed` is False.

        Layers of a user's own count as normed. A head alone is not.
        """
        return bool(self.nodes) and all(getattr(node.layer, "normed", True) for node in self.nodes)

    @property
    def is_chain(self) -> bool:
        """Whether each node reads the one before it alone, and the head the last."""
        chained = all(node.inputs == (index - 1,) for index, node in enumerate(self.nodes))
        return chained and self.ends == (len(self.nodes) - 1,)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON; what only a training reads stands there where it is not its default."""
        second = self.auxiliary
        return {
            "input_shape": list(self.input_shape),
            "nodes": [
                {
                    "name": node.name,
                    "layer": layer_to_json(node.layer),
                    "inputs": list(node.inputs),
                    "depth": node.depth,
                    **({"drop": node.drop} if node.drop else {}),
                }
                for node in self.nodes
            ],
            "ends": list(self.ends),
            "merge": None if self.merge is None else layer_to_json(self.merge),
            "head": layer_to_json(self.head),
            **({} if second is None else {"auxiliary": {"source": second.source, "head": layer_to_json(second.head)}}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Graph:
        """The inverse of to_json; SpaceError for values that describe no graph."""
        try:
            nodes = tuple(
                GraphNode(
                    _text(each["name"]),
                    layer_from_json(each["layer"]),
                    _integers(each["inputs"]),
                    _integers([each["depth"]])[0],
                    _number(each.get("drop", 0.0)),
                )
                for each in values["nodes"]
            )
            second = values.get("auxiliary")
            return cls(
                require_shape("input_shape", values["input_shape"]),
                nodes,
                _integers(values["ends"]),
                layer_from_json(values["head"]),
                None if values["merge"] is None else layer_from_json(values["merge"]),
                None
                if second is None
                else Auxiliary(_integers([second["source"]])[0], layer_from_json(second["head"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise SpaceError(f"this does not describe a network ({reason})") from error

    @cached_property
    def _reading(self) -> tuple[tuple[Layer, tuple[int, ...], tuple[Shape, ...]], ...]:
        """Every layer with what it reads, by position and by shape: nodes, the merge, the head."""
        nodes = [(node.layer, node.inputs, shapes) for node, shapes in zip(self.nodes, self._inputs, strict=True)]
        if self.merge is None:
            return (*nodes, (self.head, self.ends, (self.end_shape,)))
        merge, head = (self.merge, self.ends, self.end_shapes), (self.head, (len(nodes),), (self.end_shape,))
        return (*nodes, merge, head)

    @cached_property
    def _inputs(self) -> tuple[tuple[Shape, ...], ...]:
        """The feature maps that each node reads."""
        return tuple(map(self.input_shapes, self.nodes))

    def _read(self, inputs: Sequence[int], shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(self.input_shape if source == IMAGE else shapes[source] for source in inputs)


def chain(layers: Sequence[Layer], *, input_shape: Shape, head: Layer) -> Graph:
    """The layers in turn, named as in 'layer1_res128', and the head."""
    nodes = tuple(
        GraphNode(node_name(depth, layer.label), layer, (depth - 2,), depth)
        for depth, layer in enumerate(layers, start=1)
    )
    return Graph(input_shape, nodes, (len(nodes) - 1,), head)


def node_name(depth: int, word: str) -> str:
    """'layer3_conv32k3'; what a Python name cannot have becomes '_'."""
    return f"layer{depth}_" + "".join(sign if f"_{sign}".isidentifier() else "_" for sign in word)


def _require_earlier(who: str, inputs: tuple[int, ...], *, before: int) -> None:
    if not inputs:
        raise SpaceError(f"{who} reads nothing; give it at least one input")
    for source in inputs:
        if not IMAGE <= source < before:
            raise SpaceError(f"{who} reads node {source}; it may read {IMAGE}, the image, to {before - 1}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is {value!r}")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"a number is {value!r}")
    return float(value)


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise TypeError(f"{values!r} are not whole numbers")
    return tuple(values)
