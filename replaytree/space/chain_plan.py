"""A plan for chains: every layer is made of the same decisions, by a function, and reads the layer before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from replaytree.border import items, told
from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, count, decode, named
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.graph import Graph, chain
from replaytree.space.layers import Classifier, Layer
from replaytree.space.plan import plain_label, plain_values
from replaytree.space.returned import called, require_shape

# The layers of a feature map are tried one by one to find out what is legal.
MOST_LAYERS = 100_000


def chain_space(
    decisions: Mapping[str, Sequence[object]],
    layer: Callable[..., Layer | None],
    *,
    input_shape: Shape,
    num_classes: int,
    max_layers: int,
) -> DecisionSpace:
    """A space of one's own, of chains: `layer(kernel=3, filters=16)` makes a layer from an option of every decision.

    `decisions` are the options by name: {"kernel": [1, 3], "filters": [8, 16]}. Where `layer` returns None, these
    options do not go together. Raises SpaceError for what cannot be a space.
    """
    if not isinstance(decisions, Mapping) or not decisions:
        raise SpaceError(f"decisions is {told(decisions)}; give options by name, as in {{'kernel': [1, 3]}}")
    values: dict[str, dict[str, object]] = {}
    for name, options in decisions.items():
        found = items(f"the options of {name!r}", options, want="a list, as in [1, 3]", error=SpaceError)
        values[name] = {str(option): option for option in found}
        if len(values[name]) < len(found):
            raise SpaceError(f"decision {name!r} has an option twice: {', '.join(map(str, found))}")
    plan = ChainPlan(
        [Decision(name, tuple(words)) for name, words in values.items()],
        partial(_made, layer, values),
        input_shape=input_shape,
        num_classes=num_classes,
        max_layers=max_layers,
    )
    return DecisionSpace(plan)


def _made(
    layer: Callable[..., Layer | None], values: Mapping[str, Mapping[str, object]], chosen: Mapping[str, str]
) -> Layer | None:
    """The layer of some options, which the function gets as they were given: numbers as numbers."""
    return layer(**{name: values[name][word] for name, word in chosen.items()})


class ChainPlan:
    """A Plan (plan.py). `layer(options)` makes a layer from the option of every decision, {'kernel': '3', ...}.

    A layer is legal where its `output_shape` is not None. Options for which `layer` returns None are illegal together.
    """

    source = "your own"
    nested = True

    def __init__(
        self,
        decisions: Sequence[Decision],
        layer: Callable[[Mapping[str, Any]], Layer | None],
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int,
        name: str = "own",
    ) -> None:
        self.name = name
        self.input_shape = require_shape("input_shape", input_shape)
        self.num_classes = num_classes
        self.max_layers = max_layers
        self._decisions = tuple(decisions)
        if wrong := [decision.name for decision in self._decisions if decision.kind != "choice"]:
            raise SpaceError(f"decision {wrong[0]!r} is no choice; a chain has no inputs to choose")
        if count(self._decisions) > MOST_LAYERS:
            made = count(self._decisions)
            raise SpaceError(f"the decisions make {made:,} layers; a chain chooses among at most {MOST_LAYERS:,}")
        self._layer = layer
        self._layers: dict[Values, Layer | None] = {}
        self._masks: dict[tuple[Shape, Values], tuple[bool, ...]] = {}
        self._shapes: dict[Path, Shape] = {(): self.input_shape}

    def options(self) -> dict[str, Any]:
        """None: the function that makes the layers cannot be described."""
        return {}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The same at every depth."""
        return self._decisions

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """An option is legal where some choice of the later decisions makes a legal layer."""
        shape = self._shape(prefix)
        mask = self._masks.get((shape, chosen))
        if mask is None:
            decision, *rest = self._decisions[len(chosen) :]
            mask = tuple(
                any(
                    self._after((*chosen, value, *later), shape) is not None
                    for later in product(*(range(each.size) for each in rest))
                )
                for value in range(decision.size)
            )
            self._masks[shape, chosen] = mask
        return mask

    def state(self, prefix: Path) -> Shape:
        """The feature map: it decides what may follow."""
        return self._shape(prefix)

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'kernel3-filters16'."""
        return plain_label(self._decisions, values)

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        return plain_values(self._decisions, label, depth=len(prefix) + 1)

    def network(self, path: Path) -> Graph:
        """The layers in turn, then global average pooling and a linear layer."""
        layers = [self.layer_of(decode(self._decisions, action)) for action in path]
        return chain(
            [layer for layer in layers if layer is not None],
            input_shape=self.input_shape,
            head=Classifier(self.num_classes),
        )

    def layer_of(self, values: Values) -> Layer | None:
        """The layer that some values make."""
        if values not in self._layers:
            options = dict(named(self._decisions, values))
            made = called(f"the layer of {options}", self._layer, options)
            if made is not None and (isinstance(made, type) or not isinstance(made, Layer)):
                raise SpaceError(f"the layer of {options} is {told(made)}; it must be a layer, or None")
            self._layers[values] = made
        return self._layers[values]

    def _after(self, values: Values, shape: Shape) -> Shape | None:
        layer = self.layer_of(values)
        return None if layer is None else layer.output_shape(shape)

    def _shape(self, prefix: Path) -> Shape:
        if prefix not in self._shapes:
            after = self._after(decode(self._decisions, prefix[-1]), self._shape(prefix[:-1]))
            assert after is not None, "the prefix is legal"
            if len(self._shapes) > MOST_LAYERS:
                self._shapes = {(): self.input_shape}
            self._shapes[prefix] = after
        return self._shapes[prefix]
