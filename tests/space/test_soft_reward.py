import pytest

from replaytree.errors import ConfigError, SpaceError
from replaytree.records import BudgetSums, NodeStats, PathEvaluation
from replaytree.space import Convolution, LabelSpace, LayerSpace, SoftReward, soft_reward
from replaytree.space.latency_table import LatencyTable, distinct_layers, key_of

SPACE = LabelSpace(["a"], max_layers=4, cost=lambda path: (100 * len(path), 1000 * len(path)))


def test_by_hand():
    assert soft_reward(0.8, 100, target=100, weight=-0.07) == 0.8
    assert soft_reward(0.8, 50, target=100, weight=-0.07) == 0.8
    assert soft_reward(0.8, 200, target=100, weight=-1.0) == pytest.approx(0.4)
    # The paper's reason for -0.07: twice the latency for 5 % more accuracy is an even trade.
    assert soft_reward(1.05, 200, target=100, weight=-0.07) == pytest.approx(1.0, abs=2e-3)
    assert soft_reward(0.8, 1000, target=1, weight=0.0) == 0.8


@pytest.mark.parametrize(("target", "weight"), [(0, -0.1), (-1, -0.1), (1, 0.1), (1, float("nan"))])
def test_what_cannot_be_used(target, weight):
    with pytest.raises(ConfigError):
        soft_reward(0.5, 1, target=target, weight=weight)


def test_nodes_and_trainings_are_weighed_alike():
    reward = SoftReward(SPACE, target_params=100, target_flops=3000, weight=-1.0)
    assert [reward.factor((0,) * depth) for depth in (1, 2, 4)] == pytest.approx([1.0, 1 / 2, 1 / 4 * 3 / 4])
    training = reward.of_training((0, 0), PathEvaluation([0.8, 0.6]))
    assert training.accuracies == pytest.approx((0.8, 0.3))
    node = reward.of_node(NodeStats((0, 0), 5, (BudgetSums(1, 2, 1.2),)))
    assert node.average_accuracy == pytest.approx(0.3)
    assert (node.visit_count, node.evaluation_count) == (5, 2)


def test_without_a_target_nothing_changes():
    stats = NodeStats((0,), 1, (BudgetSums(1, 1, 0.5),))
    assert SoftReward(LabelSpace(["a"], max_layers=1)).of_node(stats) is stats
    with pytest.raises(SpaceError, match="does not know what its layers cost"):
        SoftReward(LabelSpace(["a"], max_layers=1), target_params=3).factor((0,))


def test_the_reward_is_accuracy_to_a_power_of_the_best_of_the_last_epochs():
    reward = SoftReward(SPACE, target_params=100, weight=-1.0, power=3.0)
    training = reward.of_training((0, 0), PathEvaluation([0.5, 0.6], best_accuracies=[0.8, 0.6]))
    assert training.accuracies == pytest.approx((0.8**3, 0.6**3 / 2))
    assert reward.of_training((0,), PathEvaluation([0.5])).accuracies == pytest.approx((0.125,))
    # Two trainings of average 0.5, at twice the target.
    node = reward.of_node(NodeStats((0, 0), 5, (BudgetSums(1, 2, 1.0), BudgetSums(2, 0, 0.0))))
    assert [sums.total_accuracy for sums in node.budgets] == pytest.approx([2 * 0.125 / 2, 0.0])


def test_what_was_not_measured_has_no_reward():
    reward = SoftReward(SPACE, target_params=100, weight=-1.0, power=2.0)
    # Two layers are 200 parameters: half of 0.6^2.
    assert reward.of_training((0, 0), PathEvaluation([None, 0.6])).accuracies == (None, pytest.approx(0.18))
    best = PathEvaluation([None, 0.6], best_accuracies=[None, 0.8])
    assert reward.of_training((0, 0), best).accuracies == (None, pytest.approx(0.32))


def test_latency_by_a_table_is_a_cost_too():
    space = LayerSpace([Convolution(4, 3)], input_shape=(1, 4, 4), num_classes=3, max_layers=2)
    table = LatencyTable({key_of(*part): 1.0 for part in distinct_layers(space)}, 0.5)
    reward = SoftReward(space, weight=-1.0, target_latency=2.5, table=table)
    # A layer and the head take 0.5 + 1 + 1, two and the head 3.5.
    assert reward.factor((0,)) == 1.0
    assert reward.factor((0, 0)) == pytest.approx(2.5 / 3.5)
    params = space.cost((0, 0))[0]
    both = SoftReward(space, target_params=params // 2, weight=-1.0, target_latency=2.5, table=table)
    assert both.factor((0, 0)) == pytest.approx(2.5 / 3.5 * (params // 2) / params)
