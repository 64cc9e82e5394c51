"""A space as a search stores it, what a description says of a space that it cannot rebuild, and how two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Decision, Space
from replaytree.space.catalogue import LABELS, LAYERS, OWN, PLANS, checked_kind, space_of
from replaytree.space.checked import CheckedSpace, require_decisions
from replaytree.space.constraints import ConstrainedSpace
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.label_space import LabelSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.space.plan import FORMAT


@dataclass(frozen=True)
class Outline:
    """What is stored of a space that only its author has. `by_depth` begins at depth 1; its last entry goes on below.

    `labelled`: a layer has one decision, and its label is the option.
    """

    max_layers: int
    by_depth: tuple[tuple[Decision, ...], ...]
    labelled: bool

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of the layer at `depth`."""
        return self.by_depth[min(depth, len(self.by_depth)) - 1]


def describe(space: Space) -> dict[str, Any]:
    """The whole space, for JSON, without limits on costs, which stand in the configuration."""
    while isinstance(space, ConstrainedSpace):
        space = space.space
    if isinstance(space, LayerSpace | LabelSpace) and type(space) in (LayerSpace, LabelSpace):
        return space.describe()
    inner = space.space if isinstance(space, CheckedSpace) else space
    author: Any = type(inner.plan if isinstance(inner, DecisionSpace) else inner)
    if isinstance(space, DecisionSpace) and author in PLANS.values():
        return space.describe()
    own = {"kind": OWN, "format": FORMAT, "class": author.__name__, "max_layers": space.max_layers}
    if isinstance(space, CheckedSpace) and space.labelled:
        return own | {"labels": list(space.decisions(1)[0].options)}
    return own | {"decisions": _by_depth(space)}


def outline(description: Mapping[str, Any]) -> LayerSpace | LabelSpace | DecisionSpace | Outline:
    """The space described, or what can be known of it. SpaceError where it is damaged, or of a newer replaytree."""
    space = space_of(description)
    if space is not None:
        return space
    kind, values = checked_kind(description)
    try:
        most = values["max_layers"]
        if type(most) is not int or not 1 <= most < 2**31:
            raise SpaceError(f"max_layers is {most!r}")
        if "labels" in values:
            LabelSpace(values["labels"], max_layers=1)
            return Outline(most, ((Decision("layer", tuple(values["labels"])),),), labelled=True)
        if not isinstance(values["class"], str):
            raise SpaceError("its class has no name")
        return Outline(most, _from_json(values["decisions"]), labelled=False)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(
            f"a space of kind {kind!r} is described in no way that can be read ({error!s:.200})"
        ) from error


def why_own(description: Mapping[str, Any]) -> str:
    """Why a space cannot be rebuilt from its description, in words."""
    kind, values = checked_kind(description)
    if kind == LABELS:
        functions = [f"{name}()" for name in values["functions"]]
        return f"its {' and '.join(functions)} {'is' if len(functions) == 1 else 'are'} your own code"
    if kind == LAYERS:
        return "some of its layers are your own code"
    return f"{values.get('class')} is your own code"


def difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """What a stored space is that the one given is not, in words; None where they are equal but for their depth."""
    differing = decision_difference(stored, given)
    if differing is not None or stored["kind"] == OWN:
        return differing
    if given["kind"] == OWN:
        return f"space {stored['kind']!r}, and the space given is {given['class']}, which is your own"
    if stored["kind"] != given["kind"]:
        # A named space of layers is equal to its layers.
        stored, given = _as_layers(stored), _as_layers(given)
    for name in dict.fromkeys((*stored, *given)):
        old, new = stored.get(name), given.get(name)
        if name not in ("format", "max_layers") and old != new:
            return _differing(name, old, new)
    return None


def decision_difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """As `difference`, for the decisions of the layers alone, as deep as both spaces go."""
    one, other = outline(stored), outline(given)
    last = None
    for depth in range(1, min(one.max_layers, other.max_layers) + 1):
        old, new = one.decisions(depth), other.decisions(depth)
        if (old, new) == last:
            continue
        if old != new:
            return _between(old, new, depth)
        last = old, new
    return None


def _between(old: Sequence[Decision], new: Sequence[Decision], depth: int) -> str:
    names = [", ".join(decision.name for decision in decisions) for decisions in (old, new)]
    if names[0] != names[1]:
        return f"layers of {names[0]}, and the space given has {names[1]}"
    before, after = next((a, b) for a, b in zip(old, new, strict=True) if a != b)
    if len(old) > 1 or before.kind != "choice" or after.kind != "choice":
        which = f"decision {before.name!r} of layer {depth}"
        if before.kind != after.kind:
            return f"{which} of kind {before.kind}, and the space given has {after.kind}"
        if before.options == after.options:
            return f"{which} of other layers than in the space given"
        return f"{which} with options {_few(before.options)}, and the space given has {_few(after.options)}"
    if len(before.options) != len(after.options):
        return f"{len(before.options)} layers, and the space given has {len(after.options)}"
    pairs = enumerate(zip(before.options, after.options, strict=True))
    action = next(action for action, (a, b) in pairs if a != b)
    return f"layer {action} named {before.options[action]}, and the space given has {after.options[action]}"


def _few(options: Sequence[str]) -> str:
    return ", ".join(options[:12]) + (" ..." if len(options) > 12 else "") if options else "none"


def _differing(name: str, old: Any, new: Any) -> str:
    if name == "layers" and old and new:
        # The labels are equal, so that there are as many.
        number = next(number for number, (one, other) in enumerate(zip(old, new, strict=True)) if one != other)
        one, other = old[number], new[number]
        field = next(key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key))
        return f"layer {number} of {field} {one.get(field)!r}, and the space given has {field} {other.get(field)!r}"
    return f"{name} {old!r:.80}, and the space given has {new!r:.80}"


def _as_layers(description: Mapping[str, Any]) -> Mapping[str, Any]:
    space = space_of(description)
    return space.describe_layers() if isinstance(space, LayerSpace) else description


def _by_depth(space: Space) -> list[list[dict[str, Any]]]:
    """The decisions of every layer; the last entry stands for all that are equal to it behind it."""
    by_depth = [_to_json(space.decisions(depth)) for depth in range(1, space.max_layers + 1)]
    while len(by_depth) > 1 and by_depth[-1] == by_depth[-2]:
        by_depth.pop()
    return by_depth


def _to_json(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "kind": each.kind, "options": list(each.options), "sources": list(each.sources)}
        for each in decisions
    ]


def _from_json(by_depth: Any) -> tuple[tuple[Decision, ...], ...]:
    if not by_depth:
        raise SpaceError("it has no decisions")
    return tuple(
        require_decisions(
            f"layer {depth}",
            [
                Decision(each["name"], tuple(each["options"]), each["kind"], tuple(each["sources"]))
                for each in decisions
            ],
            depth,
        )
        for depth, decisions in enumerate(by_depth, start=1)
    )
