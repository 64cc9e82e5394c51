"""Trainings that measured some prefixes of their path alone, in the tree."""

from replaytree.records import BudgetSums, PathEvaluation
from replaytree.tree import Episode, ReplayTree, check, export_search, import_search, open_engine

WHOLE = [
    Episode((0, 1, 2), "sample", 3, 4, True, PathEvaluation([None, None, 0.75])),
    Episode((0, 1), "continue", 3, 4, True, PathEvaluation([None, 0.5], shared=1)),
    Episode((0, 1, 2), "sample", 3, 4, True, PathEvaluation([None, None, 0.25])),
    Episode((0, 2, 1), "sample", 3, 4, True, PathEvaluation([None, 0.125, None], failure="diverged")),
]


def test_nothing_is_stored_for_what_was_not_measured(tree):
    tree.record(WHOLE, state=b"")
    sums = {node.path: node.budgets for node in tree.node_stats()}
    assert sums == {
        (0,): (), (0, 1): (BudgetSums(4, 1, 0.5),), (0, 1, 2): (BudgetSums(4, 2, 1.0),),
        (0, 2): (BudgetSums(4, 1, 0.125),), (0, 2, 1): (),
    }  # fmt: skip
    assert [(node.visit_count, node.average_accuracy) for node in tree.nodes() if node.path == (0,)] == [(4, None)]
    assert [(each.accuracies, each.highest) for each in tree.episodes()] == [
        ((None, None, 0.75), 0.75), ((None, 0.5), 0.5), ((None, None, 0.25), 0.25), ((None, 0.125), 0.125),
    ]  # fmt: skip
    # Of equal averages, that of two trainings comes first.
    assert [node.path for node in tree.best(4)] == [(0, 1, 2), (0, 1), (0, 2)]
    assert check(tree.engine) == []


def test_a_search_of_whole_paths_travels_and_tells_another(create, space, tmp_path):
    tree = create("sqlite://")
    tree.record(WHOLE, state=b"")
    export_search(tree.engine, "first", tmp_path / "first.gz")
    fresh = open_engine("sqlite://")
    import_search(fresh, tmp_path / "first.gz")
    assert ReplayTree.open(fresh, "first").node_stats() == tree.node_stats()
    prior = tree.prior_for(space)
    assert [node.path for node in prior] == [(0, 1), (0, 1, 2), (0, 2)]
    told = ReplayTree.create(fresh, "second", space=space, seed=1, config_json='{"seed": 1}', versions={}, prior=prior)
    # Parents stand before their children also where nothing measured them.
    assert [(node.path, node.evaluation_count) for node in told.prior()] == [
        ((0,), 0), ((0, 1), 1), ((0, 2), 1), ((0, 1, 2), 2),
    ]  # fmt: skip
    assert check(fresh) == []
