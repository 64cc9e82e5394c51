"""Differentiable searches against random cells."""

import json

import pytest

from replaytree import cli
from replaytree.bench import differentiable
from replaytree.bench.differentiable import METHODS, RANDOM, Job, run_job, search_config
from replaytree.bench.spaces import trained_anew


@pytest.fixture
def few(monkeypatch):
    """Few images."""
    monkeypatch.setitem(differentiable.SETTINGS, "digits", {"train_limit": 64, "val_fraction": 0.1, "batch_size": 32})
    differentiable._data.cache_clear()
    yield
    differentiable._data.cache_clear()


FEW = {"search_epochs": 2, "epochs": 1, "channels": 4, "cells": 3}


def test_the_searches_are_the_published_ones_but_small():
    config = search_config(Job("darts, second order", "digits", 3))
    assert (config.strategy, config.strategy_options.order, config.seed) == ("darts", 2, 3)
    assert (config.recipe.learning_rate, config.recipe.weight_decay, config.recipe.batch_size) == (0.025, 3e-4, 32)
    other = search_config(Job("gdas", "digits", 3, options=(("alpha_rate", 0.01),)))
    assert [each.strategy_options.alpha_rate(steps=19_550) for each in (other, config)] == [0.01, 3e-4]
    assert config.space.layers.given() == {"channels": 8, "cells": 4}
    assert (config.space.min_layers, config.space.max_layers) == (8, 8)
    assert {search_config(Job(name, "digits", 0)).strategy for name in METHODS} == {"darts", "pc-darts", "gdas"}


@pytest.mark.usefixtures("few")
def test_the_last_derived_path_is_trained_anew(monkeypatch):
    trained = []

    def told(space, data, config, path, **how):
        trained.append((path, space.plan.is_final, config.budget.epochs_last))
        return trained_anew(space, data, config, path, **how)

    monkeypatch.setattr("replaytree.bench.differentiable.trained_anew", told)
    outcome = run_job(Job("gdas", "digits", 1, **FEW))
    assert len(outcome.entropies) == len(outcome.skip_shares) == 2
    [(path, is_final, epochs)] = trained
    assert (len(path), is_final, epochs) == (8, True, 1)
    assert 0.0 < outcome.found.accuracy <= 1.0
    assert outcome.found.labels.count("skip") / 16 == outcome.skip_shares[-1]


@pytest.mark.usefixtures("few")
def test_the_command_prints_differences(tmp_path, capsys, monkeypatch):
    # Not in processes of their own, which take seconds to begin.
    monkeypatch.setattr(differentiable, "run_jobs", lambda jobs, processes: map(run_job, jobs))
    given = ["bench", "differentiable", "--seeds", "2", "--strategy", "gdas", "--search-epochs", "1", "--epochs", "1"]
    given += ["--channels", "4", "--cells", "3", "--json", str(tmp_path / "a.json")]
    with pytest.raises(SystemExit) as ended:
        cli.main(given)
    assert not ended.value.code
    assert "digits: gdas 0." in capsys.readouterr().out
    figures = json.loads((tmp_path / "a.json").read_text())
    assert [row["n"] for row in figures["differences"]] == [2]
    outcomes = figures["outcomes"]
    assert [outcome["job"]["method"] for outcome in outcomes] == [RANDOM, RANDOM, "gdas", "gdas"]
    assert outcomes[0]["found"]["labels"] != outcomes[1]["found"]["labels"]
    assert [len(outcome["entropies"]) for outcome in outcomes] == [0, 0, 1, 1]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "differentiable", "--strategy", "snas"])
    assert ended.value.code == 2
    assert "strategy is 'snas'; it must be one of darts" in capsys.readouterr().err


def test_options_of_the_searches(capsys):
    given = ["bench", "differentiable", "--seeds", "2", "--option"]
    for option, said in (
        ("alpha_rate=-1", "alpha_rate is -1"),
        ("tournament=3", "tournament is an option of evolution"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([*given, option])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
