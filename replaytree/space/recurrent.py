"""The network of a recurrent cell as plain values: what each node reads and does, and what the whole costs. No torch.

A word becomes a vector x by an embedding; the cell makes a new state of x and the state before, word by word; the
decoder makes logits of the new h with the embedding's own weights. Costs, building and the exporters read this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers import require_switch, require_whole
from replaytree.space.network import BYTES, Row, Unit, most_alive
from replaytree.space.sketch import Box, Sketch

X, H, C = -1, -2, -3
"""What a node may read beside earlier nodes: the embedded word, and the two parts of the state before it."""

GIVEN = {X: "x", H: "h", C: "c"}

# Signs of a list of nodes in a drawing.
MOST_LISTED = 30

Activation = Literal["tanh", "relu", "sigmoid", "identity"]
Combination = Literal["add", "mult"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)


@dataclass(frozen=True, slots=True)
class CellNode:
    """A node of a recurrent cell: activation(combination of what it reads).

    `reads` are indices of earlier nodes, or X, H, C. If `weighted`, each is first multiplied by a matrix of its own,
    and a `bias` that begins with this value is added to the last product; None: there is none. If `gated`, the matrices
    have twice as many rows, of which the second half makes a gate t = sigmoid(...), and the node is a highway:
    p + t * (activation(...) - p), where p is what it reads last. `depth` is that of its path's layer; 0: of none,
    because all paths have the node.
    """

    name: str
    reads: tuple[int, ...]
    activation: Activation
    depth: int
    combination: Combination = "add"
    weighted: bool = False
    gated: bool = False
    bias: float | None = None

    @property
    def title(self) -> str:
        """Its name without what it reads, as in 'node 3'."""
        return re.sub(r"(?<=[a-z])(?=[0-9])", " ", re.sub(r"_in[0-9]+$", "", self.name)).replace("_", " ")

    @property
    def label(self) -> str:
        """As in 'highway-tanh', 'add-relu', or, of a node that reads one thing, 'tanh'."""
        if self.gated:
            return f"highway-{self.activation}"
        return self.activation if len(self.reads) == 1 else f"{self.combination}-{self.activation}"


@dataclass(frozen=True)
class RecurrentGraph:
    """The nodes of a cell, each after what it reads, and the sizes of a language model with that cell.

    The new h is the mean of the nodes `ends`. The new c is the combination of node `memory` before its activation;
    None: the state is h alone. Where `embedding` and `hidden` differ, a matrix, the projection, makes one of the other
    before the decoder. FLOPs are multiply-adds of matrices; the rest of a word's work does not count. SpaceError where
    parts do not fit together.
    """

    nodes: tuple[CellNode, ...]
    ends: tuple[int, ...]
    hidden: int
    embedding: int
    vocabulary: int
    memory: int | None = None
    decoder_bias: bool = False
    unit: ClassVar[Unit] = "word"

    def __post_init__(self) -> None:
        for name in ("hidden", "embedding", "vocabulary"):
            require_whole(f"{name} of a recurrent cell", getattr(self, name), least=1)
        lowest = H if self.memory is None else C
        require_switch("decoder_bias of a recurrent cell", self.decoder_bias)
        names: set[str] = set()
        for index, node in enumerate(self.nodes):
            who = f"node {node.name} of the cell"
            if not node.name.isidentifier() or node.name in names:
                raise SpaceError(f"node {index} is named {node.name!r}; it must be a Python name that no other has")
            if node.activation not in ACTIVATIONS or node.combination not in COMBINATIONS:
                known = f"{', '.join(COMBINATIONS)} and {', '.join(ACTIVATIONS)}"
                raise SpaceError(f"{who} is {node.combination!r:.40}, {node.activation!r:.40}; there are {known}")
            require_whole(f"depth of {who}", node.depth, least=0)
            require_switch(f"weighted of {who}", node.weighted)
            require_switch(f"gated of {who}", node.gated)
            if node.gated and (not node.weighted or node.combination != "add" or node.reads[-1:] == (X,)):
                raise SpaceError(f"{who} is gated; such a node adds products, and reads a state last")
            if node.bias is not None and not (node.weighted and isinstance(node.bias, int | float)):
                raise SpaceError(f"{who} has the bias {node.bias!r:.40}; only a node with matrices has one, a number")
            if len(set(node.reads)) != len(node.reads) and node.weighted:
                raise SpaceError(f"{who} reads one thing twice")
            _require_earlier(who, node.reads, lowest, index)
            if X in node.reads and not node.weighted and self.embedding != self.hidden:
                raise SpaceError(f"{who} reads x without a matrix, and x has another size")
            names.add(node.name)
        _require_earlier("the new h", self.ends, 0, len(self.nodes))
        if self.memory is not None:
            _require_earlier("the new c", (self.memory,), 0, len(self.nodes))
            if self.nodes[self.memory].gated:
                raise SpaceError(f"node {self.nodes[self.memory].name} is gated, and the new c is no highway's")

    @property
    def states(self) -> int:
        """How many vectors of `hidden` numbers the state has: h, or h and c."""
        return 1 if self.memory is None else 2

    @property
    def input_shape(self) -> Shape:
        """One word."""
        return 1, 1, 1

    @property
    def end_shape(self) -> Shape:
        """The new h."""
        return self.hidden, 1, 1

    @property
    def labels(self) -> tuple[str, ...]:
        """The nodes, in order."""
        return tuple(node.label for node in self.nodes)

    def matrices(self, node: CellNode) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of the matrix for each thing that a node reads; none where it has no weights."""
        rows = self.hidden * (2 if node.gated else 1)
        return tuple((rows, self.embedding if source == X else self.hidden) for source in node.reads if node.weighted)

    def rows(self) -> tuple[Row, ...]:
        """The embedding, the nodes, the projection if there is one, and the decoder."""
        rows = [Row("embedding", None, "embedding", ("word",), (self.embedding,), self.vocabulary * self.embedding, 0)]
        for node in self.nodes:
            products = sum(rows * columns for rows, columns in self.matrices(node))
            bias = 0 if node.bias is None else self.hidden * (2 if node.gated else 1)
            reads = tuple(map(self.source_name, node.reads))
            rows.append(
                Row(node.name, node.depth or None, node.label, reads, (self.hidden,), products + bias, products)
            )
        ends = tuple(map(self.source_name, self.ends))
        if self.embedding != self.hidden:
            product = self.embedding * self.hidden
            rows.append(Row("projection", None, "projection", ends, (self.embedding,), product, product))
            ends = ("projection",)
        bias = self.vocabulary if self.decoder_bias else 0
        return (
            *rows,
            Row("decoder", None, "tied-decoder", ends, (self.vocabulary,), bias, self.vocabulary * self.embedding),
        )

    def source_name(self, source: int) -> str:
        """What a node reads, in a word: 'x', 'h', 'c', or the name of a node."""
        return GIVEN[source] if source < 0 else self.nodes[source].name

    def sketch(self) -> Sketch:
        """The cell, to be drawn."""
        words = (("x", "the word"), ("h", "the state before"), ("c", "the memory before"))
        given = tuple(Box(title, (what,)) for title, what in words[: 1 + self.states])
        # Places of what nodes read: the boxes of the state and the word come first.
        places = {X: 0, H: 1, C: 2} | {index: len(given) + index for index in range(len(self.nodes))}

        def place(sources: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(places[source] for source in sources)

        nodes = tuple(Box(node.title, (node.label,), place(node.reads), node.depth or None) for node in self.nodes)
        outputs = [Box("new h", (self._mean_in_words(),), place(self.ends))]
        if self.memory is not None:
            outputs.append(
                Box("new c", (f"{self.nodes[self.memory].title}, before activation",), place((self.memory,)))
            )
        return Sketch("The recurrent cell", given, nodes, tuple(outputs))

    def _mean_in_words(self) -> str:
        """What the new h is, in the two lines that a box has."""
        names = [self.nodes[end].title.removeprefix("node ") for end in self.ends]
        if len(names) == 1:
            return self.nodes[self.ends[0]].title
        if len(names) > 2 and self.ends == tuple(range(self.ends[0], self.ends[-1] + 1)):
            return f"mean of {names[0]} to {names[-1]}"
        listed = f"mean of {', '.join(names)}"
        return listed if len(listed) <= MOST_LISTED else f"mean of {len(names)} nodes"

    @cached_property
    def params(self) -> int:
        """Numbers to train, of the whole; the embedding, which is the decoder, too, counts once."""
        return sum(row.params for row in self.rows())

    @cached_property
    def flops(self) -> int:
        """Multiply-adds for one word, of the whole."""
        return sum(row.flops for row in self.rows())

    def own_params(self, depth: int) -> int:
        """Numbers to train of the nodes of the layer at `depth`."""
        return sum(row.params for row in self.rows() if row.depth == depth)

    @cached_property
    def activations(self) -> int:
        """Numbers of 32 bits kept for the backward pass of one word.

        x, c, and h where it is a mean; of a highway its activation, gate and output; of another node its output; the
        logits, their logarithmic softmax, and its gradient. Products of matrices are kept where they are factors
        themselves: then all products of what was multiplied are, because they lie in one piece of memory.
        """
        nodes = sum(3 if node.gated else 1 for node in self.nodes)
        factors = {source for node in self.nodes if node.weighted and _keeps_products(node) for source in node.reads}
        products = sum(
            rows
            for node in self.nodes
            for source, (rows, _) in zip(node.reads, self.matrices(node), strict=False)
            if source in factors
        )
        states = (len(self.ends) > 1) + (self.memory is not None)
        return self.embedding + (states + nodes) * self.hidden + products + 3 * self.vocabulary

    @cached_property
    def peak_bytes(self) -> int:
        """The most bytes of 32-bit numbers alive at once while one word is predicted; what a node makes within itself
        is not counted.
        """
        steps = [node.reads for node in self.nodes]
        sizes = [self.hidden] * len(steps)
        # The new state lives until the word is predicted, so that the next one can be.
        states = self.ends if self.memory is None else (*self.ends, self.memory)
        steps += [states, (*states, len(steps))]
        sizes += [self.hidden, self.vocabulary]
        given = {X: self.embedding, H: self.hidden} | ({} if self.memory is None else {C: self.hidden})
        return BYTES * most_alive(steps, sizes, given)

    @property
    def ram_bytes(self) -> None:
        """Unknown: recurrent cells are not deployed with 8 bits here."""
        return None

    @property
    def flash_bytes(self) -> None:
        """Unknown, as `ram_bytes`."""
        return None

    @property
    def is_normed(self) -> bool:
        """False: recurrent cells have no batch norm."""
        return False

    @property
    def may_drop(self) -> bool:
        """False: there are no paths to drop."""
        return False

    @property
    def module_names(self) -> tuple[str, ...]:
        """The embedding, which is the decoder, too, and the nodes that have weights."""
        return ("embedding", *(node.name for node in self.nodes if node.weighted))

    def with_classes(self, number: int) -> RecurrentGraph:
        """The same cell for a vocabulary of another size."""
        return replace(self, vocabulary=number)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        sizes = {name: getattr(self, name) for name in ("hidden", "embedding", "vocabulary", "memory", "decoder_bias")}
        cell = [
            {
                "name": node.name, "reads": list(node.reads), "activation": node.activation, "depth": node.depth,
                "combination": node.combination, "weighted": node.weighted, "gated": node.gated, "bias": node.bias,
            }
            for node in self.nodes
        ]  # fmt: skip
        return {"cell": cell, "ends": list(self.ends), **sizes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RecurrentGraph:
        """The inverse of to_json; SpaceError for values that describe no recurrent cell."""
        try:
            given = dict(values)
            nodes = tuple(CellNode(**{**node, "reads": _integers(node["reads"])}) for node in given.pop("cell"))
            return cls(nodes, _integers(given.pop("ends")), **given)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise SpaceError(f"this does not describe a recurrent cell ({reason})") from error


def _keeps_products(node: CellNode) -> bool:
    """Whether the products of a node are factors: of each other, or, unchanged, of the gate."""
    return node.combination == "mult" or (node.gated and node.activation == "identity" and len(node.reads) == 1)


def _require_earlier(who: str, reads: tuple[int, ...], lowest: int, before: int) -> None:
    if not reads:
        raise SpaceError(f"{who} reads nothing; give it at least one input")
    for source in reads:
        if not lowest <= source < before:
            raise SpaceError(f"{who} reads {source}; it may read {lowest} to {before - 1}")


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise TypeError(f"{values!r} are not whole numbers")
    return tuple(values)
