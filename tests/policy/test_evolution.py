import torch

from replaytree.config.strategies.evolution import EvolutionOptions
from replaytree.policy import EvolutionStrategy, ReplayMemory
from replaytree.policy.evolution import mutant
from replaytree.records import PathEvaluation
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c"], max_layers=4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_mutant_differs_in_exactly_one_layer():
    parent = (0, 1, 2, 0)
    for seed in range(50):
        child = mutant(SPACE, parent, generator(seed))
        assert sum(a != b for a, b in zip(parent, child, strict=True)) == 1


def test_a_mutant_keeps_its_tail_only_as_far_as_it_is_legal():
    # After "b" only "b" may come.
    space = LabelSpace(["a", "b"], max_layers=4, legal=lambda prefix: (not prefix or prefix[-1] == 0, True))
    children = {mutant(space, (0, 0, 0, 0), generator(seed)) for seed in range(60)}
    assert children == {(1,), (0, 1), (0, 0, 1), (0, 0, 0, 1)}


def test_the_population_is_random_first_then_mutants_and_the_oldest_dies():
    strategy = EvolutionStrategy(SPACE, EvolutionOptions(population=5, tournament=50), seed=0)

    def play(fitness):
        [proposal] = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=1)
        strategy.observe(ReplayMemory(), [proposal], [PathEvaluation([fitness] * 4)])
        return proposal.path

    first = [play(0.1 * n) for n in range(5)]
    # A tournament of 50 from 5 members holds the best, whose fitness is 0.4 until it is 5 episodes old.
    for _ in range(5):
        child = play(0.0)
        assert sum(a != b for a, b in zip(first[4], child, strict=True)) == 1
    assert all(fitness == 0.0 for _, fitness in strategy._population)


def test_fitness_is_the_accuracy_of_the_whole_path():
    strategy = EvolutionStrategy(SPACE, EvolutionOptions(), seed=0)
    proposals = strategy.propose(ReplayMemory(), num_paths=2, depth_bound=4, epochs=1)
    strategy.observe(
        ReplayMemory(), proposals, [PathEvaluation([0.1, 0.9, 0.4, 0.5]), PathEvaluation([0.8, 0.6, 0.7, 0.2])]
    )
    assert [tuple(member) for member in strategy._population] == [
        (proposals[0].path, 0.5),
        (proposals[1].path, 0.2),
    ]


def test_a_loaded_population_replaces_the_present_one():
    one, other = (EvolutionStrategy(SPACE, EvolutionOptions(), seed=0) for _ in range(2))
    for strategy, fitness in ((one, 0.25), (other, 0.75)):
        proposals = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=1)
        strategy.observe(ReplayMemory(), proposals, [PathEvaluation([fitness] * 4)])
    other.load_state_dict(one.state_dict())
    assert [fitness for _, fitness in other._population] == [0.25]


def test_what_stands_behind_an_illegal_layer_is_not_kept():
    # "a" only after "a" or first, "b" anywhere: a a b a, with its second layer changed, ends before its last.
    space = LabelSpace(["a", "b", "c"], max_layers=4, legal=lambda prefix: (not prefix or prefix[-1] == 0, True, True))
    children = {mutant(space, (0, 0, 0, 1), generator(seed)) for seed in range(80)}
    assert {child for child in children if child[1:2] != (0,)} == {(1,), (2,), (0, 1), (0, 2)}


def test_a_failed_path_has_fitness_0():
    strategy = EvolutionStrategy(SPACE, EvolutionOptions(), seed=0)
    proposals = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=1)
    strategy.observe(ReplayMemory(), proposals, [PathEvaluation([0.9], failure="diverged")])
    assert strategy._population[0][1] == 0.0
