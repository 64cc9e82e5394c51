"""What the plans of recurrent cells share: their data, their sizes, and the highway cells of ENAS and DARTS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.metric import Task
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode
from replaytree.space.layers import format_shape, require_whole
from replaytree.space.recurrent import Activation, CellNode, H, RecurrentGraph, X
from replaytree.space.sketch import Sketch

WORD: Shape = (1, 1, 1)
"""The shape of input of all spaces of text: one word at a time."""

ENDS = ("loose", "all")


WORD_BY_WORD = "The cell reads a text word by word: of each word and the state before it, it makes the new state. "


class RecurrentPlan(ABC):
    """The part of a Plan (plan.py) that all spaces of recurrent cells share.

    `hidden` is the size of the state, `embedding` that of the vector of a word; None: the same. `num_classes` is the
    number of words.
    """

    name: str
    # Layers of a whole cell.
    most: int
    task: Task = "text"
    nested = False

    def __init__(
        self, *, input_shape: Shape, num_classes: int, max_layers: int, hidden: int, embedding: int | None
    ) -> None:
        if tuple(input_shape) != WORD:
            raise SpaceError(
                f"{self.name} is for text, one word at a time (shape {format_shape(WORD)}), and not for images of "
                f"{format_shape(input_shape)}"
            )
        require_whole(f"hidden of {self.name} (--hidden)", hidden, least=1)
        if embedding is not None:
            require_whole(f"embedding of {self.name} (--embedding)", embedding, least=1)
        require_whole("max_layers", max_layers, least=1)
        if max_layers > self.most:
            raise SpaceError(
                f"max_layers is {max_layers}; the cells of {self.name} have at most {self.most} layers (--max-layers)"
            )
        self.input_shape = WORD
        self.num_classes = num_classes
        self.max_layers = max_layers
        self.hidden = hidden
        self.embedding = embedding

    def options(self) -> dict[str, Any]:
        """The sizes."""
        return {"hidden": self.hidden, "embedding": self.embedding}

    @abstractmethod
    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of the layer at `depth`."""

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """Everything."""
        return (True,) * self.decisions(len(prefix) + 1)[len(chosen)].size

    def state(self, prefix: Path) -> int | None:
        """Legality depends on the depth alone."""
        return None

    def cheapest(self, prefix: Path, chosen: Values) -> int:
        """The first option: no other costs less."""
        return 0

    @abstractmethod
    def network(self, path: Path) -> RecurrentGraph:
        """The language model with a cell."""

    def sketches(self, path: Path) -> tuple[Sketch]:
        """The cell."""
        return (self.network(path).sketch(),)

    def graph(
        self, nodes: Sequence[CellNode], ends: Sequence[int], *, memory: int | None = None, decoder_bias: bool
    ) -> RecurrentGraph:
        """The language model with a cell; of no nodes, one that sees the last word alone."""
        if not nodes:
            nodes, ends = [CellNode("word", (X,), "identity", 0, weighted=True)], [0]
        embedding = self.hidden if self.embedding is None else self.embedding
        return RecurrentGraph(
            tuple(nodes), tuple(ends), self.hidden, embedding, self.num_classes, memory, decoder_bias
        )  # fmt: skip


class HighwayPlan(RecurrentPlan):
    """Cells of highways: node k reads one earlier node, and is p + t * (activation(V p) - p), with t = sigmoid(W p).

    The node before all others does so with x and h: p is h there. It is node 1, the first layer, whose activation is
    chosen; or, where `first_is_given`, node 0, which has tanh and is no layer. The new h is the mean of `ends`: of the
    nodes that no node reads (loose), or of all behind that first one.
    """

    activations: ClassVar[tuple[Activation, ...]]
    first_is_given: ClassVar[bool]
    drawn = (
        f"{WORD_BY_WORD}A highway mixes what it reads last with an activation of what it reads, as its gate decides. "
        "Each layer of the path is a node. So every prefix is a smaller cell, a network of its own"
    )
    decoder_bias: ClassVar[bool]
    most = 32

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int,
        hidden: int,
        embedding: int | None,
        ends: str,
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, hidden=hidden, embedding=embedding
        )
        if ends not in ENDS:
            raise SpaceError(f"ends of {self.name} is {ends!r}; it must be {' or '.join(ENDS)} (--ends)")
        self.ends = ends

    def options(self) -> dict[str, Any]:
        """The sizes, and which nodes make the new h."""
        return {**super().options(), "ends": self.ends}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The earlier node and the activation; of a first node that is chosen, the activation alone."""
        return _decisions(self.activations, 0 if self.first_is_given else 1, depth)

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'relu@2'; of a first node 'relu'."""
        *source, activation = values
        word = self.activations[activation]
        return f"{word}@{self.decisions(len(prefix) + 1)[0].options[source[0]]}" if source else word

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        depth = len(prefix) + 1
        decisions = self.decisions(depth)
        who = f"layer {depth} is {label!r}"
        word, at, source = label.partition("@")
        example = f"'{self.activations[0]}@1'" if len(decisions) > 1 else repr(self.activations[0])
        if bool(at) != (len(decisions) > 1):
            what = "an activation and the node that it reads" if len(decisions) > 1 else "an activation"
            raise SpaceError(f"{who}; there it is {what}, as in {example}")
        if word not in self.activations:
            raise SpaceError(
                f"{who}; {word!r} is no activation of {self.name}, which are {', '.join(self.activations)}"
            )
        if not at:
            return (self.activations.index(word),)
        sources = decisions[0].options
        if source not in sources:
            raise SpaceError(f"{who}; it may read node {' or '.join(sources)}, and {source!r} is none of them")
        return sources.index(source), self.activations.index(word)

    def cell(self, path: Path) -> tuple[CellNode, ...]:
        """The nodes of a path."""
        layers = [decode(self.decisions(depth), action) for depth, action in enumerate(path, start=1)]
        return self._cell(layers)

    def _cell(self, layers: Sequence[Values]) -> tuple[CellNode, ...]:
        # Nodes have their numbers in their names; the index of a node in the cell is one less where they begin at 1.
        begin = 0 if self.first_is_given else 1
        nodes = []
        if self.first_is_given:
            nodes.append(CellNode("node0", (X, H), "tanh", 0, weighted=True, gated=True))
        for depth, values in enumerate(layers, start=1):
            if len(values) == 1:
                node = CellNode("node1", (X, H), self.activations[values[0]], depth, weighted=True, gated=True)
            else:
                source, activation = values
                node = CellNode(
                    f"node{depth}_in{source + begin}", (source,), self.activations[activation], depth, weighted=True,
                    gated=True,
                )  # fmt: skip
            nodes.append(node)
        return tuple(nodes)

    def network(self, path: Path) -> RecurrentGraph:
        """The language model."""
        nodes = self.cell(path)
        return self.graph(nodes, self._ends_of(nodes), decoder_bias=self.decoder_bias)

    def _ends_of(self, nodes: Sequence[CellNode]) -> tuple[int, ...]:
        read = {source for node in nodes for source in node.reads}
        if self.ends == "loose" or len(nodes) == 1:
            return tuple(index for index in range(len(nodes)) if index not in read)
        return tuple(range(1, len(nodes)))


@lru_cache(maxsize=256)
def _decisions(activations: tuple[str, ...], begin: int, depth: int) -> tuple[Decision, ...]:
    activation = Decision("activation", activations)
    sources = tuple(range(begin, depth))
    return (Decision("input", tuple(map(str, sources)), "input", sources), activation) if sources else (activation,)
