"""A space of the user's own, checked at every call: what it returns is converted, or named as what is wrong."""

from __future__ import annotations

from typing import Any

from replaytree.border import LARGEST_INTEGER, text, told, whole
from replaytree.errors import SpaceError
from replaytree.records import Path, Shape, Space
from replaytree.space.constraints import ConstrainedSpace
from replaytree.space.returned import called, require_cost, require_mask, require_shape
from replaytree.space.space import LabelSpace, LayerSpace

_NEEDS = "num_actions, max_layers, legal(prefix), label(action), build(prefix, num_classes) and cost(prefix)"


class CheckedSpace:
    """Another space, each of whose answers is as the contract has it (records.Space), or raises SpaceError."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._name = type(space).__name__
        if isinstance(space, type):
            raise SpaceError(f"space is the class {space.__name__}; give an object: {space.__name__}(...)")
        lacking = [
            name
            for name in ("num_actions", "max_layers", "legal", "label", "build", "cost")
            if not hasattr(space, name)
        ]
        if lacking:
            raise SpaceError(f"space is {told(space)}, which has no {lacking[0]}; a space has {_NEEDS}")
        self.num_actions, self.max_layers = (
            whole(f"{self._name}.{name}", getattr(space, name), least=1, most=LARGEST_INTEGER, error=SpaceError)
            for name in ("num_actions", "max_layers")
        )
        self._labels = self._all_labels()

    def __repr__(self) -> str:
        """The space that is checked."""
        return f"CheckedSpace({self.space!r})"

    def __getattr__(self, name: str) -> Any:
        """Everything else is the space's own."""
        if name == "space":
            raise AttributeError(name)
        return getattr(self.space, name)

    def legal(self, prefix: Path) -> tuple[bool, ...]:
        """Which actions may follow `prefix`."""
        asked = f"{self._name}.legal({prefix})"
        return require_mask(
            asked, called(asked, self.space.legal, prefix), self.num_actions, last=len(prefix) >= self.max_layers
        )

    def label(self, action: int) -> str:
        """The layer's name."""
        if not 0 <= action < self.num_actions:
            raise SpaceError(f"there is no action {action}; {self._name} has actions 0 to {self.num_actions - 1}")
        return self._labels[action]

    def build(self, prefix: Path, num_classes: int) -> Any:
        """The prefix with its classifier head."""
        return self.space.build(prefix, num_classes)

    def cost(self, prefix: Path) -> tuple[int, int] | None:
        """(parameters, FLOPs) of the prefix with its head; None: unknown."""
        asked = f"{self._name}.cost({prefix})"
        cost = called(asked, self.space.cost, prefix)
        return None if cost is None else require_cost(asked, cost)

    def output_shape(self, prefix: Path) -> Shape | None:
        """The feature map after `prefix`, where the space knows it."""
        output_shape = getattr(self.space, "output_shape", None)
        if output_shape is None:
            return None
        asked = f"{self._name}.output_shape({prefix})"
        shape = called(asked, output_shape, prefix)
        return None if shape is None else require_shape(asked, shape)

    def _all_labels(self) -> tuple[str, ...]:
        labels: dict[str, int] = {}
        for action in range(self.num_actions):
            asked = f"{self._name}.label({action})"
            label = text(asked, called(asked, self.space.label, action), error=SpaceError)
            if label.split() != [label] or not label.isprintable():
                raise SpaceError(f"{asked} is {label!r}; a label is not empty, and has no white space")
            if label in labels:
                raise SpaceError(f"{asked} is {label!r}, which action {labels[label]} has, too; make labels unique")
            labels[label] = action
        return tuple(labels)


def checked(space: Space) -> Space:
    """The space, checked at every call unless it is one of ours, which check themselves."""
    ours = isinstance(space, LayerSpace) or type(space) in (LabelSpace, ConstrainedSpace, CheckedSpace)
    return space if ours else CheckedSpace(space)
