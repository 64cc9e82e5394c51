"""Presets: values under one name, and what overrides them."""

import pytest

from replaytree.config import SearchConfig
from replaytree.config.presets import PRESETS, with_preset
from replaytree.errors import ConfigError
from replaytree.networks.trie import DISCOUNT
from replaytree.space.catalogue import about, named_space


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


def values_of(name):
    config = SearchConfig(**with_preset(name, {}))
    return config, config.strategy_options


def test_enas_is_the_released_scripts():
    # Section of the scripts, then the controller that is the same in both.
    for name, own in (
        (
            "enas-macro",
            {"policy_learning_rate": 0.001, "tanh_constant": 1.5, "op_tanh_reduce": 1.0, "entropy_in": "drawn",
             "skip_weight": 0.8, "skip_target": 0.4, "batch_size": 128, "max_layers": 12, "channels": 36,
             "separable_bias": 0.0, "cell_bias": 0.0, "weight_decay": 2 * 2.5e-4},
        ),
        (
            "enas-micro",
            {"policy_learning_rate": 0.0035, "tanh_constant": 1.1, "op_tanh_reduce": 2.5, "entropy_in": "reward",
             "skip_weight": 0.0, "batch_size": 160, "max_layers": 10, "channels": 20, "cells": 6 + 2,
             "separable_bias": 10.0, "cell_bias": 0.25, "weight_decay": 2 * 1e-4},
        ),
    ):  # fmt: skip
        given = values_of(name)[0].to_options()
        both = {
            "space": name, "strategy": "reinforce", "weights": "shared", "hidden_size": 64, "controller_layers": 1,
            "softmax_temperature": 1.0, "entropy": 1e-4, "baseline_decay": 0.99, "baseline_first": True,
            "adam_beta": 0.0, "adam_epsilon": 1e-3, "init_range": 0.1, "learning_rate": 0.05, "momentum": 0.9,
            "label_smoothing": 0.0, "val_fraction": 0.1, "final": False, "min_layers": given["max_layers"],
        }  # fmt: skip
        assert {option: given[option] for option in both | own} == both | own


@pytest.mark.parametrize(("name", "aggregate", "steps", "epochs", "batches"), [
    ("enas-macro", 20, 50, 310, 7), ("enas-micro", 10, 30, 150, 9),
])  # fmt: skip
def test_a_turn_of_enas_is_a_step_of_its_controller(name, aggregate, steps, epochs, batches):
    config, _ = values_of(name)
    assert config.num_paths == aggregate
    # An epoch of the program is a pass over 45,000 images and `steps` steps.
    assert config.weights.passes * steps == pytest.approx(1.0)
    assert f"--episodes {aggregate * steps * epochs}." in PRESETS[name].about
    assert round(config.weights.passes * 45_000 / config.recipe.batch_size) == batches
    assert config.weights.score_images == config.recipe.batch_size


def test_amoebanet_is_the_paper():
    config, own = values_of("amoebanet")
    assert (own.population, own.tournament, own.removal, own.mutation, own.identity) == (
        100, 25, "oldest", "amoebanet", 0.05,
    )  # fmt: skip
    assert config.space.layers.given() == {"channels": 24, "cells": 9}
    assert (config.recipe.evaluator, config.budget.epochs_first, config.budget.epochs_last) == ("whole", 25, 25)
    # Five combinations in each of the two cells.
    assert (config.space.min_layers, config.space.max_layers) == (10, 10)


def test_random_sharing_scores_5000_cells_of_a_supernet_of_150_epochs():
    config, _ = values_of("random-sharing")
    assert (config.strategy, config.num_paths, config.weights.passes, config.weights.score_images) == (
        "random", 5000, 150.0, None,
    )  # fmt: skip
    assert config.space.layers.given() == {"channels": 24, "cells": 8, "final": False}
    assert (config.space.min_layers, config.space.max_layers) == (8, 8)


def cell_of(name, *layers):
    """The space of a preset for Penn Treebank, and the network of a path of as many layers as its paths have."""
    config, _ = values_of(name)
    space = named_space(
        config.space.space, input_shape=(1, 1, 1), num_classes=10_000, max_layers=config.space.max_layers,
        **config.space.layers.given(),
    )  # fmt: skip
    assert config.space.min_layers == config.space.max_layers
    path = [*layers[:-1], *layers[-1:] * (config.space.max_layers - len(layers) + 1)]
    return space.network(space.parse(" ".join(path)))


def test_enas_rnn_searches_cells_of_9_nodes_behind_the_first():
    # The parameters of enas_lm's network in the search, of hidden size 200.
    assert cell_of("enas-rnn", "tanh", "relu@1").params == 2_880_000


def test_nas_rnn_searches_whole_cells_with_their_memory():
    config, own = values_of("nas-rnn")
    assert (config.objective.reward_power, config.budget.epochs_first, own.gradient.controller.hidden_size) == (
        2.0, 35, 35,
    )  # fmt: skip
    cell = cell_of("nas-rnn", *["add-tanh"] * 15, "add-tanh@8+c@12")
    assert (cell.states, [node.name for node in cell.nodes].count("inject")) == (2, 1)


def test_a_preset_bends_to_the_depth_and_the_weights_that_are_given():
    assert with_preset("enas-macro", {"max_layers": 4})["min_layers"] == 4
    assert with_preset("enas-macro", {"max_layers": 40})["min_layers"] == 12
    assert with_preset("enas-macro", {"max_layers": 4, "min_layers": 2})["min_layers"] == 2
    fresh = with_preset("enas-macro", {"weights": "fresh"})
    assert not {"passes", "score_images"} & set(fresh)
    assert SearchConfig(**fresh).weights.weights == "fresh"
    for bad in ("many", None):
        with pytest.raises(ConfigError, match=f"max_layers is {bad!r}; it must be"):
            SearchConfig(**with_preset("enas-macro", {"max_layers": bad}))


def test_every_deviation_stands_in_the_help():
    for preset in PRESETS.values():
        assert preset.deviations
        assert all(deviation in preset.help for deviation in preset.deviations)


def test_how_a_supernet_differs_from_that_of_the_program_is_named():
    """Supernets of nested spaces have a head for every prefix, whose gradients are discounted; ENAS' has one."""
    of_enas = {name: preset for name, preset in PRESETS.items() if "restart_factor" in preset.options}
    nested = {name for name, preset in of_enas.items() if about(preset.options["space"]).nested}
    assert (nested, set(of_enas) - nested) == ({"enas-macro"}, {"enas-micro"})
    assert f"later ones {DISCOUNT:g} times as much a layer" in PRESETS["enas-macro"].help
    assert "a classifier with a bias behind every layer" in PRESETS["enas-macro"].help
    assert "a reduction cell reads the last cell twice" in PRESETS["enas-micro"].help


def test_single_options_override_a_preset_and_its_shares():
    assert with_preset("zoph", {"hidden_size": 7})["hidden_size"] == 7
    # An eighth of the trainings, at least 1.
    assert [with_preset("zoph", {}, trainings=n)["grow_every"] for n in (12_800, 400, 2)] == [1600, 50, 1]
    assert with_preset("zoph", {"grow_every": 3}, trainings=400)["grow_every"] == 3


def test_without_a_preset_nothing_is_added():
    assert with_preset(None, {"seed": 3}, trainings=400) == {"seed": 3}


def test_a_preset_that_there_is_not():
    known = "amoebanet, darts, enas-macro, enas-micro, enas-rnn, gdas, nas-rnn, pc-darts, random-sharing, zoph"
    with pytest.raises(ConfigError, match=f"preset is 'zof'; it must be one of {known}"):
        with_preset("zof", {})


def test_another_strategy_leaves_out_the_options_of_the_presets_own():
    values = with_preset("zoph", {"strategy": "random"})
    assert "controller_layers" not in values
    assert (values["space"], values["num_paths"]) == ("zoph", 8)
    SearchConfig(**values)
    # What the strategies share stays, and what was given is not dropped in silence.
    assert with_preset("zoph", {"strategy": "replay"})["hidden_size"] == 35
    with pytest.raises(ConfigError, match="hidden_size is an option of"):
        SearchConfig(**with_preset("zoph", {"strategy": "random", "hidden_size": 7}))


def test_recurrent_cells_are_rewarded_as_published():
    config, own = values_of("enas-rnn")
    gradient = own.gradient
    controller = gradient.controller
    # 80 / perplexity, with a factor of 80 less on both sides.
    assert (config.objective.reward_power, 80 * gradient.entropy) == (1.0, pytest.approx(1e-5))
    assert (controller.tanh_constant, controller.softmax_temperature, controller.policy_learning_rate) == (
        2.25,
        5.0,
        5e-5,
    )
    assert (gradient.baseline_decay, controller.hidden_size, config.num_paths) == (0.999, 64, 10)
    assert (config.space.layers.hidden, config.space.max_layers, config.recipe.batch_size) == (200, 10, 128)
    assert (config.recipe.learning_rate, config.text.text_clip, config.text.text_weight_decay) == (20.0, 0.25, 8e-7)
    # 25 steps of the controller an epoch, each rewarded on a minibatch.
    assert (config.weights.passes, config.weights.score_images) == (0.04, 4480)
    config, own = values_of("nas-rnn")
    assert (config.objective.reward_power, own.gradient.entropy) == (2.0, 0.0)
    assert (own.gradient.controller.policy_learning_rate, config.budget.epochs_last) == (5e-4, 35)
    assert config.space.max_layers == 16
