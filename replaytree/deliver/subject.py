"""What to train: the layers of a node or a path, and the images of its search."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from replaytree import metric
from replaytree.config import SearchConfig, option_name
from replaytree.data import (
    NAMED,
    TEXTS,
    Data,
    ImageData,
    find_source,
    load_again,
    load_source,
    stored_path,
    task_of,
    with_transforms,
)
from replaytree.errors import ConfigError, NodeNotFound
from replaytree.metric import Metric
from replaytree.records import Path, Shape
from replaytree.space import Classifier, Graph
from replaytree.space.building import build
from replaytree.space.catalogue import USUAL_SPACES, meant, named_space, names, parse_path_of, require_task_of
from replaytree.space.coding import labels
from replaytree.space.description import decision_difference
from replaytree.space.graph_space import final_space, require_networks
from replaytree.space.network import Network, NetworkSpace
from replaytree.space.notation import read_path
from replaytree.space.plan import Published
from replaytree.tree import Node, ReplayTree
from replaytree.tree.stored_space import rebuilt_space


@dataclass(frozen=True, slots=True)
class Start:
    """The weights that a training starts from: their name, and the tensors of the network but for its head."""

    name: str
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Subject:
    """An architecture, the names of its layers, and its images or text. `data_options` are keywords of load_source(),
    except `data_dir`, the folder of the files; the test part is looked up there, too. `limits` are those of the search,
    by name. `baseline` is the name of a hand-made network, None for what a search found. `start` are the weights that
    its training starts from, None for random ones.
    """

    graph: Network
    labels: tuple[str, ...]
    data: Data
    data_options: dict[str, Any] | None
    search: str | None = None
    node_id: int | None = None
    data_dir: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    baseline: str | None = None
    start: Start | None = None

    @property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them."""
        return metric.of("images" if isinstance(self.data, ImageData) else "text")

    @property
    def stem(self) -> str:
        """How its files are named: 'mnist-1-node12', or 'cifar10-9-layers-1f3a5c' without a node.

        A baseline's are named as 'mnist-1-resnet8-w0.5-1f3a5c'.
        """
        start = re.sub(r"[^\w.-]+", "-", self.search or self.data.name)
        if self.node_id is not None:
            return f"{start}-node{self.node_id}"
        graph = self.graph
        network = [repr(node.layer) for node in graph.nodes] if isinstance(graph, Graph) else []
        if not (isinstance(graph, Graph) and graph.is_chain and graph.head == Classifier(self.data.num_classes)):
            network.append(json.dumps(graph.to_json(), sort_keys=True))
        digest = hashlib.sha256(json.dumps(network).encode()).hexdigest()
        what = f"{len(self.labels)}-layers" if self.baseline is None else self.labels[0]
        return f"{start}-{what}-{digest[:6]}"


def data_options(config: SearchConfig) -> dict[str, Any]:
    """The keywords with which load_source() reads a search's images again; ConfigError if they were in memory."""
    if config.source.dataset is None:
        raise ConfigError(
            "this search ran on images from memory or with an evaluator of its own; retrain in Python: "
            "Search.resume(name, data=...).best_model()"
        )
    names = (
        "dataset",
        "task",
        "image_size",
        "resize",
        "channel_axis",
        "train_limit",
        "val_fraction",
        "seed",
        "skip_bad",
        "min_count",
    )
    options = config.to_options()
    return {name: options[name] for name in names}


def data_of(
    tree: ReplayTree,
    *,
    train_limit: int | None = None,
    skip_bad: bool = False,
    data_dir: str | None = None,
    data: Data | None = None,
) -> tuple[Data, dict[str, Any] | None, str | None]:
    """The data of a search, with the options and the folder that a Subject has; `data` where they are in memory.

    `train_limit` replaces the search's; `skip_bad` leaves out test images that cannot be read. DataError if the data
    are not those of the search any more.
    """
    info = tree.info()
    config = info.config
    if data is not None:
        return data, None, data_dir
    options = data_options(config)
    data_dir = data_dir or config.source.data_dir
    data = load_again(f"search {tree.name!r}", info.data_json, flip=config.recipe.flip, data_dir=data_dir, **options)
    options["skip_bad"] = config.source.skip_bad or skip_bad
    if config.source.dataset not in (*NAMED, *TEXTS):
        options["dataset"] = os.path.abspath(find_source(options["dataset"], data_dir))
    if train_limit is not None or config.source.train_limit is not None:
        options["train_limit"] = train_limit
        data = _trained_as(data, load_source(**{**options, "skip_bad": True}, data_dir=data_dir))
    return data, options, data_dir


def node_subject(
    tree: ReplayTree,
    *,
    node: str | None = None,
    path: str | None = None,
    space_options: Mapping[str, Any] | None = None,
    train_limit: int | None = None,
    skip_bad: bool = False,
    data_dir: str | None = None,
    data: Data | None = None,
) -> Subject:
    """A node of a search, its answer, or another path in its space, on the search's images.

    `node` is an id, a path or labels, as people write them; `path` may also name a published architecture. Options of
    the space, as width and cells, and `train_limit` replace the search's; `skip_bad` leaves out test images that cannot
    be read. Raises NodeNotFound, SpaceError for an illegal path, DataError if the images are not those of the search.
    """
    if node is not None and path is not None:
        raise ConfigError("--node and --path were both given; give one of them")
    info = tree.info()
    config = info.config
    data, options, data_dir = data_of(tree, train_limit=train_limit, skip_bad=skip_bad, data_dir=data_dir, data=data)
    if path is not None and (each := _published(info.space, path)) is not None:
        path = each.path
    space = _search_space(info.space, tree.name, data=data, options=space_options, deep=_deepest(path))
    node_id, actions = _choose(tree, node, path, space)
    return Subject(
        final_space(space).network(actions), labels(space, actions), data, options, search=tree.name, node_id=node_id,
        data_dir=data_dir, limits=config.space.limits,
    )  # fmt: skip


def search_subject(
    tree: ReplayTree, space: NetworkSpace, data: Data, config: SearchConfig, *, node: str | None = None
) -> Subject:
    """A node of an open search, or its answer, on all of the search's training images."""
    chosen = tree.find_or_answer(node)
    options = None
    if config.source.dataset is not None:
        options = data_options(config) | {"train_limit": None}
        if config.source.train_limit is not None:
            data = _trained_as(data, load_source(**options, data_dir=config.source.data_dir))
    return Subject(
        final_space(space).network(chosen.path), chosen.labels, data, options, search=tree.name, node_id=chosen.node_id,
        data_dir=config.source.data_dir, limits=config.space.limits,
    )  # fmt: skip


def path_subject(
    path: str,
    *,
    options: dict[str, Any],
    space: str | None = None,
    space_options: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
) -> Subject:
    """A path of a named space on a data set, without a search; or a published architecture, by its name.

    `space_options` are those of the space; a published architecture brings its own, which they replace.
    """
    if space is None:
        task = task_of(options["dataset"], data_dir=data_dir, task=options.get("task"))
        space = USUAL_SPACES[task]
    each = meant(space, path)
    given = dict(space_options or {})
    _require_final(given)
    if each is not None:
        path, given = each.path, {**each.options, **given}
    data = load_source(**options, data_dir=data_dir)
    require_task_of(space, "images" if isinstance(data, ImageData) else "text", data=data.name)
    options = options | {"dataset": stored_path(options["dataset"], data_dir)}
    known = named_space(
        space, input_shape=data.input_shape, num_classes=data.num_classes, max_layers=_deepest(path), **given
    )
    actions = parse_path_of(known, path)
    return Subject(
        require_networks(final_space(known)).network(actions), labels(known, actions), data, options, data_dir=data_dir
    )


def network_builders(tree: ReplayTree, nodes: Sequence[Node]) -> tuple[list[Callable[[], nn.Module]], Shape]:
    """A function that builds a node's untrained network, and the input shape; for measures that ignore weights."""
    space = delivered_space(tree)
    return [partial(build, space.network(node.path)) for node in nodes], space.network(()).input_shape


def delivered_space(tree: ReplayTree) -> NetworkSpace:
    """The space of the networks that a search's prefixes are delivered as."""
    return final_space(_search_space(tree.info().space, tree.name))


def _search_space(
    description: dict[str, Any],
    name: str,
    *,
    data: Data | None = None,
    options: Mapping[str, Any] | None = None,
    deep: int = 1,
) -> NetworkSpace:
    """The space of search `name`, for some images, at least `deep` layers deep, with other `options` if they are given.

    ConfigError for options with which its paths would mean other layers; SpaceError where only its author has it.
    """
    given = dict(options or {})
    _require_final(given)
    for option in given:
        if option not in description:
            flag = option_name(option)
            raise ConfigError(f"the layers of search {name!r} have no common {option} to change; leave out {flag}")
    changes = {"max_layers": max(description["max_layers"], deep), **given}
    if data is not None and "input_shape" in description:
        changes |= {"input_shape": list(data.input_shape), "num_classes": data.num_classes}
    space = rebuilt_space(description, name, changes)
    if given and (differing := decision_difference(description, space.describe())) is not None:
        raise ConfigError(f"search {name!r} has {differing}; leave out {', '.join(map(option_name, given))}")
    return require_networks(space)


def _require_final(given: Mapping[str, Any]) -> None:
    """ConfigError where the form that is searched is asked for."""
    if given.get("final") is False:
        raise ConfigError("networks are retrained in the form that they are delivered in; leave out --no-final")


def _published(description: Mapping[str, Any], path: str) -> Published | None:
    """The published architecture of a search's space that a path names."""
    kind = description["kind"]
    return meant(kind, path) if kind in names() else None


def _deepest(path: str | None) -> int:
    """How many layers a path as people write it may have."""
    return 1 if path is None else max(1, len(re.split(r"[\s,.]+", path.strip())))


def _choose(tree: ReplayTree, node: str | None, path: str | None, space: NetworkSpace) -> tuple[int | None, Path]:
    if path is None:
        chosen = tree.find_or_answer(node)
        return chosen.node_id, chosen.path
    actions = read_path(path, space)
    try:
        return tree.node(actions).node_id, actions
    except NodeNotFound:
        return None, actions


def _trained_as(before: Data, data: Data) -> Data:
    """The data read anew, which are mirrored and transformed as those before were."""
    if isinstance(before, ImageData) and isinstance(data, ImageData):
        data = replace(data, flip=before.flip)
        return data if before.transforms is None else with_transforms(data, before.transforms)
    return data
