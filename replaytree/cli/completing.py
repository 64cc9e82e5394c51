"""What the shell completes names of spaces and of architectures from."""

from __future__ import annotations

import typer

from replaytree.config.space import SpaceOptions
from replaytree.errors import SpaceError


def space_names_like(incomplete: str) -> list[str]:
    """The named spaces with this beginning, for the shell's completion."""
    from replaytree.space.catalogue import names

    return [name for name in names() if name.startswith(incomplete)]


def published_like(context: typer.Context, incomplete: str) -> list[str]:
    """The published architectures of the space with this beginning, for the shell's completion."""
    from replaytree.space.catalogue import about

    try:
        return [
            name
            for name in about(context.params.get("space") or str(SpaceOptions.space)).published
            if name.startswith(incomplete)
        ]
    except SpaceError:
        return []
