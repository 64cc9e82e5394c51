import math

import pytest
import torch

from replaytree.config import SearchConfig
from replaytree.policy.guided import GuidedStrategy, Noise, knowledge_gradient
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.value_model import value_of
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace


def test_the_knowledge_gradient_of_a_tie_by_hand():
    # lead 0: gain = sigma~ phi(0), sigma~ = 1 / sqrt(1 + 3) = 1/2
    assert knowledge_gradient(0.0, 1.0, 3.0) == pytest.approx(0.5 / math.sqrt(2 * math.pi))


def test_the_knowledge_gradient_is_the_expected_gain():
    # By simulation: the posterior mean moves by sigma~ z; the gain is how far the better of the two rises.
    lead, variance, noise = -0.3, 0.5, 0.2
    spread = variance / math.sqrt(variance + noise)
    z = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gain = torch.relu(lead + spread * z).mean()
    assert knowledge_gradient(lead, variance, noise) == pytest.approx(float(gain), rel=0.02)


def test_the_knowledge_gradient_is_symmetric_falls_with_the_lead_and_is_0_for_the_known():
    assert knowledge_gradient(0.2, 0.1, 0.1) == knowledge_gradient(-0.2, 0.1, 0.1)
    gains = [knowledge_gradient(lead, 0.1, 0.1) for lead in (0.0, 0.1, 0.5, 2.0)]
    assert gains == sorted(gains, reverse=True)
    assert knowledge_gradient(0.0, 0.0, 0.1) == 0.0


def test_noise_is_estimated_without_bias():
    # A second training at distance d from the first tells d^2 / 2; a third at distance d from their mean 2 d^2 / 3.
    noise = Noise()
    noise.add(0.6, None)
    noise.add(0.6, NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),)))
    d = value_of(0.6) - value_of(0.5)
    assert noise.variance == pytest.approx(d * d / 2)
    noise.add(0.5, NodeStats((0,), 2, (BudgetSums(4, 2, 0.5 + 0.5),)))
    assert noise.variance == pytest.approx(d * d / 4)


def test_equal_trainings_show_no_noise():
    noise = Noise()
    for n in range(1, 50):
        noise.add(0.9, NodeStats((0,), n, (BudgetSums(4, n, sum([0.9] * n)),)))
    assert noise.variance < 1e-12


def test_a_copy_of_another_training_is_no_repetition():
    space = LabelSpace(["a", "b", "c"], max_layers=2)
    strategy = GuidedStrategy(space, SearchConfig(dataset=None, max_layers=2, min_layers=1))
    memory = ReplayMemory(
        [NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),)), NodeStats((0, 1), 1, (BudgetSums(4, 1, 0.5),))]
    )
    strategy.propose(memory, num_paths=1, depth_bound=2, epochs=4)
    proposals = [Proposal((0, action), "sample", (0.5, 0.5)) for action in (0, 1)]
    strategy.observe(proposals, [PathEvaluation([0.6, 0.7]), PathEvaluation([0.6, 0.5], shared=1)])
    # Of (0,) once, of (0, 1) once; (0, 0) is new. A second value at distance d from the first tells d^2 / 2.
    d = value_of(0.6) - value_of(0.5)
    assert strategy.state_dict()["noise"] == [pytest.approx(d * d / 2), 2]
