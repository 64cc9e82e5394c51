from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from replaytree.bench import weights
from replaytree.bench.weights import Scored, agreement, measure_weights, read_known
from replaytree.config import Budget
from replaytree.evaluate.inherited import KeptWeights
from replaytree.space.coding import labels

TABLES = Path(__file__).parents[1] / "tables"


@pytest.fixture(scope="module")
def digits():
    return read_known(TABLES / "digits_chains.csv.gz")


def test_the_digits_table_is_every_chain_of_its_space(digits):
    assert (len(digits.paths), len(digits.trainings), digits.epochs) == (764, 3, 8)
    assert labels(digits.space, digits.paths[0]) == ("conv32k3",)
    assert digits.trainings[1][0] == 0.257238
    assert len(digits.data.val_labels) == 898


def test_a_truth_table_is_the_prefixes_whose_truth_is_known():
    known = read_known(TABLES / "prefix_truth_digits.csv.gz")
    # 24 chains, each at eight depths; some begin alike.
    assert {len(path) for path in known.paths} == {1, 2, 3, 5, 8, 10, 12, 15}
    assert 24 * 7 < len(known.paths) <= 24 * 8
    assert labels(known.space, known.paths[0]) == ("avg3s1",)
    assert [each[0] for each in known.trainings] == [0.108018, 0.119154]
    [(method, short)] = known.stored
    assert (method, short[0]) == ("fresh, 6 epochs (table)", 0.103563)


def few(known, paths, *trainings):
    return replace(known, paths=tuple(paths), trainings=tuple(np.array(each) for each in trainings))


def test_agreement_by_hand(digits):
    # The means are 0.1, 0.2, 0.5, 0.7.
    known = few(digits, [(0,), (1,), (0, 0), (0, 1)], [0.0, 0.2, 0.5, 0.8], [0.2, 0.2, 0.5, 0.6])
    found = agreement(
        known,
        "a way",
        [Scored(np.array([1.0, 2.0, 4.0, 3.0]), train_seconds=6.0), Scored(np.array([2.0, 1.0, 3.0, 4.0]))],
        unit=1.5,
    )
    # Each has one of six pairs turned around: within depth 2 and the better half, or within depth 1.
    assert found.taus == pytest.approx((4 / 6, 4 / 6))
    assert (found.within, found.better_half) == (0.0, 0.0)
    assert (found.train_seconds, found.trainings) == (3.0, 2.0)


def test_regret_is_of_the_ten_that_are_ranked_first(digits):
    truth = np.linspace(0.0, 0.9, 40)
    known = few(digits, digits.paths[:40], truth)
    scores = truth.copy()
    # The best three are ranked last.
    scores[-3:] = -1.0
    found = agreement(known, "a way", [Scored(scores)], unit=1.0)
    assert found.regret == pytest.approx(100.0 * (truth[-1] - truth[-4]))


def test_a_seed_is_compared_with_the_others_alone(digits):
    known = few(digits, [(0,), (1,), (2,)], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.31, 0.21, 0.11])
    found = agreement(known, "another seed", weights._other_seeds(known), unit=1.0)
    # The mean of the first and the second is 0.2 throughout; the first is the reverse of the others.
    assert found.taus[0] == -1.0


def test_every_way_is_measured(digits, monkeypatch):
    known = few(digits, digits.paths[:6], *(each[:6] for each in digits.trainings))
    known = replace(known, epochs=1)
    monkeypatch.setattr(weights, "read_known", lambda table, data_dir: known)
    monkeypatch.setattr(weights, "TIMED", 1)
    found = list(measure_weights(Path("x"), passes=[0.5], short_epochs=[1], inherited_epochs=[1], seeds=[0, 1]))
    assert [each.method for each in found] == [
        "another seed", "FLOPs", "fresh, 1 epochs", "inherited, 1 epochs", "shared, 0.5 passes",
    ]  # fmt: skip
    assert [len(each.taus) for each in found] == [3, 1, 2, 2, 2]
    assert all(-1.0 <= each.tau <= 1.0 for each in found)
    assert found[4].train_seconds > 0.0 < found[4].score_seconds


def test_inherited_trainings_are_those_of_paths_whose_prefix_came_before(digits, monkeypatch):
    # Deep first in the table: a whole path, its prefix, and a path without one.
    known = replace(few(digits, [(0, 1), (0,), (2, 1)], [0.1, 0.2, 0.3]), epochs=4)
    asked = []

    def spent(self, path, budget):
        asked.append((path, self.source(path)))
        return replace(budget, epochs=1)

    monkeypatch.setattr(KeptWeights, "budget", spent)
    scored = weights._inherited(known, 2, seed=0)
    assert asked == [((0,), None), ((0, 1), (0,)), ((2, 1), None)]
    # Each score stands where its path does.
    alone = weights.WholeEvaluator(known.space, known.data, recipe=known.recipe, device=weights.CPU)
    [first] = alone.evaluate([(0,)], budget=Budget(1), seed=1_000_000)
    assert scored.scores[1] == first.accuracies[0]
    assert scored.train_seconds > 0.0
