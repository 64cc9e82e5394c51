"""What a report is made of: one search, read in five queries and held as records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from replaytree.records import Path
from replaytree.tree import EpisodeInfo, Node, ReplayTree, SearchInfo, rank


class HasTree(Protocol):
    """A Search, or anything else that has a tree."""

    @property
    def tree(self) -> ReplayTree:
        """The stored prefixes."""
        ...


@dataclass(frozen=True)
class SearchData:
    """One search in memory; every row of a report is a function of this. Nodes stand after their parents."""

    info: SearchInfo
    nodes: tuple[Node, ...]
    episodes: tuple[EpisodeInfo, ...]

    @property
    def name(self) -> str:
        """The search's name."""
        return self.info.name

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The stored configuration, as it was written: a report needs no field in particular."""
        config: dict[str, Any] = json.loads(self.info.config_json)
        return config

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """The data's fingerprint; empty for an evaluator of one's own."""
        fingerprint: dict[str, Any] = json.loads(self.info.data_json or "{}")
        return fingerprint

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The layers of the space, by action."""
        return tuple(json.loads(self.info.space_json)["labels"])

    @cached_property
    def max_epochs(self) -> int | None:
        """The largest budget that any prefix was measured at; None before a training."""
        return max((node.epochs for node in self.nodes if node.epochs is not None), default=None)

    @cached_property
    def by_path(self) -> Mapping[Path, Node]:
        """The nodes by their path."""
        return {node.path: node for node in self.nodes}

    @cached_property
    def comparable(self) -> tuple[Node, ...]:
        """The nodes measured at the search's largest budget, best first: rankings compare equal budgets."""
        return tuple(sorted((node for node in self.nodes if measured_at(node, self.max_epochs)), key=rank))

    @property
    def best(self) -> Node | None:
        """The first of `replaytree best`; None before a training."""
        return self.comparable[0] if self.comparable else None

    @cached_property
    def trainings(self) -> tuple[EpisodeInfo, ...]:
        """The episodes that went to the evaluator, in order."""
        return tuple(episode for episode in self.episodes if episode.trained)

    def labels_of(self, path: Path) -> str:
        """'conv32k3 max2s2'."""
        return " ".join(self.labels[action] for action in path)


def measured_at(node: Node, epochs: int | None) -> bool:
    """Whether the node's average is one of the given budget."""
    return node.average_accuracy is not None and node.epochs == epochs


def read_search(search: HasTree | ReplayTree) -> SearchData:
    """Read a search: each query is a transaction of its own and blocks no writer.

    Episodes are read before nodes, so that a search that is running leaves no episode without its node.
    """
    tree = search if isinstance(search, ReplayTree) else search.tree
    episodes = tree.episodes()
    nodes = tree.nodes()
    return SearchData(info=tree.info(), nodes=tuple(nodes), episodes=tuple(episodes))


def kind_of(label: str) -> str:
    """The type of a layer: the letters its label begins with, 'conv32k3' -> 'conv'; the label where there are none."""
    letters = re.match(r"[^\W\d_]+", label)
    return letters[0] if letters else label
