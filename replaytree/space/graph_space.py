"""Spaces whose prefixes are networks: which they are, and what is asked of those that are trained."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeVar, cast, overload

from replaytree.errors import SpaceError
from replaytree.records import Path, Space
from replaytree.space.graph import Graph
from replaytree.space.network import NetworkSpace, task_of

SpaceT = TypeVar("SpaceT", bound=Space)


class GraphSpace(NetworkSpace, Protocol):
    """A space of image layers, whose networks are graphs."""

    def network(self, prefix: Path) -> Graph:
        """The graph of a prefix with its head; SpaceError where the prefix is illegal."""
        ...


@overload
def require_networks(space: Space, *, nested: Literal[True]) -> GraphSpace: ...


@overload
def require_networks(space: Space, *, nested: bool = False) -> NetworkSpace: ...


def require_networks(space: Space, *, nested: bool = False) -> NetworkSpace:
    """The space, if it knows its networks, and is nested where that is asked for; else SpaceError.

    Nested spaces are made of image layers.
    """
    if not hasattr(space, "network"):
        raise SpaceError("a space of plain labels needs an evaluator of your own: give evaluator=")
    if nested and not getattr(space, "nested", False):
        raise SpaceError(
            "the network of a prefix is no part of its continuations' in this space, so one training cannot score all "
            "prefixes; train each path by itself (--evaluator whole), or each prefix (--evaluator separate)"
        )
    return cast(NetworkSpace, space)


def require_graphs(space: Space) -> GraphSpace:
    """The space, if its networks are graphs of image layers; else SpaceError."""
    known = require_networks(space)
    if (task := task_of(space)) != "images":
        raise SpaceError(f"the networks of this space are for {task}, and this is for images")
    return cast(GraphSpace, known)


def final_space(space: SpaceT) -> SpaceT:
    """The space of the networks that are retrained and delivered, with the same paths: mostly `space` itself."""
    final = getattr(space, "final", None)
    return space if final is None else cast(SpaceT, final())


def has_final_form(space: Any) -> bool:
    """Whether the networks of a space, or of what is known of it, are delivered in another form than searched."""
    final: Any = final_space(space)
    return final is not space and bool(final.describe() != space.describe())
