"""A space as its search stores it, and whether another is the same."""

from __future__ import annotations

import json

from replaytree.errors import CorruptTree, SpaceError
from replaytree.records import Space
from replaytree.space.catalogue import space_of
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.description import decision_difference, describe, difference, why_own
from replaytree.space.label_space import LabelSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.tree.stored_json import Described, read_space


def space_to_json(space: Space) -> str:
    """The description of the whole space."""
    return json.dumps(describe(space), sort_keys=True)


def stored_description(space_json: str, name: str) -> Described:
    """The description that search `name` stores; CorruptTree where it is none."""
    try:
        return read_space(space_json)
    except (TypeError, ValueError) as error:
        raise CorruptTree(
            f"search {name!r}: its stored space cannot be used ({error}); where nothing else helps, go back to a "
            f"backup, or import the search from an export"
        ) from error


def rebuilt_space(description: Described, name: str, changes: Described) -> LayerSpace | DecisionSpace:
    """The space that search `name` describes, with what a person changes of it.

    SpaceError where only its author has it, it has no networks, or nothing can be made of the changes.
    """
    space = space_of(description)
    if space is not None and changes:
        try:
            space = space_of(description | changes)
        except SpaceError as error:
            # What is stored can be read, so it is the changes that are wrong, and the description is not to blame.
            raise error.__cause__ if isinstance(error.__cause__, SpaceError) else error from None
    if space is None:
        raise SpaceError(
            f"search {name!r} has a space of its own, which the database does not hold ({why_own(description)}); go on "
            f"in Python: replaytree.Search.resume({name!r}, space=...).best_model()"
        )
    if isinstance(space, LabelSpace):
        raise SpaceError(f"search {name!r} has labels and no layers, so no network can be built of it")
    return space


def require_same_space(space: Space, space_json: str, name: str) -> None:
    """SpaceError unless the space is the one that search `name` was made with, or the same of another depth."""
    _require_none(difference(stored_description(space_json, name), describe(space)), name, "the spaces must be equal")


def require_same_layers(space: Space, space_json: str, name: str) -> None:
    """SpaceError unless the layers are made of the same decisions; the images and the sizes may be others."""
    differing = decision_difference(stored_description(space_json, name), describe(space))
    _require_none(differing, name, "name a search of the same layers (--warm-start), or leave it out")


def _require_none(differing: str | None, name: str, then: str) -> None:
    if differing is not None:
        raise SpaceError(f"search {name!r} was made with {differing}; {then}")
