"""ENAS from beginning to end, and what it is compared with."""

import json

import pytest

from replaytree import cli
from replaytree.bench.sharing import CONTROLLER, FRESH, METHODS, NONE, SUPERNET, Job, best_of, run_job, shared_config
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.records import PathEvaluation
from replaytree.training import Recipe
from replaytree.training.images import epoch_steps

FEW = {"turns": 2, "paths": 3, "derived": 4, "search_epochs": 1, "epochs": 1, "repeats": 1}


def test_a_turn_is_one_minibatch_a_path_of_the_presets_controller():
    data = load_data("digits", val_fraction=0.5)
    job = Job("enas-micro", "digits", 3, turns=2, paths=7, options=(("policy_learning_rate", 0.25),))
    config = shared_config(job, data)
    # 899 images in batches of 32.
    assert epoch_steps(data, Recipe.of(config, data)) == 29
    assert round(config.weights.passes * 29) == config.num_paths == 7
    # 2 turns of 7 minibatches.
    assert config.weights.restart_passes == pytest.approx(14 / 29)
    own = config.strategy_options.gradient
    assert (config.strategy, own.controller.separable_bias, own.entropy_in) == ("reinforce", 10.0, "reward")
    assert own.controller.policy_learning_rate == 0.25
    assert (config.space.min_layers, config.space.max_layers, config.weights.score_images) == (6, 6, 128)
    assert config.seed == 3
    assert config.space.layers.given() == {"channels": 8, "cells": 4, "final": False}


class Scores:
    def __init__(self, scores):
        self.scores = scores

    def rescore(self, paths):
        return [PathEvaluation([], failure="error") if (s := self.scores[p]) is None else PathEvaluation([None, s])
                for p in paths]  # fmt: skip


def test_the_best_of_what_the_supernet_could_score():
    supernet = Scores({(0, 0): 0.4, (0, 1): None, (1, 0): 0.7, (1, 1): 0.7})
    assert best_of(supernet, [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]) == ((1, 1), 0.7)
    with pytest.raises(ConfigError, match="could score no path"):
        best_of(supernet, [(0, 1)])


def test_all_methods_are_measured_and_the_seed_decides():
    job = Job("enas-macro", "digits", 1, **FEW)
    outcome = run_job(job)
    assert tuple(each.job.strategy for each in outcome.found) == METHODS
    by_method = {each.job.strategy: each for each in outcome.found}
    assert all(0.0 < each.accuracy <= 1.0 and each.params > 1000 for each in outcome.found)
    assert all(len(each.labels.split()) == 4 for each in outcome.found)
    assert all(0.0 < by_method[method].seen <= 1.0 for method in (CONTROLLER, SUPERNET, FRESH))
    assert (by_method[NONE].seen, by_method[NONE].seconds) == (0.0, 0.0)
    # The random search goes on for as long as the controller's search took, and ends with the training under way.
    assert by_method[FRESH].seconds >= by_method[CONTROLLER].seconds
    again = {each.job.strategy: each for each in run_job(job).found}
    for method in (CONTROLLER, SUPERNET, NONE):
        assert (again[method].labels, again[method].accuracy) == (by_method[method].labels, by_method[method].accuracy)


def run(*words):
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", "sharing", *words])
    return end.value.code


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    file = tmp_path / "sharing.json"
    words = [word for name, value in FEW.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert run("--space", "enas-micro", "--seeds", "2", *words, "--json", str(file)) == 0
    out = capsys.readouterr().out
    assert "enas-micro digits: controller 0." in out
    assert "(n = 2)" in out
    figures = json.loads(file.read_text())
    assert [(row["first"], row["second"]) for row in figures["differences"]] == [
        (CONTROLLER, SUPERNET), (CONTROLLER, FRESH), (CONTROLLER, NONE), (SUPERNET, NONE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--space", "xu24"), "space is 'xu24'; it must be one of enas-macro, enas-micro (--space)"),
        (("--dataset", "mnist"), "dataset is 'mnist'; it must be one of digits, cifar10 (--dataset)"),
        (("--option", "tournament=3"), "tournament is an option of evolution, and the strategy is reinforce"),
    ],
)
def test_what_is_not_measured(words, told, capsys):
    assert run(*words) == 2
    assert told in capsys.readouterr().err
