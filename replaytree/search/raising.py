"""Raise the limits of an existing search: deeper networks, longer trainings. Nothing may be lowered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaytree.config import SearchConfig
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Space
from replaytree.space import DecisionSpace
from replaytree.space.catalogue import space_of
from replaytree.space.coding import ended
from replaytree.space.description import why_own
from replaytree.tree import ReplayTree


def raised(config: SearchConfig, *, max_layers: int | None, epochs: tuple[int, int] | None) -> SearchConfig:
    """The configuration with higher limits; ConfigError if one is lower than before."""
    asked: dict[str, object] = {} if max_layers is None else {"max_layers": max_layers}
    if epochs is not None:
        try:
            asked["epochs_first"], asked["epochs_last"] = epochs
        except (TypeError, ValueError):
            raise ConfigError(f"epochs is {epochs!r:.80}; give two whole numbers, as in epochs=(4, 8)") from None
    if config.strategy_options.is_differentiable and max_layers not in (None, config.space.max_layers):
        raise ConfigError(
            f"max_layers is {max_layers}, and the supernet of strategy {config.strategy} has {config.space.max_layers} "
            f"layers; start a new search (--max-layers)"
        )
    new = config.with_options(**asked)
    if new.space.max_layers < config.space.max_layers:
        raise ConfigError(
            f"max_layers is {new.space.max_layers}, and the search has {config.space.max_layers} by now; "
            f"it can only be raised (--max-layers)"
        )
    budget, begun = new.budget, config.budget
    if budget.epochs_first < begun.epochs_first or budget.epochs_last < begun.epochs_last:
        raise ConfigError(
            f"epochs are {budget.epochs_first}:{budget.epochs_last}, and the search was begun with "
            f"{begun.epochs_first}:{begun.epochs_last}; they can only be raised (--epochs)"
        )
    return new


def rebuilt(description: Mapping[str, Any], name: str, *, max_layers: int) -> Space:
    """The space that search `name` stores, at least `max_layers` deep; SpaceError where only its author has it."""
    deep = max(description["max_layers"], max_layers)
    space = space_of({**description, "max_layers": deep})
    if space is None:
        raise SpaceError(
            f"search {name!r} has a space of its own, which the database does not hold ({why_own(description)}); give "
            f"it again in Python: replaytree.Search.resume({name!r}, space=...)"
        )
    return space


def require_depth(space: Space, tree: ReplayTree, *, max_layers: int) -> None:
    """Raise SpaceError unless the space is as deep as the search's own, or as the new `max_layers`.

    It is also raised if measured prefixes are other networks in the deeper space, or have no continuation there within
    the limits on cost.
    """
    stored: int = tree.info().space["max_layers"]
    needed = max(stored, max_layers)
    if space.max_layers != needed:
        raise SpaceError(
            f"the space ends at {space.max_layers} layers, and search {tree.name!r} needs one of {needed}; a deeper "
            f"one is for a higher limit, as in max_layers={needed + 1}"
        )
    if needed == stored:
        return
    whole = getattr(space, "space", space)
    _require_same_networks(whole, tree)
    stuck = sum(ended(space, node.path) and not ended(whole, node.path) for node in tree.node_stats())
    if stuck:
        raise SpaceError(
            f"{stuck} prefixes of search {tree.name!r} cannot go on to {space.max_layers} layers within its limits; "
            f"start a new search, or raise --max-layers by less"
        )


def _require_same_networks(space: Space, tree: ReplayTree) -> None:
    """SpaceError where networks depend on how deep the space is, so that what was measured does not hold any more."""
    before = space_of(tree.info().space)
    if not isinstance(before, DecisionSpace) or not isinstance(space, DecisionSpace):
        return
    # Such a dependence is of the depth: one prefix of each is enough.
    for path in {len(node.path): node.path for node in tree.node_stats()}.values():
        if before.network(path) != space.network(path):
            raise SpaceError(
                f"networks of {before.name} depend on max_layers, so in one of {space.max_layers} layers those that "
                f"search {tree.name!r} measured with {before.max_layers} would be others; start a new search"
            )
