"""A space of the user's own, checked at every call: what it returns is converted, or named as what is wrong."""

from __future__ import annotations

from typing import Any

from replaytree.border import LARGEST_INTEGER, items, text, told, whole
from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape, Space
from replaytree.space.coding import MOST_ACTIONS, count
from replaytree.space.constraints import ConstrainedSpace
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.label_space import LabelSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.space.notation import action_of
from replaytree.space.returned import called, require_cost, require_mask, require_shape

_NEEDS = "num_actions, max_layers, legal(prefix), label(action), build(prefix, num_classes) and cost(prefix)"
_NEEDS_OF_DECISIONS = (
    "max_layers, decisions(depth), legal(prefix, chosen), label(prefix, action), action(prefix, label)"
)


class CheckedSpace:
    """Another space, each of whose answers is as the contract has it (records.Space), or raises SpaceError.

    The space has either `decisions`, or one decision a layer: then it has `num_actions`, `legal(prefix)` and
    `label(action)`.
    """

    def __init__(self, space: Any) -> None:
        self.space = space
        self._name = type(space).__name__
        if isinstance(space, type):
            raise SpaceError(f"space is the class {space.__name__}; give an object: {space.__name__}(...)")
        self._of_decisions = hasattr(space, "decisions")
        wanted = (
            ("max_layers", "decisions", "legal", "label", "action", "build", "cost")
            if self._of_decisions
            else ("num_actions", "max_layers", "legal", "label", "build", "cost")
        )
        if lacking := [name for name in wanted if not hasattr(space, name)]:
            needs = _NEEDS_OF_DECISIONS if self._of_decisions else _NEEDS
            raise SpaceError(f"space is {told(space)}, which has no {lacking[0]}; a space has {needs}")
        self.max_layers = self._whole("max_layers")
        if self._of_decisions:
            self._by_depth = [self._checked_decisions(depth) for depth in range(1, self.max_layers + 1)]
            _require_equal_choices(self._name, self._by_depth)
        else:
            self.num_actions = self._whole("num_actions")
            self._labels = self._all_labels()
            self._by_depth = [(Decision("layer", self._labels),)] * self.max_layers

    def __repr__(self) -> str:
        """The space that is checked."""
        return f"CheckedSpace({self.space!r})"

    def __getattr__(self, name: str) -> Any:
        """Everything else is the space's own."""
        if name == "space":
            raise AttributeError(name)
        return getattr(self.space, name)

    @property
    def labelled(self) -> bool:
        """Whether a layer has one decision, whose options are the labels."""
        return not self._of_decisions

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of a layer."""
        return self._by_depth[depth - 1]

    def legal(self, prefix: Path, chosen: tuple[int, ...] = ()) -> tuple[bool, ...]:
        """Which options the next decision after `prefix` and `chosen` may take."""
        if not self._of_decisions:
            asked = f"{self._name}.legal({prefix})"
            mask = called(asked, self.space.legal, prefix)
            return require_mask(asked, mask, self.num_actions, may_end=bool(prefix))
        asked = f"{self._name}.legal({prefix}, {chosen})"
        decisions = self._by_depth[min(len(prefix), self.max_layers - 1)]
        decision = decisions[len(chosen)]
        may_end = bool(prefix) and not chosen
        mask = called(asked, self.space.legal, prefix, chosen)
        return require_mask(asked, mask, len(decision.options), may_end=may_end or decision.kind == "inputs")

    def label(self, prefix: Path, action: int) -> str:
        """The layer's name."""
        if not self._of_decisions:
            if not 0 <= action < self.num_actions:
                raise SpaceError(f"there is no action {action}; {self._name} has actions 0 to {self.num_actions - 1}")
            return self._labels[action]
        asked = f"{self._name}.label({prefix}, {action})"
        return _word(asked, called(asked, self.space.label, prefix, action))

    def action(self, prefix: Path, label: str) -> int:
        """The layer of a name."""
        if not self._of_decisions:
            return action_of(label, self._labels, depth=len(prefix) + 1)
        asked = f"{self._name}.action({prefix}, {label!r})"
        most = count(self._by_depth[min(len(prefix), self.max_layers - 1)]) - 1
        return whole(asked, called(asked, self.space.action, prefix, label), least=0, most=most, error=SpaceError)

    def why(self, prefix: Path, chosen: tuple[int, ...], option: int) -> None:
        """Unknown: no part of the contract."""

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

    def _whole(self, name: str) -> int:
        value = getattr(self.space, name)
        return whole(f"{self._name}.{name}", value, least=1, most=LARGEST_INTEGER, error=SpaceError)

    def _checked_decisions(self, depth: int) -> tuple[Decision, ...]:
        asked = f"{self._name}.decisions({depth})"
        decisions = items(
            asked, called(asked, self.space.decisions, depth), want="a list of decisions", error=SpaceError
        )
        return require_decisions(asked, decisions, depth)

    def _all_labels(self) -> tuple[str, ...]:
        labels: dict[str, int] = {}
        for action in range(self.num_actions):
            asked = f"{self._name}.label({action})"
            label = _word(asked, called(asked, self.space.label, action))
            if label in labels:
                raise SpaceError(f"{asked} is {label!r}, which action {labels[label]} has, too; make labels unique")
            labels[label] = action
        return tuple(labels)


def require_decisions(asked: str, decisions: Any, depth: int) -> tuple[Decision, ...]:
    """The decisions of a layer; SpaceError where they cannot be that."""
    for decision in decisions:
        if not isinstance(decision, Decision):
            raise SpaceError(f"{asked} has {told(decision)} in it; give Decision objects")
        if beyond := [source for source in decision.sources if source >= depth]:
            raise SpaceError(
                f"{asked}: {decision.name} offers layer {beyond[0]}, which does not exist yet; "
                f"offer layers before {depth}"
            )
    names = [decision.name for decision in decisions]
    if len(set(names)) < len(names):
        raise SpaceError(f"{asked} has two decisions of one name: {', '.join(names)}")
    if not decisions or decisions[0].kind == "inputs":
        raise SpaceError(f"{asked} does not begin with a choice or an input; give one first")
    if count(decisions) > MOST_ACTIONS:
        raise SpaceError(f"{asked} makes {count(decisions):.3g} layers; at most {MOST_ACTIONS:.3g} can be numbered")
    return tuple(decisions)


def _require_equal_choices(name: str, by_depth: list[tuple[Decision, ...]]) -> None:
    known: dict[str, Decision] = {}
    for decision in (decision for decisions in by_depth for decision in decisions):
        first = known.setdefault(decision.name, decision)
        if first.kind != decision.kind or (decision.kind == "choice" and first.options != decision.options):
            raise SpaceError(
                f"{name}.decisions: {decision.name!r} has other options at one depth than at another; give it two "
                f"names, or one list of options, of which legal() allows some"
            )


def _word(asked: str, value: object) -> str:
    label = text(asked, value, error=SpaceError)
    if label.split() != [label] or not label.isprintable():
        raise SpaceError(f"{asked} is {label!r}; a label is not empty, and has no white space")
    return label


def checked(space: Any) -> Space:
    """The space, checked at every call unless it is one of ours, which check themselves."""
    ours = isinstance(space, LayerSpace) or type(space) in (LabelSpace, ConstrainedSpace, CheckedSpace, DecisionSpace)
    known: Space = space if ours else CheckedSpace(space)
    return known
