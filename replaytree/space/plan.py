"""What a space of decisions is made of: the protocol, and how labels are written where a plan has no better way."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, named
from replaytree.space.network import Network
from replaytree.space.sketch import Sketch

# Version of describe(); a newer one is refused, not guessed at.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Published:
    """A published architecture: its path as people write it, and what it is for.

    `options` are those of its space; `params` is the exact number of parameters at that size, where it is known; `note`
    says what its authors report.
    """

    path: str
    input_shape: Shape
    num_classes: int = 10
    options: Mapping[str, Any] = field(default_factory=dict)
    params: int | None = None
    note: str = ""


class Plan(Protocol):
    """A space's own part; DecisionSpace makes a Space of it.

    `nested`: the network of a prefix is a part of the network of its continuations, so that one training can score all
    prefixes. `options()` are the keywords, beside the shapes and max_layers, that make an equal plan. A plan whose
    networks are delivered in another form than they are searched in has a method `final()`: the plan of that form. One
    whose networks are for text has `task`, "text", and its shape of input is (1, 1, 1): one word at a time.
    """

    name: str
    source: str
    nested: bool
    input_shape: Shape
    num_classes: int
    max_layers: int

    def options(self) -> dict[str, Any]:
        """The keywords of the constructor, as values for JSON."""
        ...

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The decisions of the layer at `depth`, from 1."""
        ...

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """The mask over the options of the next decision; the prefix is legal and shorter than max_layers."""
        ...

    def label(self, prefix: Path, values: Values) -> str:
        """A layer's name, one word."""
        ...

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`; SpaceError for another word."""
        ...

    def network(self, path: Path) -> Network:
        """The network of a legal path, with its head."""
        ...


@runtime_checkable
class Countable(Protocol):
    """What a plan has beside, if its paths can be counted (size.py)."""

    def state(self, prefix: Path) -> Hashable:
        """What legality after a prefix depends on; None: on the depth alone, nor on earlier choices in the layer."""
        ...


@runtime_checkable
class Unconditional(Protocol):
    """What a plan has beside, where some masks are the same everywhere: they are then looked up without asking it."""

    def fixed(self, depth: int) -> tuple[tuple[bool, ...] | None, ...]:
        """A mask for each decision at `depth` that has it after every prefix and choice; None where it depends."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """What a plan has beside, if it can say why an option is illegal; else the message says only which one is."""

    def why(self, prefix: Path, chosen: Values, option: int) -> str:
        """Why the next decision may not take an option there, to follow 'filters may not be 64 there: '."""
        ...


@runtime_checkable
class Frugal(Protocol):
    """What a plan has beside, if it knows what costs least; else all options are compared, which is slow.

    If something costs less, layers that only just keep the limits are called illegal, and nothing worse comes of it.
    """

    def cheapest(self, prefix: Path, chosen: Values) -> int:
        """The value of the next decision with which a layer that begins with `chosen` costs least."""
        ...


@runtime_checkable
class Cellular(Protocol):
    """What a plan has beside, if its networks are made of cells.

    `drawn` says what drawings of them show, and what a prefix is: sentences, the last without a full stop.
    """

    drawn: str

    def sketches(self, path: Path) -> Sequence[Sketch]:
        """The cells of a path."""
        ...


def plain_label(decisions: Sequence[Decision], values: Values) -> str:
    """A name for any layer: its decisions and options, as in 'kernel3-filters16-inputs1+2'."""
    words = []
    for name, option in named(decisions, values).items():
        words.append(name + (option if isinstance(option, str) else "+".join(option) or "none"))
    return "-".join(words)


def plain_values(decisions: Sequence[Decision], label: str, *, depth: int) -> Values:
    """The inverse of plain_label."""
    pattern = "-".join(_pattern(decision) for decision in decisions)
    found = re.fullmatch(pattern, label)
    if found is None:
        example = plain_label(decisions, tuple(0 for _ in decisions))
        raise SpaceError(f"layer {depth} is {label!r}, which is not in this space; write it as in {example!r}")
    return tuple(_value(decision, text) for decision, text in zip(decisions, found.groups(), strict=True))


def _pattern(decision: Decision) -> str:
    options = "|".join(re.escape(option) for option in sorted(decision.options, key=len, reverse=True))
    if decision.kind != "inputs":
        return f"{re.escape(decision.name)}({options})"
    some = rf"(?:{options})(?:\+(?:{options}))*|none" if options else "none"
    return f"{re.escape(decision.name)}({some})"


def _value(decision: Decision, text: str) -> int:
    if decision.kind != "inputs":
        return decision.options.index(text)
    return sum({1 << decision.options.index(option) for option in text.split("+") if option != "none"})
