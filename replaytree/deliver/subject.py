"""What to train: the layers of a node or a path, and the images of its search."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from replaytree.config import SearchConfig
from replaytree.data import NAMED, ImageData, find_folder, load_again, load_data, stored_path
from replaytree.errors import ConfigError, NodeNotFound, SpaceError
from replaytree.records import Path, Shape
from replaytree.space import Classifier, Graph, GraphSpace
from replaytree.space.building import build
from replaytree.space.catalogue import about, named_space, space_of
from replaytree.space.coding import labels
from replaytree.space.description import why_own
from replaytree.space.graph import final_space, require_networks
from replaytree.space.notation import read_path
from replaytree.tree import Node, ReplayTree, advice


@dataclass(frozen=True, slots=True)
class Subject:
    """An architecture, the names of its layers, and its images. `data_options` are keywords of load_data(), except
    `data_dir`, the folder of the files; the test images are looked up there, too. `max_params` and `max_flops` are
    the search's limits.
    """

    graph: Graph
    labels: tuple[str, ...]
    data: ImageData
    data_options: dict[str, Any] | None
    search: str | None = None
    node_id: int | None = None
    data_dir: str | None = None
    max_params: int | None = None
    max_flops: int | None = None

    @property
    def stem(self) -> str:
        """How its files are named: 'mnist-1-node12', or 'cifar10-res128-9-layers-1f3a' without a node."""
        start = re.sub(r"[^\w.-]+", "-", self.search or self.data.name)
        if self.node_id is not None:
            return f"{start}-node{self.node_id}"
        network = [repr(node.layer) for node in self.graph.nodes]
        if not self.graph.is_chain or self.graph.head != Classifier(self.data.num_classes):
            network.append(json.dumps(self.graph.to_json(), sort_keys=True))
        digest = hashlib.sha256(json.dumps(network).encode()).hexdigest()
        return f"{start}-{len(self.labels)}-layers-{digest[:6]}"


def data_options(config: SearchConfig) -> dict[str, Any]:
    """The keywords with which load_data() reads a search's images again; ConfigError if they were in memory."""
    if config.source.dataset is None:
        raise ConfigError(
            "this search ran on images from memory or with an evaluator of its own; retrain in Python: "
            "Search.resume(name, data=...).best_model()"
        )
    names = ("dataset", "image_size", "train_limit", "val_fraction", "seed", "skip_bad")
    options = config.to_options()
    return {name: options[name] for name in names}


def node_subject(
    tree: ReplayTree,
    *,
    node: str | None = None,
    path: str | None = None,
    width: float | None = None,
    train_limit: int | None = None,
    skip_bad: bool = False,
    data_dir: str | None = None,
    data: ImageData | None = None,
) -> Subject:
    """A node of a search, its best one, or another path in its space, on the search's images.

    `node` is an id, a path or labels, as people write them. `width` and `train_limit` replace the search's;
    `skip_bad` leaves out test images that cannot be read. Raises NodeNotFound, SpaceError for an illegal path,
    DataError if the images are not those of the search.
    """
    if node is not None and path is not None:
        raise ConfigError("--node and --path were both given; give one of them")
    info = tree.info()
    config = info.config
    options = None
    if data is None:
        options = data_options(config)
        data_dir = data_dir or config.source.data_dir
        data = load_again(
            f"search {tree.name!r}", info.data_json, flip=config.recipe.flip, data_dir=data_dir, **options
        )
        options["skip_bad"] = config.source.skip_bad or skip_bad
        if config.source.dataset not in NAMED:
            options["dataset"] = os.path.abspath(find_folder(options["dataset"], data_dir))
        if train_limit is not None or config.source.train_limit is not None:
            options["train_limit"] = train_limit
            data = replace(load_data(**{**options, "skip_bad": True}, data_dir=data_dir), flip=data.flip)
    space = _search_space(info.space, tree.name, data=data, width=width, deep=_deepest(path))
    node_id, actions = _choose(tree, node, path, space)
    return Subject(
        final_space(space).network(actions), labels(space, actions), data, options, search=tree.name, node_id=node_id,
        data_dir=data_dir, max_params=config.space.max_params, max_flops=config.space.max_flops,
    )  # fmt: skip


def search_subject(
    tree: ReplayTree, space: GraphSpace, data: ImageData, config: SearchConfig, *, node: str | None = None
) -> Subject:
    """A node of an open search, or its best one, on all of the search's training images."""
    chosen = _node(tree, node)
    options = None
    if config.source.dataset is not None:
        options = data_options(config) | {"train_limit": None}
        if config.source.train_limit is not None:
            data = replace(load_data(**options, data_dir=config.source.data_dir), flip=data.flip)
    return Subject(
        final_space(space).network(chosen.path), chosen.labels, data, options, search=tree.name, node_id=chosen.node_id,
        data_dir=config.source.data_dir, max_params=config.space.max_params, max_flops=config.space.max_flops,
    )  # fmt: skip


def path_subject(
    path: str,
    *,
    options: dict[str, Any],
    space: str = "xu24",
    space_options: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
) -> Subject:
    """A path of a named space on a data set, without a search. `space_options` are those of the space."""
    about(space)
    data = load_data(**options, data_dir=data_dir)
    options = options | {"dataset": stored_path(options["dataset"], data_dir)}
    known = require_networks(
        named_space(
            space,
            input_shape=data.image_shape,
            num_classes=data.num_classes,
            max_layers=_deepest(path),
            **(space_options or {}),
        )
    )
    actions = read_path(path, known)
    return Subject(final_space(known).network(actions), labels(known, actions), data, options, data_dir=data_dir)


def network_builders(tree: ReplayTree, nodes: Sequence[Node]) -> tuple[list[Callable[[], nn.Module]], Shape]:
    """A function that builds a node's untrained network, and the input shape; for measures that ignore weights."""
    space = final_space(_search_space(tree.info().space, tree.name))
    return [partial(build, space.network(node.path)) for node in nodes], space.network(()).input_shape


def _search_space(
    description: dict[str, Any],
    name: str,
    *,
    data: ImageData | None = None,
    width: float | None = None,
    deep: int = 1,
) -> GraphSpace:
    """The space of search `name`, for some images, at least `deep` layers deep, with another width where one is given.

    SpaceError where only its author has it.
    """
    if width is not None:
        if "width" not in description:
            raise ConfigError(f"the layers of search {name!r} have no common width to change; leave out --width")
        description = description | {"width": width}
    if data is not None and "input_shape" in description:
        description = description | {"input_shape": list(data.image_shape), "num_classes": data.num_classes}
    space = space_of(description | {"max_layers": max(description["max_layers"], deep)})
    if space is None:
        raise SpaceError(
            f"search {name!r} has a space of its own, which the database does not hold ({why_own(description)}); go on "
            f"in Python: replaytree.Search.resume({name!r}, space=...).best_model()"
        )
    if not hasattr(space, "network"):
        raise SpaceError(f"search {name!r} has labels and no layers, so no network can be built of it")
    return require_networks(space)


def _deepest(path: str | None) -> int:
    """How many layers a path as people write it may have."""
    return 1 if path is None else max(1, len(re.split(r"[\s,.]+", path.strip())))


def _choose(tree: ReplayTree, node: str | None, path: str | None, space: GraphSpace) -> tuple[int | None, Path]:
    if path is None:
        chosen = _node(tree, node)
        return chosen.node_id, chosen.path
    actions = read_path(path, space)
    try:
        return tree.node(actions).node_id, actions
    except NodeNotFound:
        return None, actions


def _node(tree: ReplayTree, node: str | None) -> Node:
    """The node that is named, or the best one."""
    if node is not None:
        return tree.find(node)
    best = tree.best(1)
    if not best:
        raise NodeNotFound(
            f"search {tree.name!r} has no evaluated prefix yet; "
            f"{advice(tree.engine.url, 'resume', tree.name, '--trainings', 10)} goes on with it"
        )
    return best[0]
