"""The supernet of a space, where it can have one."""

from __future__ import annotations

import torch

from replaytree.data import Data, ImageData
from replaytree.errors import SpaceError
from replaytree.networks.recurrent import RecurrentSupernet
from replaytree.networks.supernet import Supernet
from replaytree.policy.random_search import random_path
from replaytree.records import Space
from replaytree.space import LayerSpace
from replaytree.space.graph_space import require_graphs, require_networks
from replaytree.space.layers import KINDS
from replaytree.space.network import NetworkSpace, task_of
from replaytree.training.recipe import Recipe
from replaytree.training.text import DROPOUTS

# Random paths by which a space is judged.
LOOKED_AT = 8


def supernet_of(
    space: NetworkSpace, data: Data, recipe: Recipe, *, seed: int, device: torch.device
) -> Supernet | RecurrentSupernet:
    """The weights of all paths of a space."""
    if not isinstance(data, ImageData):
        dropouts = {name: getattr(recipe, name) for name in DROPOUTS}
        return RecurrentSupernet(space, data.num_classes, seed=seed, device=device, dropouts=dropouts)
    known = require_graphs(space)
    return Supernet(known, data.num_classes, seed=seed, device=device, hidden=0, discount=recipe.discount)


def require_supernet(space: Space, *, nested: bool = False) -> NetworkSpace:
    """The space, if a supernet can have the weights of its paths, judged by a few random ones; else SpaceError."""
    if task_of(space) == "text":
        return require_networks(space, nested=nested)
    known = require_networks(space, nested=True) if nested else require_graphs(space)
    generator = torch.Generator().manual_seed(0)
    graphs = [known.network(random_path(known, known.max_layers, generator).path) for _ in range(LOOKED_AT)]
    layers = [*(known.layers if isinstance(known, LayerSpace) else ()), *(n.layer for g in graphs for n in g.nodes)]
    if own := [layer.label for layer in layers if KINDS.get(type(layer).__name__) is not type(layer)]:
        raise SpaceError(
            f"layer {own[0]!r} is one of your own, whose weights a supernet cannot share; take fresh weights "
            f"(--weights fresh)"
        )
    if not all(graph.is_normed for graph in graphs):
        raise SpaceError(
            "this space has layers without batch norm, and shared weights fit many networks by its statistics only; "
            "take fresh weights (--weights fresh)"
        )
    return known
