"""Architectures whose accuracies are known from elsewhere, as a search that others can be warm-started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine

from replaytree.config import Growth, SearchConfig
from replaytree.policy import STRATEGIES
from replaytree.records import PathEvaluation, Space
from replaytree.search.assembly import versions
from replaytree.search.known_files import Known
from replaytree.search.state import owner, pack
from replaytree.tree import Episode, ReplayTree, require_name


def store_known(engine: Engine, name: str, known: Sequence[Known], *, space: Space, config: SearchConfig) -> ReplayTree:
    """A search of its own with these architectures: every one is an episode that was trained as a whole."""
    require_name(name)
    strategy = STRATEGIES[config.strategy](space, config.strategy_options, seed=config.seed)
    growth = Growth(config.space.max_layers, least_epochs=max(each.epochs for each in known))
    state = {
        "strategy": strategy.state_dict(), "growth": asdict(growth), "proposed_count": len(known), "of": owner(config)
    }  # fmt: skip
    tree = ReplayTree.create(
        engine, name, space=space, seed=config.seed, config_json=config.to_json(), versions=versions(config)
    )
    tree.record(
        [
            Episode(
                each.path, "sample", config.space.max_layers, each.epochs, True,
                PathEvaluation([None] * (len(each.path) - 1) + [each.accuracy]),
            )
            for each in known
        ],
        state=pack(state),
    )  # fmt: skip
    return tree
