import copy
import itertools
from collections import Counter

import pytest
import torch

from replaytree.config.strategies.q_learning import QLearningOptions
from replaytree.policy import ReplayMemory
from replaytree.policy.q_learning import (
    FIRST_VALUE,
    MOST_KNOWN,
    SCHEDULE,
    QLearningStrategy,
    Step,
    epsilon,
    steps_of,
)
from replaytree.records import BudgetSums, Decision, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace, checked
from replaytree.space.catalogue import named_space
from replaytree.space.coding import decode, ended, legal_actions

SPACE = LabelSpace(["a", "b", "c"], max_layers=3)


def new(space=SPACE, seed=0, **options):
    return QLearningStrategy(space, QLearningOptions(**options), seed=seed)


def node(path, average, *, episodes=1):
    """A node whose prefixes are left out; `episodes` of them ended there."""
    return NodeStats(path, episodes, () if average is None else (BudgetSums(4, episodes, episodes * average),))


def told(memory, path, accuracies, *, trained=True):
    """The memory after one more episode."""
    for depth, accuracy in enumerate(accuracies, start=1):
        old = memory.get(path[:depth])
        visits = (old.visit_count if old else 0) + 1
        count = (old.evaluation_count if old else 0) + trained
        memory.update([NodeStats(path[:depth], visits, (BudgetSums(4, count, count * accuracy),))])


def play(strategy, memory, turns, reward, *, depth_bound, num_paths=1):
    history = []
    for _ in range(turns):
        proposals = strategy.propose(memory, num_paths=num_paths, depth_bound=depth_bound, epochs=4)
        evaluations = [
            PathEvaluation(p.rewards or [reward(p.path[: t + 1]) for t in range(len(p.path))]) for p in proposals
        ]
        strategy.observe(memory, proposals, evaluations)
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            told(memory, proposal.path, evaluation.accuracies, trained=proposal.rewards is None)
        history += proposals
    return history


def test_the_schedule_is_of_2700_trainings():
    assert sum(count for _, count in SCHEDULE) == 2700
    chances = Counter(epsilon(trained, 2700) for trained in range(2700))
    assert chances == {1.0: 1500, 0.9: 100, 0.8: 100, 0.7: 100} | {tenths / 10: 150 for tenths in range(1, 7)}
    assert epsilon(2700, 2700) == epsilon(10**6, 2700) == 0.1


def test_the_schedule_is_scaled_to_the_trainings():
    assert Counter(epsilon(trained, 54) for trained in range(54)) == {
        1.0: 30, 0.9: 2, 0.8: 2, 0.7: 2, 0.6: 3, 0.5: 3, 0.4: 3, 0.3: 3, 0.2: 3, 0.1: 3,
    }  # fmt: skip
    assert [epsilon(0, 1), epsilon(1, 1)] == [1.0, 0.1]


def test_a_path_is_learned_from_its_last_step_to_its_first():
    strategy = new(q_rate=0.5)
    # Where the best of the next state counts, not what was taken there.
    strategy._table = {(2,): {1: 0.75}}
    steps = [Step((0,), 0, (0, 1)), Step((1,), 1, (0, 1)), Step((2,), 0, (0, 1))]
    errors = strategy._learn(steps, 0.9)
    # Last: 0.5 + (0.9 - 0.5) / 2. Then the best there is 0.75: 0.5 + (0.75 - 0.5) / 2. Then the best there is 0.625.
    assert strategy._table == {
        (2,): {1: 0.75, 0: pytest.approx(0.7)}, (1,): {1: 0.625}, (0,): {0: pytest.approx(0.5625)},
    }  # fmt: skip
    assert errors == pytest.approx([0.4, 0.25, 0.125])


def test_states_are_the_last_layer_the_depth_and_the_bin():
    space = named_space("metaqnn", input_shape=(3, 28, 28), num_classes=10, max_layers=5)
    steps = steps_of(space, space.parse("conv64k3 pool5s3 conv64k3 pool3s2 softmax"))
    # Actions: conv64k3 is 1, pool5s3 12, pool3s2 13, softmax 18. Sides: 28, 28, 8, 8, 3. The zeros are the decision.
    assert [step.state for step in steps] == [
        (0, 8, 0, 0), (1, 8, 1, 0, 0), (2, 8, 12, 0, 0), (3, 8, 1, 0, 0), (4, 1, 13, 0, 0),
    ]  # fmt: skip
    assert [step.action for step in steps] == [1, 12, 1, 13, 18]
    assert steps[0].options == (*range(12), 18, 19)
    # The same layer at the same depth and bin is the same state, whatever came before.
    other = steps_of(space, space.parse("conv512k1 conv64k1 conv64k3 softmax"))
    assert other[3].state == steps[3].state
    assert steps_of(SPACE, (2, 0))[1].state == (1, 0, 2, 0, 0)


class Joins:
    """A kernel, and which earlier layers are read."""

    max_layers = 3

    def decisions(self, depth):
        options = tuple(str(n) for n in range(1, depth))
        return (
            Decision("kernel", ("3", "5")),
            Decision("inputs", options, "inputs", sources=tuple(range(1, depth))),
        )

    def legal(self, prefix, chosen=()):
        if len(prefix) == 3:
            return (False, False)
        # Layer 1 is read with a kernel of 5 alone.
        return (True, True) if not chosen else tuple(n > 0 or chosen == (1,) for n in range(len(prefix)))

    def label(self, prefix, action):
        return f"l{action}"

    def action(self, prefix, label):
        return int(label[1:])

    def build(self, prefix, num_classes):
        raise AssertionError

    def cost(self, prefix):
        return None


def test_decisions_are_steps_and_inputs_a_step_each():
    space = checked(Joins())
    # Layer 3: kernel 5, and of the inputs 1 and 2 the second: action 1 * 4 + 2.
    steps = steps_of(space, (0, 0, 6))
    assert [(step.state, step.action, step.options) for step in steps[-3:]] == [
        ((2, 0, 0, 0, 0), 1, (0, 1)), ((2, 0, 0, 1, 0, 1), 0, (0, 1)), ((2, 0, 0, 1, 1, 1), 1, (0, 1)),
    ]  # fmt: skip
    assert [step.state for step in steps[:3]] == [(0, 0, 0, 0), (1, 0, 0, 0, 0), (2, 0, 0, 0, 0)]
    history = play(new(space, q_trainings=20), ReplayMemory(), 30, lambda path: 0.1 * len(path), depth_bound=3)
    for proposal in history:
        kernel, inputs = decode(space.decisions(3), proposal.path[2])
        assert kernel == 1 or not inputs & 1


def learned(reward, turns=60):
    """A strategy whose memory holds every path, and that replays them."""
    strategy, memory = new(q_rate=0.25), ReplayMemory()
    for path, accuracy in reward.items():
        told(memory, path, [0.1] * (len(path) - 1) + [accuracy])
    path, accuracy = next(iter(reward.items()))
    evaluation = PathEvaluation([0.1] * (len(path) - 1) + [accuracy])
    for _ in range(turns):
        strategy.observe(memory, [Proposal(path, "sample", (1.0,) * len(path))], [evaluation])
    return strategy


def test_values_of_two_layers_converge_to_the_best_that_can_be_reached():
    paths = itertools.product(range(3), repeat=2)
    reward = {path: 0.2 + 0.08 * (7 * n % 9) for n, path in enumerate(paths)}
    strategy = learned(reward)
    for first in range(3):
        reached = [reward[first, last] for last in range(3)]
        assert strategy.value((0, 0, 0, 0), first) == pytest.approx(max(reached), abs=1e-4)
        for last in range(3):
            assert strategy.value((1, 0, first, 0, 0), last) == pytest.approx(reached[last], abs=1e-4)
    assert reward[strategy._draw(2, 0.0)[0]] == max(reward.values())


def test_values_of_three_layers_converge_to_the_best_of_all_paths():
    # States keep the last layer alone, so values are exact where the reward is of the last two.
    paths = itertools.product(range(3), repeat=3)
    reward = {path: 0.2 + 0.08 * (7 * (3 * path[1] + path[2]) % 9) for path in paths}
    strategy = learned(reward, turns=150)
    for first in range(3):
        assert strategy.value((0, 0, 0, 0), first) == pytest.approx(max(reward.values()), abs=1e-3)
        for middle in range(3):
            best = max(reward[0, middle, last] for last in range(3))
            assert strategy.value((1, 0, first, 0, 0), middle) == pytest.approx(best, abs=1e-3)
    assert reward[strategy._draw(3, 0.0)[0]] == max(reward.values())


def test_a_search_finds_the_best_path_while_it_explores_less_and_less():
    reward = {path: 0.2 + 0.08 * (7 * (3 * path[1] + path[2]) % 9) for path in itertools.product(range(3), repeat=3)}
    strategy, memory = new(q_rate=0.25, q_trainings=27), ReplayMemory()
    history = play(strategy, memory, 200, lambda path: reward[path] if len(path) == 3 else 0.0, depth_bound=3)
    assert reward[strategy._draw(3, 0.0)[0]] == max(reward.values()) == pytest.approx(0.84)
    late = [reward[proposal.path] for proposal in history[-50:]]
    assert sum(late) / 50 > 0.7 > sum(reward.values()) / 27 + 0.1


def test_a_path_that_ends_early_has_its_reward_at_its_end():
    space = LabelSpace(["a", "stop"], max_layers=3, legal=lambda prefix: [not prefix or prefix[-1] == 0] * 2)
    reward = {(1,): 0.3, (0, 1): 0.9, (0, 0, 1): 0.4, (0, 0, 0): 0.6}
    strategy, memory = new(space, q_rate=0.25, q_trainings=4), ReplayMemory()
    for path, accuracy in reward.items():
        told(memory, path, [0.2] * (len(path) - 1) + [accuracy])
    for _ in range(10):
        strategy.observe(memory, [Proposal((1,), "sample", (0.5,))], [PathEvaluation([0.3])])
    assert strategy.value((0, 0, 0, 0), 1) == pytest.approx(0.3, abs=1e-3)
    assert strategy.value((0, 0, 0, 0), 0) == pytest.approx(0.9, abs=1e-3)
    assert strategy.value((1, 0, 0, 0, 0), 0) == pytest.approx(0.6, abs=1e-3)
    assert strategy._draw(3, 0.0)[0] == (0, 1)


def test_probabilities_are_those_of_epsilon_greedy():
    strategy = new(q_trainings=1)
    strategy._table = {(0, 0, 0, 0): {0: 0.9, 1: 0.9, 2: 0.1}}
    draws = [strategy._draw(1, 0.3) for _ in range(3000)]
    shares = Counter(path[0] for path, _ in draws)
    # 0.3 / 3 for all, and 0.7 / 2 for the two that are best.
    assert dict(draws) == {(0,): (pytest.approx(0.45),), (1,): (pytest.approx(0.45),), (2,): (pytest.approx(0.1),)}
    assert shares[2] / 3000 == pytest.approx(0.1, abs=0.02)
    assert shares[0] / 3000 == pytest.approx(0.45, abs=0.03)


def test_what_is_known_is_replayed_and_not_trained_again():
    memory = ReplayMemory([node((action,), 0.1 * action, episodes=2) for action in range(2)])
    strategy = new()
    proposals = strategy.propose(memory, num_paths=30, depth_bound=1, epochs=4)
    for proposal in proposals[:MOST_KNOWN]:
        assert (proposal.rewards, proposal.source) == (
            (None, "sample") if proposal.path == (2,) else ((0.1 * proposal.path[0],), "replay")
        )
    # Replayed episodes count nothing, and teach nothing by themselves.
    before = copy.deepcopy(strategy.state_dict())
    replays = [proposal for proposal in proposals if proposal.rewards is not None]
    assert replays
    update = strategy.observe(memory, replays, [PathEvaluation(p.rewards) for p in replays])
    assert update.loss is None
    torch.testing.assert_close(strategy.state_dict(), before, rtol=0.0, atol=0.0)


def test_a_search_of_a_space_that_is_exhausted_comes_to_its_end():
    memory = ReplayMemory([node((action,), 0.1) for action in range(3)])
    proposals = new().propose(memory, num_paths=2 * MOST_KNOWN + 2, depth_bound=1, epochs=4)
    trained = [n for n, proposal in enumerate(proposals) if proposal.rewards is None]
    assert trained == [MOST_KNOWN, 2 * MOST_KNOWN + 1]


def test_paths_under_way_are_not_proposed_again_and_count_for_the_schedule():
    strategy = new(q_trainings=2)
    strategy._table = {(0, 0, 0, 0): {0: 0.9}}
    # With one of two trainings under way epsilon is 1 (1350 of 2700), then it is 0.1.
    proposals = strategy.propose(ReplayMemory(), num_paths=2, depth_bound=1, epochs=4, pending=[(0,)])
    assert {proposal.path for proposal in proposals} == {(1,), (2,)}
    assert proposals[0].behaviour == (pytest.approx(1 / 3),)
    # With the only training of the schedule under way, epsilon is that of its end.
    strategy = new(q_trainings=1)
    strategy._table = {(0, 0, 0, 0): {0: 0.9}}
    [proposal] = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4, pending=[(1,)])
    assert proposal.behaviour == (pytest.approx(0.9 + 0.1 / 3),)
    # Nor is what the same turn proposes.
    for seed in range(10):
        proposals = new(q_trainings=3, seed=seed).propose(ReplayMemory(), num_paths=3, depth_bound=1, epochs=4)
        assert sorted(proposal.path for proposal in proposals) == [(0,), (1,), (2,)]
    # However greedy it is: at the last, draws are uniform.
    for seed in range(30):
        strategy = new(q_trainings=1, seed=seed)
        strategy._table = {(0, 0, 0, 0): {0: 0.9}}
        [proposal] = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4, pending=[(0,)])
        assert proposal.path != (0,)
        assert proposal.behaviour in [(pytest.approx(0.1 / 3),), (pytest.approx(1 / 3),)]


def test_draws_are_uniform_over_episodes():
    # (0,) was the end of three episodes, (0, 1) of one; what failed has reward 0.
    memory = ReplayMemory([
        NodeStats((0,), 4, (BudgetSums(4, 1, 0.5),)), NodeStats((0, 1), 1, (BudgetSums(4, 1, 0.7),)), NodeStats((2,), 1)
    ])  # fmt: skip
    strategy, drawn = new(q_replays=6000), Counter()
    strategy._learn = lambda steps, reward: drawn.update([(len(steps), steps[0].action, reward)]) or [0.0]
    strategy.observe(memory, [Proposal((1,), "sample", (1.0,))], [PathEvaluation([0.25])])
    assert set(drawn) == {(1, 0, 0.5), (2, 0, 0.7), (1, 2, 0.0), (1, 1, 0.25)}
    assert drawn[1, 0, 0.5] / 6000 == pytest.approx(0.5, abs=0.03)
    for other in ((2, 0, 0.7), (1, 2, 0.0), (1, 1, 0.25)):
        assert drawn[other] / 6000 == pytest.approx(1 / 6, abs=0.02)


def test_as_many_replays_as_asked_for_every_training():
    strategy, drawn = new(q_replays=5), []
    strategy._learn = lambda steps, reward: drawn.append(reward) or [0.0]
    proposals = [Proposal((action,), "sample", (1.0,)) for action in range(2)]
    failed = PathEvaluation([], failure="error", failure_text="no")
    strategy.observe(ReplayMemory(), proposals, [PathEvaluation([0.5]), failed])
    assert len(drawn) == 10
    assert set(drawn) == {0.5, 0.0}
    # What broke off after its first layer has no reward either.
    strategy, drawn = new(q_replays=5), []
    strategy._learn = lambda steps, reward: drawn.append(reward) or [0.0]
    broken = PathEvaluation([0.5], failure="diverged")
    strategy.observe(ReplayMemory(), [Proposal((0, 1), "sample", (1.0, 1.0))], [broken])
    assert drawn == [0.0] * 5


def test_only_paths_that_were_not_known_count_for_the_schedule():
    strategy = new()
    memory = ReplayMemory([node((0,), 0.5)])
    proposals = [Proposal((action,), "sample", (1.0,)) for action in (0, 1, 1)]
    strategy.observe(memory, proposals, [PathEvaluation([0.5])] * 3)
    assert strategy.state_dict()["trained"] == 1


def test_the_schedule_is_for_what_is_first_asked_for():
    strategy = new()
    strategy.aim(30)
    strategy.aim(60)
    again = new()
    again.load_state_dict(strategy.state_dict())
    again.aim(90)
    told = new(q_trainings=20)
    told.aim(30)
    assert [each.state_dict()["trainings"] for each in (strategy, again, told)] == [30, 30, 20]


@pytest.mark.parametrize("turns", [1, 7])
def test_a_resumed_strategy_goes_on_to_the_bit(turns):
    space = named_space("metaqnn", input_shape=(3, 8, 8), num_classes=10, max_layers=4, width=0.25)

    def reward(path):
        return 0.2 + 0.1 * len(path) + 0.01 * path[-1]

    strategy, memory = new(space, q_trainings=12), ReplayMemory()
    play(strategy, memory, turns, reward, depth_bound=4, num_paths=2)
    resumed, same = new(space, seed=9, q_trainings=12), ReplayMemory(memory)
    resumed.load_state_dict(copy.deepcopy(strategy.state_dict()))
    ways = [play(each, own, 12, reward, depth_bound=4, num_paths=2) for each, own in
            ((strategy, memory), (resumed, same))]  # fmt: skip
    assert ways[0] == ways[1]
    assert any(ended(space, p.path) and len(p.path) < 4 for p in ways[0])
    torch.testing.assert_close(strategy.state_dict(), resumed.state_dict(), rtol=0.0, atol=0.0)


def test_values_that_nothing_was_learned_of_are_the_first():
    assert new().value((3, 1, 4), 1) == FIRST_VALUE == 0.5


def test_it_runs_on_xu24():
    space = named_space("xu24", input_shape=(1, 8, 8), num_classes=10, max_layers=4)
    history = play(new(space, q_trainings=15), ReplayMemory(), 20, lambda path: 0.1 + path[-1] / 48, depth_bound=4)
    assert all(proposal.path[-1] in legal_actions(space, proposal.path[:-1]) for proposal in history)
    first = steps_of(space, space.parse("conv32k3s2 res64s2"))
    assert [step.state for step in first] == [(0, 8, 0, 0), (1, 4, 9, 0, 0)]
