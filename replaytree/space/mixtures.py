"""The spaces that have a mixed supernet, and what makes it."""

from __future__ import annotations

from collections.abc import Callable

from replaytree.errors import SpaceError
from replaytree.records import Space
from replaytree.space.mixed import Mixture
from replaytree.space.mixed_chain import mixed_layers, mixed_tiny
from replaytree.space.mixed_darts import DartsMixture
from replaytree.space.mixed_macro import MacroMixture
from replaytree.space.mixed_nasnet import NasnetMixture

# By the space's name: from its plan, and what share of the channels operations see.
MIXTURES: dict[str, Callable[..., Mixture]] = {
    "darts": DartsMixture,
    "nasnet": NasnetMixture,
    "enas-macro": MacroMixture,
    "tiny": mixed_tiny,
    "xu24": mixed_layers,
}


def mixture_of(space: Space, *, share: int = 1) -> Mixture:
    """The mixed supernet of a space; SpaceError, naming the spaces that have one, where it has none."""
    plan = getattr(space, "plan", space)
    make = MIXTURES.get(getattr(space, "name", ""))
    if make is None:
        raise SpaceError(
            f"there is no supernet that mixes the layers of {getattr(space, 'name', None) or 'this space'}, and a "
            f"differentiable strategy learns from one; choose --space {' or '.join(MIXTURES)}, or another --strategy"
        )
    return make(plan, share=share)
