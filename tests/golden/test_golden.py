"""Searches of spaces with one decision a layer: the same seed gives the tree that is recorded in trees.json.

The accuracies are made from each path by arithmetic, so the trees depend on the strategies, the controller, the value
model, replay, growth and pruning alone. `python tests/golden/test_golden.py` records the trees anew, which only a
wanted change of a strategy justifies.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import pytest

from replaytree import LabelSpace, LayerSpace, Search, xu24
from replaytree.config import Budget
from replaytree.records import Path, PathEvaluation
from replaytree.space import ConstrainedSpace

RECORDED = FilePath(__file__).with_name("trees.json")
EPISODES = 24


class Arithmetic:
    """The accuracy of a prefix from its actions; a pinch of the seed is the noise of a training."""

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path; every 11th seed diverges."""
        return [self._evaluation(path, budget, seed + place) for place, path in enumerate(paths)]

    def _evaluation(self, path: Path, budget: Budget, seed: int) -> PathEvaluation:
        accuracies, value = [], 17
        for action in path:
            value = (value * 31 + action * 7 + 3) % 101
            accuracies.append(round(0.4 + value / 250 + budget.epochs / 100 + (seed * 7919 % 13) / 2000, 6))
        if seed % 11 == 10:
            return PathEvaluation(accuracies[:1], failure="diverged")
        best = max(accuracies)
        return PathEvaluation(accuracies, checkpoint_accuracy=None if budget.checkpoint is None else best - 0.02)


def _labels() -> LabelSpace:
    return LabelSpace(
        ["a", "b", "c", "d", "e"],
        max_layers=4,
        legal=lambda prefix: [not prefix or prefix[-1] != action or action == 0 for action in range(5)],
    )


def _layers(max_layers: int = 6) -> LayerSpace:
    return LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=10, max_layers=max_layers)


GROWTH = {"epochs_first": 1, "epochs_last": 4, "grow_every": 4, "min_layers": 2}
CASES: dict[str, dict[str, Any]] = {
    **{f"xu24 {strategy}": {"strategy": strategy, **GROWTH} for strategy in ("random", "evolution", "replay")},
    **{f"xu24 {strategy}": {"strategy": strategy, **GROWTH} for strategy in ("reinforce", "puct", "guided")},
    "xu24 evolution, small population": {"strategy": "evolution", "population": 6, "tournament": 3, **GROWTH},
    "xu24 replay, three a turn": {
        "strategy": "replay", "num_paths": 3, "continue_": 0.3, "baseline": "parent", "return_kind": "reward-to-go",
        **GROWTH,
    },
    "xu24 puct, three a turn": {"strategy": "puct", "num_paths": 3, **GROWTH},
    "xu24 guided, three a turn": {"strategy": "guided", "num_paths": 3, "warmup": 4, **GROWTH},
    "labels guided": {"strategy": "guided", "warmup": 4, "min_layers": 2, "grow_every": 3},
    "labels puct": {"strategy": "puct", "min_layers": 2, "grow_every": 3},
    "labels replay": {"strategy": "replay", "replay": 0.5, "min_layers": 2, "grow_every": 3},
    "limited guided": {"strategy": "guided", "warmup": 4, **GROWTH},
    "limited evolution": {"strategy": "evolution", "population": 6, **GROWTH},
    "warm guided": {"strategy": "guided", "warm_start": "xu24 guided", **GROWTH},
    "warm replay": {"strategy": "replay", "warm_start": "xu24 guided", **GROWTH},
}  # fmt: skip


def _space(case: str) -> Any:
    if case.startswith("labels"):
        return _labels()
    return (
        ConstrainedSpace(_layers(), max_params=20_000, max_flops=900_000) if case.startswith("limited") else _layers()
    )


def tree_of(case: str, storage: str) -> dict[str, Any]:
    """What a search left in its tree: its episodes in order, and the best prefixes."""
    search = Search(name=case, storage=storage, space=_space(case), evaluator=Arithmetic(), seed=3, **CASES[case])
    search.run(episodes=EPISODES)
    return {
        "episodes": [
            f"{episode.source} {'.'.join(map(str, episode.path))} {episode.depth_bound} {episode.epochs} "
            f"{'' if episode.policy_loss is None else format(episode.policy_loss, '.4f')}"
            for episode in search.tree.episodes()
        ],
        "best": [f"{' '.join(node.labels)} {node.average_accuracy:.6f} {node.params}" for node in search.tree.best(5)],
    }


def _all_trees(folder: FilePath) -> dict[str, Any]:
    return {case: tree_of(case, f"sqlite:///{folder}/trees.db") for case in CASES}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _all_trees(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_seed_gives_the_recorded_tree(case: str, trees: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text())
    assert trees[case] == recorded[case]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        RECORDED.write_text(json.dumps(_all_trees(FilePath(scratch)), indent=1) + "\n")
    sys.exit(0)
