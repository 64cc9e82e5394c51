"""The data of a report: one search, read in a few queries and held as records."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from replaytree.config import SearchConfig, without_unused
from replaytree.metric import Metric
from replaytree.records import Decision, Path
from replaytree.space.costs import COSTS
from replaytree.space.description import outline
from replaytree.tree import (
    ClassResults,
    EpisodeInfo,
    ModelInfo,
    Node,
    ReplayTree,
    SearchInfo,
    Uncertainty,
    failure_note,
    list_class_results,
    rank,
    search_names,
)


class HasTree(Protocol):
    """A Search, or anything else that has a tree."""

    @property
    def tree(self) -> ReplayTree:
        """The stored prefixes."""
        ...


@dataclass(frozen=True)
class SearchData:
    """One search in memory; every row of a report is a function of this. Nodes stand after their parents.

    `storage` is the database's URL as a command can name it from any folder, None where none can; `taken` are the names
    of all its searches; `against` is a random search to compare with, where one was named. `class_results`
    are those of the models by their number.
    """

    info: SearchInfo
    nodes: tuple[Node, ...]
    episodes: tuple[EpisodeInfo, ...]
    models: tuple[ModelInfo, ...] = ()
    class_results: Mapping[int, ClassResults] = field(default_factory=dict)
    uncertainties: Mapping[int, Uncertainty] = field(default_factory=dict)
    storage: str | None = None
    taken: tuple[str, ...] = ()
    against: SearchData | None = None

    @property
    def name(self) -> str:
        """The search's name."""
        return self.info.name

    @cached_property
    def metric(self) -> Metric:
        """What its accuracies are, and how people read them."""
        return self.info.metric

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The stored configuration, as it was written: a report needs no field in particular.

        A removed option that was off is left out, so that older searches compare with new ones.
        """
        assert self.whole_config
        return without_unused(json.loads(self.info.config_json))

    @cached_property
    def whole_config(self) -> SearchConfig:
        """The configuration as a record."""
        return self.info.config

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """The data's fingerprint; empty for an evaluator of one's own."""
        return self.info.data

    @property
    def images(self) -> int | None:
        """How many validation images there are; None where that is unknown."""
        return next((known.images for known in self.uncertainties.values()), None)

    @property
    def known(self) -> Uncertainty:
        """What blurs the accuracies at the largest budget."""
        return self.uncertainties.get(self.max_epochs or 0, Uncertainty(metric=self.metric))

    @cached_property
    def space(self) -> Any:
        """What is stored of the space: its decisions, by depth."""
        return outline(self.info.space)

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """What makes up the layer at a depth."""
        found: tuple[Decision, ...] = self.space.decisions(depth)
        return found

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The layers of the space by action; where a layer is several decisions, those that the nodes have."""
        options = self.decisions(1)[0].options
        if all(node.action < len(options) and node.label == options[node.action] for node in self.nodes):
            return options
        return tuple(
            dict.fromkeys(node.label for node in sorted(self.nodes, key=lambda node: (node.depth, node.action)))
        )

    @cached_property
    def max_epochs(self) -> int | None:
        """The largest budget that any prefix was measured at; None before a training."""
        return max((node.epochs for node in self.nodes if node.epochs is not None), default=None)

    def measured_when(self, epochs: int | None) -> str:
        """'at 8 epochs', or 'after 12 turns of the supernet'."""
        return self.whole_config.weights.measured(epochs or 0)

    @cached_property
    def by_path(self) -> Mapping[Path, Node]:
        """The nodes by their path."""
        return {node.path: node for node in self.nodes}

    @cached_property
    def averages(self) -> tuple[float, ...]:
        """The average accuracies that are known, in the order of the nodes: what the colours are a scale of."""
        return tuple(node.average_accuracy for node in self.nodes if node.average_accuracy is not None)

    @cached_property
    def comparable(self) -> tuple[Node, ...]:
        """The nodes measured at the search's largest budget, best first: rankings compare equal budgets."""
        return tuple(sorted((node for node in self.nodes if measured_at(node, self.max_epochs)), key=rank))

    @property
    def best(self) -> Node | None:
        """The first of `replaytree best`; None before a training."""
        return self.comparable[0] if self.comparable else None

    @property
    def measured(self) -> bool:
        """Whether any training has measured an accuracy."""
        return self.best is not None

    @cached_property
    def trainings(self) -> tuple[EpisodeInfo, ...]:
        """The episodes that went to the evaluator, in order."""
        return tuple(episode for episode in self.episodes if episode.trained)

    @cached_property
    def derived(self) -> EpisodeInfo | None:
        """The episode whose path a differentiable search ends with; None of other searches.

        That is the last one, or the last sound one of a search that collapsed.
        """
        last = self.episodes[-1] if self.episodes else None
        if last is None or last.mixed is None or last.mixed.behind >= len(self.episodes):
            return None
        return self.episodes[-1 - last.mixed.behind]

    @property
    def failure_note(self) -> str | None:
        """How many trainings failed and what to do about it; None where they are no more than a third."""
        failures = Counter(str(training.failure) for training in self.trainings if training.failure is not None)
        return failure_note(failures, len(self.trainings), self.whole_config)

    def labels_of(self, path: Path) -> str:
        """'conv32k3 max2s2'."""
        return " ".join(self.by_path[path].labels)


def measured_at(node: Node, epochs: int | None) -> bool:
    """Whether the node's average is one of the given budget."""
    return node.average_accuracy is not None and node.epochs == epochs


def shown_bound(node: Node) -> float | None:
    """ "At least", as people are shown it; what ranks where nothing is known of noise and images."""
    return node.training_bound if node.lower_bound is None else node.lower_bound


def read_search(search: HasTree | ReplayTree) -> SearchData:
    """Read a search: each query is a transaction of its own and blocks no writer.

    Episodes are read before nodes, so that a search that is running leaves no episode without its node. Costs and
    seconds that are no numbers, as an evaluator of one's own may have left them, are read as unknown.
    """
    tree = search if isinstance(search, ReplayTree) else search.tree
    episodes = tree.episodes()
    nodes = tree.nodes()
    models = tuple(tree.models())
    return SearchData(
        info=tree.info(),
        nodes=tuple(map(_priced, nodes)),
        episodes=tuple(replace(episode, train_seconds=_seconds(episode.train_seconds)) for episode in episodes),
        models=models,
        class_results=list_class_results(tree.engine, [model.model_id for model in models]),
        uncertainties=tree.uncertainties(),
        storage=_storage(tree),
        taken=tuple(search_names(tree.engine)),
    )


def kind_of(label: str) -> str:
    """The type of a layer: what its label begins with, 'conv32k3' -> 'conv', '3x5f36@1' -> '3x5'."""
    begin = re.match(r"[^\W\d_]+|\d+(?:x\d+)+", label)
    return begin[0] if begin else label


def _priced(node: Node) -> Node:
    costs: dict[str, Any] = {name: _cost(getattr(node, name)) for name in COSTS}
    return replace(node, **costs)


def _cost(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value >= 0 else None


def _storage(tree: ReplayTree) -> str | None:
    """The URL, with a SQLite file's absolute path; None for a database in memory, or one with a password."""
    url = tree.engine.url
    if url.password is not None:
        return None
    if url.get_backend_name() != "sqlite":
        return url.render_as_string()
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return None
    return url.set(database=os.path.abspath(url.database)).render_as_string()
