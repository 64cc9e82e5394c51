"""The recurrent cells of Zoph and Le (2017): a binary tree over `base` leaves, and a memory.

Each leaf reads the word and h with matrices of its own; each inner node reads two nodes before it and has no weights. A
node is a combination and an activation. The memory c of the word before is injected into one node, and another node
gives the new c: its combination, before its activation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode
from replaytree.space.layers import require_switch, require_whole
from replaytree.space.plan import Published
from replaytree.space.recurrent import COMBINATIONS, Activation, C, CellNode, H, RecurrentGraph, X
from replaytree.space.recurrent_plan import WORD, WORD_BY_WORD, RecurrentPlan

ACTIVATIONS: tuple[Activation, ...] = ("identity", "tanh", "sigmoid", "relu")
MOST_BASE = 64

# tensorflow/addons, tensorflow_addons/rnn/nas_cell.py.
_NASCELL = (
    "add-sigmoid add-relu add-sigmoid mult-relu add-tanh add-sigmoid add-tanh add-sigmoid "
    "mult-tanh add-tanh mult-tanh add-sigmoid mult-identity add-tanh mult-tanh add-tanh@8+c@12"
)


class NasRnn(RecurrentPlan):
    """A Plan (plan.py). The first `base` layers are the leaves, nodes 0 to base - 1; the next base - 1 the inner nodes,
    level by level, of which the last gives h; one layer is the memory: combination, activation, the node that c is
    injected into, and the node that gives the new c. Whatever reads the first of these reads what injection made of it.

    A shorter path is a smaller cell. Without its last layer it has no memory. Inner nodes that are not chosen yet add,
    and take tanh; of leaves that are not there yet, nodes pass on what there is of their two inputs. So one leaf alone
    is a plain recurrent network.

    With `bias` each leaf adds one to its product with h. The decoder has one, too. Zoph and Le stack two such cells;
    this is one.
    """

    name = "nas-rnn"
    drawn = (
        f"{WORD_BY_WORD}Leaves multiply what they read by matrices of their own; other nodes have no weights. Each "
        "layer of the path is a node, and the last of a whole cell its memory. So every prefix is a smaller cell, a "
        "network of its own"
    )
    about = (
        "Recurrent cells of Zoph and Le: a binary tree over 8 leaves (--base), and a memory. A whole cell has 16 "
        "layers: 8 leaves, 7 inner nodes, and the memory (--max-layers 16)."
    )
    source = 'B. Zoph and Q. V. Le, "Neural Architecture Search with Reinforcement Learning" (2017), arXiv 1611.01578'
    defaults: ClassVar[Mapping[str, Any]] = {"hidden": 100, "embedding": None, "base": 8, "bias": False}
    published: ClassVar[Mapping[str, Published]] = {
        "NASCell": Published(_NASCELL, WORD, 10_000, note="the cell that Zoph and Le found, as in TensorFlow")
    }

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 16,
        hidden: int = 100,
        embedding: int | None = None,
        base: int = 8,
        bias: bool = False,
    ) -> None:
        require_whole("base of nas-rnn (--base)", base, least=2)
        if base & (base - 1) or base > MOST_BASE:
            raise SpaceError(f"base of nas-rnn is {base}; it must be 2, 4, 8, ... or {MOST_BASE} (--base)")
        require_switch("bias of nas-rnn (--bias)", bias)
        self.base = base
        self.bias = bias
        self.most = 2 * base
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, hidden=hidden, embedding=embedding
        )
        node = (Decision("combination", COMBINATIONS), Decision("activation", ACTIVATIONS))
        layers = tuple(range(1, self.most))
        numbers = tuple(str(layer - 1) for layer in layers)
        memory = (Decision("inject", numbers, "input", layers), Decision("memory", numbers, "input", layers))
        self._node, self._block = node, (*node, *memory)

    def options(self) -> dict[str, Any]:
        """The sizes, how many leaves, and whether they have biases."""
        return {**super().options(), "base": self.base, "bias": self.bias}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Combination and activation; of the last layer also the node of the old c, and the node of the new c."""
        return self._block if depth == self.most else self._node

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'add-tanh'; of the memory, 'add-tanh@8+c@12'."""
        combination, activation, *where = values
        word = f"{COMBINATIONS[combination]}-{ACTIVATIONS[activation]}"
        return f"{word}@{where[0]}+c@{where[1]}" if where else word

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        depth = len(prefix) + 1
        is_block = depth == self.most
        found = re.fullmatch(r"([a-z]+)-([a-z]+)" + (r"@([0-9]{1,3})\+c@([0-9]{1,3})" if is_block else ""), label)
        if found is None:
            what = "the memory, as in 'add-tanh@8+c@12'" if is_block else "a node, as in 'add-tanh'"
            raise SpaceError(f"layer {depth} is {label!r}; there it is {what}")
        combination, activation, *where = found.groups()
        for word, known in ((combination, COMBINATIONS), (activation, ACTIVATIONS)):
            if word not in known:
                raise SpaceError(f"layer {depth} is {label!r}; {word!r} is none of {', '.join(known)}")
        for number in where:
            if int(number) >= self.most - 1:
                raise SpaceError(f"layer {depth} is {label!r}; nodes are 0 to {self.most - 2}")
        return COMBINATIONS.index(combination), ACTIVATIONS.index(activation), *map(int, where)

    def network(self, path: Path) -> RecurrentGraph:
        """The language model."""
        chosen = [decode(self.decisions(depth), action) for depth, action in enumerate(path, start=1)]
        if not chosen:
            return self.graph((), (), decoder_bias=True)
        block = chosen[-1] if len(chosen) == self.most else None
        tree = _Tree(chosen, self.base, 0.0 if self.bias else None, block)
        return self.graph(tree.nodes, (tree.root,), memory=tree.memory, decoder_bias=True)


class _Tree:
    """The nodes of a cell, in the order of their numbers, and where those of a number stand."""

    def __init__(self, chosen: Sequence[Values], base: int, bias: float | None, block: Values | None) -> None:
        self.nodes: list[CellNode] = []
        self.memory: int | None = None
        self._block = block
        # By number: the index of what reads it get; None where it is not there.
        found: list[int | None] = []
        for number in range(base):
            leaf = CellNode(f"leaf{number}", (X, H), "tanh", 0, weighted=True, bias=bias)
            found.append(self._add(number, leaf, chosen) if number < len(chosen) else None)
        for number in range(base, 2 * base - 1):
            first = 2 * (number - base)
            inputs = [index for index in found[first : first + 2] if index is not None]
            if len(inputs) == 2:
                node = CellNode(f"inner{number}", tuple(inputs), "tanh", 0)
                found.append(self._add(number, node, chosen))
            else:
                found.append(inputs[0] if inputs else None)
        root = found[-1]
        assert root is not None, "there is a leaf"
        self.root = root

    def _add(self, number: int, node: CellNode, chosen: Sequence[Values]) -> int:
        """The index of a node, with what was chosen for it, or of what injection makes of it."""
        if number < len(chosen):
            combination, activation = chosen[number][:2]
            node = replace(
                node, combination=COMBINATIONS[combination], activation=ACTIVATIONS[activation], depth=number + 1
            )
        self.nodes.append(node)
        index = len(self.nodes) - 1
        if self._block is None:
            return index
        combination, activation, inject, memory = self._block
        if number == memory:
            self.memory = index
        if number != inject:
            return index
        self.nodes.append(
            CellNode("inject", (index, C), ACTIVATIONS[activation], len(chosen), combination=COMBINATIONS[combination])
        )
        return index + 1
