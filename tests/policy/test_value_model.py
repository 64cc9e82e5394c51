import math
from itertools import product

import numpy as np
import pytest
import torch

from replaytree import metric
from replaytree.policy import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.value_model import EXAMPLES, PRIORS, ValueModel, chosen_examples, floored_scores
from replaytree.records import BudgetSums, Decision, NodeStats
from replaytree.space import LabelSpace
from replaytree.space.coding import encode

SPACE = LabelSpace(["a", "b", "c"], max_layers=4)


def table_of(nodes):
    table = NodeTable(4)
    table.take_in(ReplayMemory(nodes))
    return table


def table_of_accuracies(accuracies, *, epochs=4, count=1):
    return table_of(
        NodeStats(path, count, (BudgetSums(epochs, count, count * value),)) for path, value in accuracies.items()
    )


def learned(accuracies, *, fits=6, space=SPACE, **options):
    model = ValueModel(space)
    for _ in range(fits):
        model.fit(table_of_accuracies(accuracies, **options))
    return model


def drawn(accuracy, number, *, seed=1):
    """Accuracies of all prefixes of random paths."""
    generator = torch.Generator().manual_seed(seed)
    paths = {tuple(torch.randint(3, (4,), generator=generator).tolist()) for _ in range(number)}
    return {path[:t]: accuracy(path[:t]) for path in sorted(paths) for t in range(1, 5)}


def test_targets_are_normal_scores_raised_to_a_floor():
    # Of five values the quantiles are 0.1, 0.3, 0.5, 0.7, 0.9; their scores 0, -+0.524 and -+1.282.
    values = np.array([0.9, 0.1, 0.5, 0.8, 0.3])
    plain = np.array([1.281552, -1.281552, 0.0, 0.524401, -0.524401])
    for floor, least in ((0.1, -1.281552), (0.3, -0.524401), (0.5, 0.0)):
        raised = np.maximum(plain, least)
        scores = floored_scores(values, floor=floor)
        np.testing.assert_allclose(scores, (raised - raised.mean()) / raised.std(), atol=1e-5)
    assert floored_scores(np.array([0.5, 0.5]), floor=0.5).tolist() == [0.0, 0.0]


def test_the_floor_is_the_median_unless_all_examples_are_equally_deep():
    nodes = [NodeStats((a, b), 1, (BudgetSums(4, 1, 0.5 + 0.1 * a + 0.01 * b),)) for a in range(3) for b in range(3)]
    table = NodeTable(4)
    # Nine whole paths; then a beginning that is worse than all of them.
    for more, distinct in ((nodes, 9), ([NodeStats((0,), 1, (BudgetSums(4, 1, 0.1),))], 6)):
        for node in more:
            table.put(node)
        model = ValueModel(SPACE)
        model.fit(table)
        assert len(set(model._posterior.targets.round(9))) == distinct


def test_of_many_examples_the_best_half_is_chosen_and_others_of_every_age():
    values = np.arange(1000.0) % 500
    assert chosen_examples(values[:EXAMPLES]).tolist() == list(range(EXAMPLES))
    chosen = chosen_examples(values)
    assert len(set(chosen)) == EXAMPLES
    assert chosen.tolist() == sorted(chosen)
    best = set(np.argsort(-values, kind="stable")[: EXAMPLES // 2])
    assert best <= set(chosen)
    rest = sorted(set(chosen) - best)
    assert (rest[0], rest[-1]) == (0, 949)
    assert max(np.diff(rest)) == 60  # over the hundred places where the best half stands in between


def test_it_learns_which_layer_is_good_wherever_it_stands():
    model = learned(drawn(lambda path: 0.5 + 0.1 * path.count(1), 20))
    good, bad = model.predicted([(1, 1, 1, 1), (0, 2, 0, 2)], epochs=4).mean
    assert good > 1.5
    assert bad < 0.0


def test_it_learns_which_place_a_layer_is_good_at():
    model = learned(drawn(lambda path: 0.5 + 0.2 * (path[0] == 1) + 0.1 * (path[2:3] == (0,)), 30))
    mean = model.predicted([(1, 2, 0, 2), (0, 2, 1, 1), (2, 1, 1, 0)], epochs=4).mean
    assert mean[0] > 1.0
    assert max(mean[1:]) < 0.0


def test_beginnings_that_tell_nothing_are_not_asked():
    # Whole paths are good by their layers; what they begin with is worse, and by chance.
    chance = np.random.default_rng(0)

    def accuracy(path):
        return 0.5 + 0.1 * path.count(1) if len(path) == 4 else 0.4 * chance.random()

    model = learned(drawn(accuracy, 30), fits=12)
    # Depths differ by a layer and more: a difference of one makes a prefix a stranger.
    assert model.state()["depth_length"] < PRIORS["depth_length"].start
    good, bad = model.predicted([(1, 1, 1, 1), (0, 2, 0, 2)], epochs=4).mean
    assert good > bad + 1.0


def test_the_known_is_surer_than_the_unknown_and_never_negative():
    known = {path: 0.5 + 0.1 * sum(path) / 4 for depth in (1, 2, 3, 4) for path in product((0, 1), repeat=depth)}
    seen, unseen = learned(known).predicted([(0, 1, 1), (2, 2, 2)], epochs=4).deviation
    assert unseen > 2 * seen > 0


def test_without_examples_all_prefixes_are_alike():
    model = ValueModel(SPACE)
    model.fit(NodeTable(4))
    model.believe([(0,)], epochs=4)
    told = model.predicted([(0,), (1, 2)], epochs=4)
    assert (told.mean.tolist(), told.deviation.tolist()) == ([0, 0], [1, 1])
    assert model.paths == []


def test_a_lucky_training_is_believed_less_than_a_mean_of_many():
    # (1,) is far better than what is like it, by one training or by a hundred.
    others = {(a, b): 0.5 + 0.001 * a + 0.002 * b for a in (0, 1, 2) for b in (0, 1, 2)}
    means = []
    for count in (1, 100):
        nodes = [NodeStats(path, 1, (BudgetSums(4, 1, a),)) for path, a in others.items()]
        nodes.append(NodeStats((1, 1, 1), count, (BudgetSums(4, count, 0.9 * count),)))
        model = ValueModel(SPACE)
        model.load_state(model.state() | {"noise": 0.0})
        table = NodeTable(4)
        for node in nodes:
            table.put(node)
        model.fit(table)
        means.append(float(model.predicted([(1, 1, 1)], epochs=4).mean[0]))
    assert means[1] > 1.2 * means[0]


def test_a_fit_moves_each_parameter_by_a_step_at_most_to_where_the_likelihood_is_higher():
    accuracies = drawn(lambda path: 0.5 + 0.1 * path.count(1), 20)
    model = ValueModel(SPACE)
    losses = []
    for _ in range(12):
        before = model.state()
        model.fit(table_of_accuracies(accuracies))
        after = model.state()
        assert {abs(after[name] - before[name]) for name in before} <= {0.0, 1.0}
        assert all(PRIORS[name].low <= after[name] <= PRIORS[name].high for name in after)
        losses.append(model._posterior.loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert model.state() != ValueModel(SPACE).state()


def test_the_predictions_are_those_of_scikit_learns_process():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import PairwiseKernel

    from replaytree.policy.value_model import kernel

    accuracies = drawn(lambda path: 0.5 + 0.1 * path.count(1), 12)
    model = learned(accuracies)
    known, asked = list(accuracies), [(1, 1, 1, 1), (0, 2), (2, 2, 2)]
    own = model._posterior
    distances = model._distances(own.features, own.features)
    own_EE = kernel(distances, model.state())
    across_NE = kernel(model._distances(model._read(asked, 4), own.features), model.state())
    asked_NN = kernel(model._distances(*(model._read(asked, 4),) * 2), model.state())
    whole = np.block([[own_EE, across_NE.T], [across_NE, asked_NN]])

    def looked_up(one, other, **_):
        return whole[int(one[0]), int(other[0])]

    process = GaussianProcessRegressor(
        PairwiseKernel(metric=looked_up), alpha=2.0 ** model.state()["noise"], optimizer=None
    )
    process.fit(np.arange(len(known))[:, None], own.targets)
    mean, deviation = process.predict(np.arange(len(known), len(whole))[:, None], return_std=True)
    told = model.predicted(asked, epochs=4)
    np.testing.assert_allclose(told.mean, mean, atol=1e-5)
    np.testing.assert_allclose(told.deviation, deviation * math.sqrt(own.variance), rtol=1e-4)


def test_what_is_believed_is_predicted_as_before_and_surer():
    model = learned(drawn(lambda path: 0.5 + 0.1 * path.count(1), 12))
    asked = [(2, 1, 0, 2), (2, 1, 0, 1), (0, 0, 0, 0)]
    before = model.predicted(asked, epochs=4)
    model.believe(asked[:1], epochs=4)
    after = model.predicted(asked, epochs=4)
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-6)
    assert after.deviation[0] < 0.7 * before.deviation[0]
    assert after.deviation[1] < before.deviation[1]
    # The next fit forgets it.
    model.load_state(model.state())
    assert model.predicted(asked, epochs=4).deviation.tolist() == [1, 1, 1]


def test_a_score_is_worth_what_it_is_between_the_floor_and_the_best():
    accuracies = {(0,): 0.5, (1,): 0.7, (1, 2): 0.8}
    model = learned(accuracies)
    # Of three values the median has score 0 and the best 0.967422; both are divided by the deviation.
    deviation = np.std([0.0, 0.0, 0.967422])
    gap = -math.log(1 - 0.8) + math.log(1 - 0.7)
    assert model.unit == pytest.approx(gap / (0.967422 / deviation), rel=1e-5)
    assert model.paths == [(0,), (1,), (1, 2)]
    assert learned({(0,): 0.5, (1,): 0.5}).unit == 0.0


def test_a_loaded_model_goes_on_as_the_saved_one():
    model = learned(drawn(lambda path: 0.5 + 0.1 * path.count(1), 8))
    loaded = ValueModel(SPACE)
    loaded.load_state(dict(model.state()))
    more = table_of_accuracies(drawn(lambda path: 0.5 + 0.1 * path.count(1), 9))
    for each in (model, loaded):
        each.fit(more)
    one, other = (each.predicted([(1, 1), (0, 2, 2)], epochs=4) for each in (model, loaded))
    assert (one.mean.tolist(), one.deviation.tolist()) == (other.mean.tolist(), other.deviation.tolist())


def test_between_budgets_there_is_a_trend():
    nodes = [
        NodeStats((action,), 1, (BudgetSums(2, 1, 0.5 + action / 100), BudgetSums(16, 1, 0.9 + action / 100)))
        for action in range(3)
    ]
    model = ValueModel(SPACE)
    for _ in range(6):
        model.fit(table_of(nodes))
    low, middle, high = (model.predicted([(2,)], epochs=epochs).mean[0] for epochs in (2, 8, 16))
    assert low < middle < high
    assert high - low > 0.5


class Skips:
    """A kernel, and which earlier layers are read."""

    max_layers = 3

    def decisions(self, depth):
        sources = tuple(range(depth))
        return (
            Decision("kernel", ("1", "3")),
            Decision("from", tuple(map(str, sources)), "input", sources),
            Decision("also", tuple(map(str, sources)), "inputs", sources),
        )


def test_it_reads_inputs():
    space = Skips()
    layers = [
        [encode(space.decisions(depth), values) for values in product(range(2), range(depth), range(2**depth))]
        for depth in (1, 2, 3)
    ]
    generator = np.random.default_rng(0)
    paths = [tuple(int(generator.choice(actions)) for actions in layers) for _ in range(40)]

    def accuracy(path):
        # Good where the second layer reads the first alone: 'from' 1, 'also' only 1.
        return 0.8 if len(path) > 1 and path[1] % 8 == 0b1_10 else 0.5

    model = learned({path[:t]: accuracy(path[:t]) for path in paths for t in (1, 2, 3)}, space=space)
    good = encode(space.decisions(2), (0, 1, 0b10))
    bad = encode(space.decisions(2), (0, 0, 0b01))
    one, other = model.predicted([(layers[0][0], good), (layers[0][0], bad)], epochs=4).mean
    assert one > other + 0.5


def test_text_is_ranked_like_images():
    accuracies = drawn(lambda path: 0.5 + 0.1 * path.count(1), 10)
    text = {path: value / 100 for path, value in accuracies.items()}
    one, other = (learned(each).predicted([(1, 1), (0, 2)], epochs=4).mean for each in (accuracies, text))
    np.testing.assert_allclose(one, other)
    assert metric.of("images").value(0.005) < 0.01
