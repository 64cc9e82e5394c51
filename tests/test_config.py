import dataclasses

import pytest

from replaytree.config import Budget, Growth, Pruning, SearchConfig, option_name, parse_epochs
from replaytree.errors import ConfigError


def test_a_configuration_survives_json():
    config = SearchConfig(seed=3, dataset="mnist", max_layers=9, continue_=0.5, flip=True, width=0.5)
    assert SearchConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_layers": 0}, r"max_layers is 0; it must be a whole number of at least 1 \(--max-layers\)"),
        ({"min_layers": 7, "max_layers": 3}, "min_layers is 7, more than max_layers, 3"),
        ({"replay": 1.5}, r"replay is 1.5; it must be .* at most 1 \(--replay\)"),
        ({"continue_": -0.1}, r"continue is -0.1; .* \(--continue\)"),
        ({"replay": 0.6, "continue_": 0.6}, "add up to more than 1"),
        ({"epochs_first": 5, "epochs_last": 1}, "epochs are 5:1, but the budget must not fall"),
        ({"batch_size": 0}, r"batch_size is 0; .* \(--batch-size\)"),
        ({"epochs_first": 0}, r"epochs_first is 0; .* \(--epochs\)"),
        ({"val_fraction": 0.0}, r"val_fraction is 0.0; it must be a number over 0"),
        ({"val_fraction": 1.0}, "val_fraction is 1.0; it must be less than 1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"width": 0.0}, "width is 0.0; it must be a number over 0"),
        ({"strategy": "clever"}, "strategy is 'clever'; it must be one of replay"),
        ({"seed": -1}, "seed is -1"),
        ({"train_limit": 0}, "train_limit is 0"),
        ({"num_paths": 1.5}, "num_paths is 1.5; it must be a whole number"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig(**options)


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown option 'max_layer'; known options: .*, batch_size, .*, max_layers"):
        SearchConfig.from_options({"max_layer": 3})


@pytest.mark.parametrize("text", ["[1]", "nonsense"])
def test_json_that_is_no_configuration(text):
    with pytest.raises(ConfigError, match="not a configuration"):
        SearchConfig.from_json(text)


def test_epochs():
    assert parse_epochs("4:8") == (4, 8)
    assert parse_epochs("6") == (6, 6)
    for text in ("", "a:b", "1:2:3", "4:"):
        with pytest.raises(ConfigError, match="write FIRST:LAST"):
            parse_epochs(text)


def test_growth_by_episodes():
    config = SearchConfig(min_layers=1, max_layers=3, grow_every=2)
    growth = Growth.start(config)
    bounds = []
    for _ in range(6):
        bounds.append(growth.depth_bound)
        growth = growth.after([None], config)
    assert bounds == [1, 1, 2, 2, 3, 3]
    assert Growth.start(config).after([0.5] * 4, config).depth_bound == 3


def test_automatic_growth_waits_for_the_best_to_stand_still():
    config = SearchConfig(min_layers=1, max_layers=3, grow_every=None, grow_patience=2)
    growth = Growth.start(config).after([0.5, 0.4, None, 0.6, 0.6], config)
    assert growth == Growth(depth_bound=1, trainings=4, episodes=5, best_accuracy=0.6, stale=1)
    assert growth.after([0.1], config) == Growth(depth_bound=2)
    assert Growth(depth_bound=3, stale=9).after([0.1], config).depth_bound == 3


def test_none_is_a_value_where_it_says_something():
    patient = SearchConfig(grow_every=None)
    assert SearchConfig.from_json(patient.to_json()) == patient
    assert SearchConfig().grow_every == 1
    with pytest.raises(ConfigError, match="max_layers is None"):
        SearchConfig(max_layers=None)


def test_the_budget_rises_with_the_bound_and_is_full_half_way():
    config = SearchConfig(min_layers=2, max_layers=6, epochs_first=4, epochs_last=8)
    assert [Growth(depth_bound=d).budget(config) for d in range(2, 7)] == [Budget(e) for e in (4, 6, 8, 8, 8)]
    fixed = SearchConfig(min_layers=3, max_layers=3, epochs_first=4, epochs_last=8)
    assert Growth.start(fixed).budget(fixed) == Budget(8)


def test_every_field_has_its_option():
    assert option_name("return_kind") == "--return"
    assert option_name("epochs_last") == "--epochs"
    assert {option_name(field.name) for field in dataclasses.fields(SearchConfig)} >= {"--max-layers", "--continue"}


def test_a_path_is_stopped_half_way_below_the_median_of_those_before_it():
    budget = Budget(8)
    pruning = Pruning()
    for accuracy in (0.1, 0.8, None, 0.3, 0.2, 0.7, 0.6, 0.5):
        assert pruning.budget(budget) == Budget(8, checkpoint=4, bar=None)
        pruning = pruning.after([accuracy], budget)
    assert pruning.budget(budget).bar is None  # seven have been seen, one failed
    pruning = pruning.after([0.4], budget)
    # 0.1 0.2 0.3 0.4 | 0.5 0.6 0.7 0.8
    assert pruning.budget(budget) == Budget(8, checkpoint=4, bar=0.5)
    assert pruning.budget(Budget(6)) == Budget(6, checkpoint=3, bar=None)
    assert pruning.budget(Budget(1)) == Budget(1)
