import numpy as np
import pytest
import torch

from replaytree.bench.digits_table import digits_space
from replaytree.bench.peers import installed_peers, new_peer
from replaytree.bench.peers.peer import MUTANTS, RANDOM, STARTS, Paths
from replaytree.bench.strategies import Job, TableFile, run_job
from replaytree.bench.synthetic import synthetic_table
from replaytree.policy.random_search import random_path
from replaytree.space import LabelSpace

SPACES = {"decisions": synthetic_table("synthetic:decisions").space(), "digits": digits_space()}


def reached(path):
    """An accuracy that a path has alone: more of the higher actions is better."""
    return 0.3 + 0.02 * sum(path) + 0.001 * sum(action * t for t, action in enumerate(path))


def search(name, space, trainings, *, seed=0):
    peer, paths = new_peer(name, space, seed=seed), []
    for _ in range(trainings):
        paths.append(peer.propose())
        peer.observe(paths[-1], reached(paths[-1]))
    return paths


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", installed_peers())
def test_a_peer_begins_like_random_search_and_is_the_same_with_the_same_seed(name, space):
    """Optuna may suggest what is illegal; its path ends there, and may be empty. All others are of full depth."""
    space = SPACES[space]
    paths = search(name, space, 14, seed=5)
    generator = torch.Generator().manual_seed(5)
    assert paths[:STARTS] == [random_path(space, space.max_layers, generator).path for _ in range(STARTS)]
    for path in paths:
        if path:
            space.check(path)
        assert len(path) == space.max_layers or not any(space.legal(path)) or name.startswith("optuna")
    assert search(name, space, 14, seed=5) == paths
    assert search(name, space, 14, seed=6) != paths


@pytest.mark.parametrize("name", installed_peers())
def test_a_peer_finds_better_paths_than_random_ones(name):
    """The best of 40, where random search would have seen 30."""
    space = SPACES["decisions"]
    found = np.mean([max(map(reached, search(name, space, 40, seed=seed))) for seed in range(2)])
    random = np.mean([max(reached(Paths(space, seed=seed).random()) for _ in range(30)) for seed in range(2)])
    assert found > random + 0.05


def test_candidates_are_mutants_of_the_ten_best_and_random_paths_that_were_not_trained():
    paths = Paths(LabelSpace(list("abcdefgh"), max_layers=6), seed=0)
    good = [(a, 0, 0, 0, 0, 0) for a in range(8)] + [(0, a, 0, 0, 0, 0) for a in (1, 2)]
    bad = [(7, 7, 7, 7, 7, a) for a in range(8)]
    found = paths.candidates({**dict.fromkeys(bad, 0.1), **dict.fromkeys(good, 0.9)})
    # Mutants of the good are often one another.
    assert not {*good, *bad} & set(found)
    assert sum(path.count(0) >= 4 for path in found) > 70
    assert sum(path.count(7) >= 4 for path in found) <= 2
    assert sum(path.count(0) < 4 for path in found) >= 0.9 * RANDOM
    assert len(set(found)) == len(found) <= MUTANTS + RANDOM


def test_where_all_was_trained_something_is_trained_again():
    paths = Paths(LabelSpace(["a"], max_layers=1), seed=0)
    assert set(paths.candidates({(0,): 0.5})) == {(0,)}


@pytest.mark.parametrize("name", ["gp-ei", "local-search"])
def test_a_peer_is_measured_on_a_table(name):
    first, again = (run_job(Job(TableFile("synthetic:cells"), name, seed=1, trainings=12)) for _ in range(2))
    assert list(first.regrets) == [10, 12]
    assert first.regrets == again.regrets
