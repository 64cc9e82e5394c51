"""Recurrent cells that people made, for comparison with those that a search finds: a path is the name of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode
from replaytree.space.layers import require_switch
from replaytree.space.plan import Published
from replaytree.space.recurrent import Activation, C, CellNode, H, RecurrentGraph, X
from replaytree.space.recurrent_plan import WORD_BY_WORD, RecurrentPlan

# The first has a quarter of the weights of the other.
CELLS = ("rnn", "lstm")
# A gate that is open at first lets gradients through (Jozefowicz et al., 2015).
FORGET_BIAS = 1.0


class PlainRnn(RecurrentPlan):
    """A Plan (plan.py) of one layer: `rnn`, tanh of x and h, or `lstm` (Hochreiter and Schmidhuber, 1997; forget gate).

    With `bias` every sum of products has one; that of the forget gate begins at 1. The decoder has one, too.
    """

    name = "plain-rnn"
    drawn = f"{WORD_BY_WORD}The whole cell is one layer"
    about = "Recurrent cells that people made, to compare with: a path is one word, rnn (tanh) or lstm."
    source = "Elman (1990); Hochreiter and Schmidhuber (1997)"
    # A path ends behind its first layer, whatever the depth bound.
    most = 10_000
    defaults: ClassVar[Mapping[str, Any]] = {"hidden": 100, "embedding": None, "bias": True}
    published: ClassVar[Mapping[str, Published]] = {}

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 1,
        hidden: int = 100,
        embedding: int | None = None,
        bias: bool = True,
    ) -> None:
        require_switch("bias of plain-rnn (--bias)", bias)
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, hidden=hidden, embedding=embedding
        )
        self.bias = bias

    def options(self) -> dict[str, Any]:
        """The sizes, and whether there are biases."""
        return {**super().options(), "bias": self.bias}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The cell."""
        return (Decision("cell", CELLS),)

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """Any cell, and nothing behind it."""
        return (not prefix,) * len(CELLS)

    def state(self, prefix: Path) -> int:
        """Legality depends on the depth."""
        return len(prefix)

    def label(self, prefix: Path, values: Values) -> str:
        """The cell's name."""
        return CELLS[values[0]]

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        if label not in CELLS:
            raise SpaceError(f"layer {len(prefix) + 1} is {label!r}; cells of plain-rnn are {', '.join(CELLS)}")
        return (CELLS.index(label),)

    def network(self, path: Path) -> RecurrentGraph:
        """The language model."""
        if not path:
            return self.graph((), (), decoder_bias=True)
        if CELLS[decode(self.decisions(1), path[0])[0]] == "rnn":
            return self.graph([self._leaf("cell", "tanh")], (0,), decoder_bias=True)
        nodes = [
            self._leaf("input_gate", "sigmoid"),
            self._leaf("forget_gate", "sigmoid", bias=FORGET_BIAS),
            self._leaf("candidate", "tanh"),
            self._leaf("output_gate", "sigmoid"),
            CellNode("kept", (1, C), "identity", 1, combination="mult"),
            CellNode("written", (0, 2), "identity", 1, combination="mult"),
            # Its sum, before tanh, is the new c.
            CellNode("memory", (4, 5), "tanh", 1),
            CellNode("shown", (3, 6), "identity", 1, combination="mult"),
        ]
        return self.graph(nodes, (7,), memory=6, decoder_bias=True)

    def _leaf(self, name: str, activation: Activation, *, bias: float = 0.0) -> CellNode:
        return CellNode(name, (X, H), activation, 1, weighted=True, bias=bias if self.bias else None)
