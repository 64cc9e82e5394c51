"""Whole searches in named spaces, and what they found, trained anew."""

import json

import pytest

from replaytree import cli
from replaytree.bench.peers.proposing import PeerStrategy
from replaytree.bench.spaces import Found, Job, difference, run_job
from replaytree.errors import ConfigError
from replaytree.policy import ReplayMemory
from replaytree.records import PathEvaluation
from replaytree.space.label_space import LabelSpace

TINY = (("dataset", "digits"), ("train_limit", 100), ("max_layers", 2), ("epochs_first", 1), ("epochs_last", 2))


def found(space, strategy, seed, accuracy):
    return Found(Job(space, strategy, seed, 1, 1, ()), "", 0, 0.0, accuracy, 1.0)


def test_differences_are_paired_by_seed():
    results = [found("a", "guided", seed, 0.5 + seed / 10) for seed in range(3)]
    results += [found("a", "random", seed, 0.48 + seed / 10) for seed in range(3)]
    row = difference(results, "guided", "random")
    # Each seed differs by two points, so the interval has no width, though seeds differ by ten.
    assert (row.first_mean, row.second_mean, row.n) == (pytest.approx(0.6), pytest.approx(0.58), 3)
    assert (row.points, row.low, row.high) == (pytest.approx(2.0), pytest.approx(2.0), pytest.approx(2.0))


def test_a_seed_that_only_one_has_does_not_count():
    results = [found("a", "guided", 0, 0.9), found("a", "guided", 1, 0.1), found("a", "random", 0, 0.8)]
    assert difference(results, "guided", "random").points == pytest.approx(10.0)
    with pytest.raises(ConfigError, match="no seed in common"):
        difference(results[:2], "guided", "random")


def test_what_a_search_found_is_trained_anew():
    job = Job("xu24", "random", 1, 3, 2, TINY)
    result = run_job(job)
    assert 0.0 < result.accuracy <= 1.0
    assert result.accuracy != result.seen, "a mean of two trainings with other seeds"
    assert result.params > 0
    assert 1 <= len(result.labels.split()) <= 2


def test_a_peer_in_the_place_of_a_strategy_is_told_of_whole_paths():
    told = []

    class Peer:
        def propose(self):
            return (len(told), 1)

        def observe(self, path, accuracy):
            told.append((path, accuracy))

    strategy, memory = PeerStrategy(Peer(), LabelSpace(["a", "b"], max_layers=2)), ReplayMemory()
    for evaluation in (PathEvaluation([0.5, 0.25]), PathEvaluation([0.5, None]), PathEvaluation([], failure="error")):
        proposals = strategy.propose(memory, num_paths=1, depth_bound=1, epochs=1)
        strategy.observe(memory, proposals, [evaluation])
    assert told == [((0, 1), 0.25), ((1, 1), 0.0), ((2, 1), 0.0)]


def test_a_peer_drives_a_whole_search():
    options = (*TINY, ("min_layers", 2))
    random, peer = (run_job(Job("xu24", each, 1, 2, 1, options)) for each in ("random", "local-search"))
    # A peer begins with the paths of random search, whose trainings have the same seeds.
    assert (peer.labels, peer.seen, peer.accuracy) == (random.labels, random.seen, random.accuracy)


def run(*words):
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", "spaces", *words])
    return end.value.code


def test_the_command(tmp_path, capsys):
    file = tmp_path / "spaces.json"
    options = [word for name, value in TINY for word in ("--option", f"{name}={value}")]
    words = ["--space", "xu24", "--seeds", "2", "--trainings", "2", "--repeats", "1", "--processes", "1"]
    assert run(*words, *options, "--json", str(file)) == 0
    assert "xu24        guided 0." in capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert figures["differences"][0]["n"] == 2
    assert len(figures["found"]) == 4


def test_a_strategy_alone_is_compared_with_nothing(capsys):
    assert run("--space", "xu24", "--strategy", "guided") == 2
    assert "give a second --strategy" in capsys.readouterr().err


def test_a_space_that_there_is_not(capsys):
    assert run("--space", "xu25") == 2
    assert "there is no space 'xu25'" in capsys.readouterr().err
