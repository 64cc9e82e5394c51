"""Presets: values under one name, and what overrides them."""

import pytest

from replaytree.config import SearchConfig
from replaytree.config.presets import PRESETS, with_preset
from replaytree.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_configuration(name):
    config = SearchConfig(**with_preset(name, {}))
    given = config.to_options()
    assert {option: given[option] for option in PRESETS[name].options} == PRESETS[name].options


def test_zoph_is_the_paper():
    config = SearchConfig(**with_preset("zoph", {}))
    gradient = config.strategy_options.gradient
    own = gradient.controller
    assert (config.strategy, own.controller_layers, own.hidden_size, own.policy_learning_rate) == (
        "reinforce",
        2,
        35,
        6e-4,
    )
    assert (config.objective.reward_power, config.objective.reward_epochs) == (3.0, 5)
    assert (config.space.space, config.space.min_layers, config.growth.grow_by, config.growth.grow_every) == (
        "zoph", 6, 2, 1600,
    )  # fmt: skip
    assert (gradient.baseline_decay, gradient.entropy, config.num_paths) == (0.95, 0.0, 8)


def test_single_options_override_a_preset_and_its_shares():
    assert with_preset("zoph", {"hidden_size": 7})["hidden_size"] == 7
    # An eighth of the trainings, at least 1.
    assert [with_preset("zoph", {}, trainings=n)["grow_every"] for n in (12_800, 400, 2)] == [1600, 50, 1]
    assert with_preset("zoph", {"grow_every": 3}, trainings=400)["grow_every"] == 3


def test_without_a_preset_nothing_is_added():
    assert with_preset(None, {"seed": 3}, trainings=400) == {"seed": 3}


def test_a_preset_that_there_is_not():
    with pytest.raises(ConfigError, match="preset is 'zof'; it must be one of zoph"):
        with_preset("zof", {})


def test_another_strategy_leaves_out_the_options_of_the_presets_own():
    values = with_preset("zoph", {"strategy": "random"})
    assert "controller_layers" not in values
    assert (values["space"], values["num_paths"]) == ("zoph", 8)
    SearchConfig(**values)
    # What the strategies share stays, and what was given is not dropped in silence.
    assert with_preset("zoph", {"strategy": "guided"})["hidden_size"] == 35
    with pytest.raises(ConfigError, match="hidden_size is an option of"):
        SearchConfig(**with_preset("zoph", {"strategy": "random", "hidden_size": 7}))
