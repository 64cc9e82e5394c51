"""What paths had reached at their checkpoints, in the database and not in the strategy's state."""

from __future__ import annotations

import pytest

from replaytree.config import Pruning
from replaytree.config.growth import LEAST_SEEN
from replaytree.records import PathEvaluation
from replaytree.search.search import Search
from replaytree.search.state import pack, unpack
from replaytree.space import LabelSpace
from replaytree.tree import check
from replaytree.tree.engine import writing
from replaytree.tree.schema import strategy_states


def test_equal_accuracies_of_a_budget_are_counted_in_one_row(tree, golden):
    tree.record(golden[:2], state=b"", checkpoints=[(4, 0.5), (8, 0.5), (4, 0.25), (4, 0.5)])
    tree.record(golden[2:], state=b"", checkpoints=[(4, 0.25)])
    tree.record([], state=b"")
    assert tree.checkpoints() == [(4, 0.25), (4, 0.25), (4, 0.5), (4, 0.5), (8, 0.5)]
    with writing(tree.engine) as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM checkpoints").scalar() == 3
    assert check(tree.engine) == []


class Halves:
    """Half of the budget gives a 97th part of the seed: 97 accuracies in all, as of 96 validation images."""

    def __init__(self):
        self.bars = []

    def evaluate(self, paths, *, budget, seed):
        self.bars.append(budget.bar)
        return [PathEvaluation([0.5] * len(path), checkpoint_accuracy=seed % 97 / 97) for path in paths]


def own(tmp_path):
    return {
        "space": LabelSpace(["a", "b"], max_layers=2),
        "evaluator": Halves(),
        "storage": f"sqlite:///{tmp_path}/tree.db",
    }


@pytest.mark.parametrize("strategy", ["random", "reinforce"])
def test_a_state_is_as_large_after_a_thousand_trainings_as_after_a_hundred(tmp_path, strategy):
    search = Search(name="own", strategy=strategy, min_layers=2, num_paths=25, seed=1, **own(tmp_path))
    sizes = [len(search.run(episodes=episodes).tree.strategy_state()) for episodes in (100, 900)]
    assert sizes[1] - sizes[0] < 64
    reached = search.tree.checkpoints()
    assert len(reached) == 1000
    assert len(set(reached)) <= 97
    assert search.learner.pruning == Pruning(reached)


def test_a_state_that_still_holds_what_was_reached_hands_it_over_once(tmp_path):
    search = Search(name="own", strategy="random", min_layers=2, **own(tmp_path)).run(episodes=2)
    first = [accuracy for _, accuracy in search.tree.checkpoints()]
    seen = tuple((8, 0.01 * n) for n in range(LEAST_SEEN))
    old = unpack(search.tree.strategy_state()) | {"pruning": {"seen": seen}}
    with writing(search.tree.engine) as connection:
        connection.execute(strategy_states.update().values(payload=pack(old)))
    resumed = Search.resume("own", **(given := own(tmp_path))).run(episodes=2)
    bars = sorted([*first, *(accuracy for _, accuracy in seen)])
    assert given["evaluator"].bars[0] == bars[len(bars) // 2]
    assert "pruning" not in unpack(resumed.tree.strategy_state())
    again = Search.resume("own", **own(tmp_path))
    assert len(again.tree.checkpoints()) == LEAST_SEEN + 4
    assert again.learner.pruning == resumed.learner.pruning
