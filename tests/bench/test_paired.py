from dataclasses import replace

import pytest

from replaytree.bench.paired import Ledger, PairedEvaluator
from replaytree.bench.synthetic import Recipe, made
from replaytree.config import Budget
from replaytree.evaluate.tabular import Table
from replaytree.search.search import Search

TABLE = Table(("a", "b"), {(0,): (0.1, 0.2), (1,): (0.3, 0.4), (0, 1): (0.5, 0.6), (1, 1): (0.7, 0.8)}, {})
A, B = (0, 1), (1, 1)


def trained(paths, *, seed):
    """By path, the accuracies of its trainings in order."""
    evaluator, found = PairedEvaluator(TABLE, seed=seed), {}
    for number, path in enumerate(paths):
        [evaluation] = evaluator.evaluate([path], budget=Budget(1), seed=number)
        found.setdefault(path, []).append(evaluation.accuracies)
    return found


def test_a_training_depends_on_seed_path_and_count_and_not_on_what_came_between():
    for seed in range(20):
        assert trained([A, B, A, B, A], seed=seed) == trained([B, B, A, A, A], seed=seed)


def test_trainings_of_a_row_and_rows_and_seeds_differ():
    again = [trained([A] * 8, seed=seed)[A] for seed in range(20)]
    assert {row[0] for rows in again for row in rows} == {0.1, 0.2}
    assert all(len(set(rows)) > 1 for rows in again)
    # Whether the first column is drawn says nothing of another row.
    both = [trained([A, B], seed=seed) for seed in range(40)]
    assert {(found[A][0][1], found[B][0][1]) for found in both} == {(0.5, 0.7), (0.5, 0.8), (0.6, 0.7), (0.6, 0.8)}


def test_a_prefix_is_the_same_training_whatever_path_it_begins():
    for seed in range(20):
        [alone], [(first, _)] = trained([(0,)], seed=seed)[(0,)], trained([A], seed=seed)[A]
        assert alone == (first,)


SMALL = Recipe(depth=3, options=(3,), pairs=0.5, error=0.2, spread=0.1, noise=0.3, gain=0.0)


@pytest.mark.parametrize("recipe", [SMALL, replace(SMALL, prefixes="none")])
def test_the_ledger_ranks_as_the_tree_does(recipe):
    """Trainings differ more than architectures, of which there are few, so that repetitions decide the order."""
    table, ledger, compared = made(recipe, seed=2), Ledger(), 0
    options = {"min_layers": table.max_layers, "max_layers": table.max_layers, "strategy": "random", "seed": 4}
    search = Search(space=table.space(), evaluator=PairedEvaluator(table, seed=4), storage="sqlite://", **options)

    def look(progress):
        nonlocal compared
        for proposal, evaluation in zip(progress.proposals, progress.evaluations, strict=True):
            if proposal.rewards is None:
                ledger.add(proposal.path, evaluation.accuracies)
        assert ledger.best() == search.tree.best(1)[0].path
        compared += 1

    search.run(episodes=60, on_turn=look)
    assert compared == 60


def test_an_empty_ledger_and_one_without_any_accuracy():
    ledger = Ledger()
    assert ledger.best() is None
    ledger.add((0, 1), [None, 0.5])
    assert ledger.best() == (0, 1)
