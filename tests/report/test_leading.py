"""The ranking redone training by training against that of the tree as it was then."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replaytree import LabelSpace, PathEvaluation, ReplayTree
from replaytree.report.leading import leaders
from replaytree.report.reading import read_search
from replaytree.tree import Episode

PATHS = st.lists(st.integers(0, 1), min_size=1, max_size=3).map(tuple)
ACCURACIES = st.sampled_from([0.0, 0.4, 0.5, 0.6, 0.9, 1.0])
EPISODES = st.tuples(PATHS, st.lists(ACCURACIES, min_size=3, max_size=3), st.sampled_from([4, 8]))


def new_tree():
    space = LabelSpace(["a", "b"], max_layers=3, cost=lambda prefix: (10 * sum(prefix), 1))
    return ReplayTree.create("sqlite://", "s", space=space, seed=0, config_json='{"seed": 0}', versions={})


def episode(path, accuracies, epochs, shared=0):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies[: len(path)], shared=shared))


@given(st.lists(EPISODES, min_size=1, max_size=15))
@settings(deadline=None, max_examples=40)
def test_the_leader_is_what_best_ranked_first_by_then(results):
    tree, bests = new_tree(), []
    for path, accuracies, epochs in results:
        tree.record([episode(path, accuracies, epochs)], state=b"")
        bests.append(tree.best(1)[0])
    found = leaders(read_search(tree))
    assert [leader.path for leader in found] == [best.path for best in bests]
    for leader, best in zip(found, bests, strict=True):
        assert leader.accuracy == pytest.approx(best.average_accuracy)
        assert (leader.evaluation_count, leader.epochs) == (best.budget_evaluation_count, best.epochs)


def test_copies_of_a_shared_training_are_not_counted():
    tree = new_tree()
    tree.record([episode((0, 0), [0.5, 0.6], 4), episode((0, 1), [0.5, 0.2], 4, shared=1)], state=b"")
    data = read_search(tree)
    assert [each.shared for each in data.episodes] == [0, 1]
    assert leaders(data)[-1].known.noise is None


def test_a_long_search_is_ranked_at_some_places_and_where_it_is_asked_for():
    tree = new_tree()
    tree.record([episode((0,), [n / 100], 4) if n % 2 else episode((1,), [n / 100], 4) for n in range(40)], state=b"")
    data = read_search(tree)
    every, some = leaders(data), leaders(data, at=[7], most=4)
    assert len(every) == len(some) == 40
    for number in (7, 10, 20, 30, 40):
        assert some[number - 1] == every[number - 1]
    assert some[10] == some[9]
    assert some[5] is None
