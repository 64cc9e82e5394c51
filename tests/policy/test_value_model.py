from itertools import product

import pytest
import torch

from replaytree.metric import ACCURACY
from replaytree.policy import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.value_model import BATCH, MEMBERS, ValueEnsemble
from replaytree.records import BudgetSums, NodeStats
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c"], max_layers=4)


def table_of(nodes):
    table = NodeTable(4)
    table.take_in(ReplayMemory(nodes))
    return table


def table_of_accuracies(accuracies, *, epochs=4):
    return table_of(NodeStats(path, 1, (BudgetSums(epochs, 1, value),)) for path, value in accuracies.items())


def ensemble(seed=0):
    return ValueEnsemble(SPACE, generator=torch.Generator().manual_seed(seed))


def predicted(model, paths, *, epochs):
    return model.values(model.scores(paths, epochs=epochs))


def test_values_are_read_back_among_the_examples_of_the_last_fit():
    model = ensemble()
    model.fit(table_of_accuracies({(0,): 0.5, (1,): 0.7, (1, 2): 0.8}))
    # The middle of three examples has score 0, and the quantiles 1/6 and 5/6 are -0.967 and 0.967.
    values = model.values(torch.tensor([[0.0, -0.967422, 0.967422]])).tolist()[0]
    assert values == pytest.approx([ACCURACY.value(0.7), ACCURACY.value(0.5), ACCURACY.value(0.8)], abs=1e-5)


@pytest.mark.parametrize(("examples", "draws"), [(BATCH - 8, False), (BATCH + 8, True)])
def test_a_fit_draws_batches_only_from_more_examples_than_one_batch(examples, draws):
    paths = [path for depth in (1, 2, 3, 4) for path in product(range(4), repeat=depth)][:examples]
    table = NodeTable(4)
    table.take_in(ReplayMemory(NodeStats(path, 1, (BudgetSums(4, 1, 0.5 + 0.1 * path[-1]),)) for path in paths))
    model = ValueEnsemble(LabelSpace(["a", "b", "c", "d"], max_layers=4), generator=torch.Generator().manual_seed(0))
    before = model._generator.get_state()
    model.fit(table)
    assert torch.equal(model._generator.get_state(), before) == (not draws)


def test_only_the_proportions_of_the_counts_matter():
    accuracies = {(0,): 0.5, (1,): 0.7, (1, 2): 0.8}
    models = [ensemble(), ensemble()]
    for model, count in zip(models, (1, 16), strict=True):
        sums = (NodeStats(path, 1, (BudgetSums(4, count, count * a),)) for path, a in accuracies.items())
        model.fit(table_of(sums))
    one, other = (model.scores([(0,), (1, 2)], epochs=4) for model in models)
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_it_learns_which_action_is_good():
    generator = torch.Generator().manual_seed(1)
    paths = {tuple(torch.randint(3, (4,), generator=generator).tolist()) for _ in range(30)}
    accuracies = {path[:t]: 0.5 + 0.1 * path[:t].count(1) for path in sorted(paths) for t in range(1, 5)}
    model = ensemble()
    memory = table_of_accuracies(accuracies)
    for _ in range(6):
        model.fit(memory)
    good, bad = predicted(model, [(1, 1, 1, 1), (0, 2, 0, 2)], epochs=4).mean(dim=0)
    assert good > ACCURACY.value(0.75) > ACCURACY.value(0.6) > bad


def test_members_disagree_more_about_what_was_never_seen():
    # All paths of the actions 0 and 1 are known; action 2 never occurred.
    known = [path for depth in (1, 2, 3, 4) for path in product((0, 1), repeat=depth)]
    table = table_of_accuracies({path: 0.5 + 0.1 * sum(path) / 4 for path in known})
    spreads = []
    for seed in range(3):
        model = ensemble(seed)
        for _ in range(8):
            model.fit(table)
        spreads.append(model.scores([(0, 1, 1), (2, 2, 2)], epochs=4).std(dim=0))
    seen, unseen = torch.stack(spreads).mean(dim=0)
    assert unseen > 2 * seen


def test_a_loaded_model_goes_on_as_the_saved_one():
    accuracies = {(0,): 0.5, (1,): 0.7, (1, 2): 0.8}
    model, memory = ensemble(), table_of_accuracies(accuracies)
    model.fit(memory)
    loaded = ensemble(seed=9)
    import copy

    loaded.load_state(copy.deepcopy(model.state()))
    more = table_of_accuracies(accuracies | {(2,): 0.6})
    # The bootstrap of the new node is drawn from the generator, which the strategy stores; here both share its state.
    loaded._generator.set_state(model._generator.get_state())
    model.fit(more)
    loaded.fit(more)
    assert torch.equal(predicted(model, [(1, 1)], epochs=4), predicted(loaded, [(1, 1)], epochs=4))


def test_the_budget_is_an_input():
    nodes = [NodeStats((action,), 1, (BudgetSums(2, 1, 0.5), BudgetSums(16, 1, 0.9))) for action in range(3)]
    model = ensemble()
    for _ in range(6):
        model.fit(table_of(nodes))
    low, high = (predicted(model, [(1,)], epochs=epochs).mean() for epochs in (2, 16))
    assert high - low > 0.5 * (ACCURACY.value(0.9) - ACCURACY.value(0.5))
    assert model.scores([(1,)], epochs=4).shape == (MEMBERS, 1)


def test_the_spread_multiplies_the_deviations_from_the_mean():
    one, three = (ValueEnsemble(SPACE, generator=torch.Generator().manual_seed(0), spread=s) for s in (1.0, 3.0))
    paths = [(0,), (1, 2), (2, 2, 0)]
    own, wide = (model.scores(paths, epochs=4) for model in (one, three))
    torch.testing.assert_close(wide.mean(dim=0), own.mean(dim=0))
    torch.testing.assert_close(wide.std(dim=0), 3.0 * own.std(dim=0))
