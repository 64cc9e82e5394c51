"""Paths that end early: behind the label 'stop' nothing may follow."""

import pytest
import torch

from replaytree.config import SCORED_STRATEGIES, STRATEGY_OPTIONS
from replaytree.config.controller import ControllerOptions
from replaytree.config.option import made
from replaytree.policy import STRATEGIES, ReplayMemory
from replaytree.policy.controller import Controller
from replaytree.policy.evolution import mutant
from replaytree.policy.random_search import random_path
from replaytree.records import BudgetSums, NodeStats, PathEvaluation
from replaytree.space import ConstrainedSpace, LabelSpace
from replaytree.space.coding import ended

STOP = 2
SPACE = LabelSpace(
    ["a", "b", "stop"],
    max_layers=4,
    legal=lambda prefix: [not prefix or prefix[-1] != STOP] * 3,
    cost=lambda prefix: (100 * (len(prefix) - prefix.count(STOP)), 1),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def is_whole(path, bound):
    """Whether it goes on to the bound, or to its only 'stop'."""
    return STOP not in path[:-1] and (len(path) == bound or path[-1] == STOP)


@pytest.mark.parametrize("name", SCORED_STRATEGIES)
def test_strategies_propose_whole_paths_and_learn_from_them(name):
    strategy = STRATEGIES[name](SPACE, made(STRATEGY_OPTIONS[name], {"warmup": 2, "continue_": 0.3}), seed=0)
    memory, lengths = ReplayMemory(), set()
    for turn in range(12):
        bound = min(2 + turn // 3, 4)
        proposals = strategy.propose(memory, num_paths=2, depth_bound=bound, epochs=4)
        assert all(is_whole(p.path, bound) or p.source == "replay" for p in proposals)
        assert all(len(p.path) == len(p.behaviour) for p in proposals)
        evaluations = [PathEvaluation(p.rewards or [0.1 + 0.1 * len(p.path[:t]) for t in range(len(p.path))])
                       for p in proposals]  # fmt: skip
        update = strategy.observe(memory, proposals, evaluations)
        assert update.loss is None or torch.isfinite(torch.tensor(update.loss))
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            lengths.add(len(proposal.path))
            for t, accuracy in enumerate(evaluation.accuracies, start=1):
                old = memory.get(proposal.path[:t])
                visits = (old.visit_count if old else 0) + 1
                memory.update([NodeStats(proposal.path[:t], visits, (BudgetSums(4, visits, visits * accuracy),))])
    assert len(lengths) > 1


def test_a_prefix_that_has_ended_is_complete_in_a_batch_with_others():
    controller = Controller(SPACE, ControllerOptions(hidden_size=8), generator=generator())
    [whole, longer] = controller.sample([(0, STOP), (0,)], depth_bound=4, generator=generator())
    assert whole == ((0, STOP), ())
    assert is_whole(longer[0], 4)
    assert len(longer[1]) == len(longer[0]) - 1


def test_paths_score_alike_alone_and_beside_longer_ones():
    controller = Controller(SPACE, ControllerOptions(hidden_size=8), generator=generator())
    paths = [(STOP,), (0, 1, STOP), (0, 1, 1, 1), (1, STOP)]
    together = controller.score(paths)
    assert together.lengths_B.tolist() == [1, 3, 4, 2]
    for b, path in enumerate(paths):
        alone = controller.score([path])
        torch.testing.assert_close(together.log_probs_BT[b, : len(path)], alone.log_probs_BT[0])
        assert together.log_probs_BT[b, len(path) :].abs().sum() == 0.0
        assert together.entropy_BT[b, len(path) :].abs().sum() == 0.0


def test_the_probabilities_of_all_paths_add_up_to_1():
    controller = Controller(SPACE, ControllerOptions(hidden_size=8), generator=generator())
    paths = [()]
    for _ in range(4):
        grown = [(*path, action) for path in paths if not ended(SPACE, path) for action in range(3)]
        paths = [path for path in paths if path and ended(SPACE, path)] + grown
    # Of 1 to 3 layers and 'stop', 1 + 2 + 4; of 4 layers, 8 x 3.
    assert len(paths) == 31
    log_probs_B = controller.score(paths).log_probs_BT.sum(dim=1).detach()
    assert float(log_probs_B.exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_mutants_stay_legal_and_may_gain_or_lose_their_end():
    draws = generator()
    children = {random_path(SPACE, 4, draws, prefix=mutant(SPACE, (0, 1, STOP), draws)).path for _ in range(300)}
    assert all(is_whole(child, 4) for child in children)
    assert {len(child) for child in children} == {1, 2, 3, 4}


def test_limits_on_cost_let_a_path_end():
    limited = ConstrainedSpace(SPACE, max_params=200)
    assert limited.legal((0, 1)) == (False, False, True)
    assert limited.legal((0, 1, STOP)) == (False, False, False)


def test_what_ends_a_path_is_cut_off_before_it_is_continued():
    strategy = STRATEGIES["replay"](SPACE, made(STRATEGY_OPTIONS["replay"], {"continue_": 0.5}), seed=0)
    assert {strategy._cut((0, STOP), 4) for _ in range(30)} == {(0,)}
    assert {strategy._cut((STOP,), 4) for _ in range(30)} == {()}
    assert {strategy._cut((0, 1, 0), 4) for _ in range(60)} == {(0,), (0, 1), (0, 1, 0)}
