import pytest

from replaytree.metric import ACCURACY
from replaytree.report.comparison.answer import standing_finding
from replaytree.report.comparison.apart import group_standings
from replaytree.report.comparison.searches import curves, groups
from replaytree.report.reading import read_search


def grouped(searches):
    return groups(searches, curves(searches))


def test_groups_of_the_same_seeds_are_compared_seed_by_seed(grow, training):
    made = [
        grow([training((0,), accuracy)], f"{name}-{seed}", seed=seed, config=config, data_json=None)
        for name, config, accuracies in (
            ("own", {}, {1: 0.9, 2: 0.7, 3: 0.8}),
            ("luck", {"strategy": "random"}, {3: 0.7, 1: 0.8, 2: 0.61}),
            ("firm", {"gamma": 0.5}, {1: 0.5, 2: 0.9, 3: 0.7}),
        )
        for seed, accuracy in accuracies.items()
    ]
    standings = group_standings(grouped([read_search(tree) for tree in made]))
    behind = {each.label: each.behind for each in standings}
    # 0.1, 0.09 and 0.1 apart seed by seed, although the seeds themselves lie 0.2 apart.
    assert behind["luck (3 seeds)"].value == pytest.approx(0.29 / 3)
    assert behind["luck (3 seeds)"].sign == 1
    assert behind["firm (3 seeds)"].sign == 0
    assert standing_finding(standings, 1, metric=ACCURACY) == (
        "After 1 training own (3 seeds) and firm (3 seeds) are not told apart; own (3 seeds) is ahead of luck (3 seeds)"
    )
