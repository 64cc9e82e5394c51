"""The depth bounds of a search, of which one may be given alone."""

import pytest

from replaytree.config import SearchConfig
from replaytree.config.presets import with_preset
from replaytree.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({}, (2, 6)),
        ({"max_layers": 1}, (1, 1)),
        ({"max_layers": 9}, (2, 9)),
        ({"min_layers": 4}, (4, 6)),
        ({"min_layers": 8}, (8, 8)),
        ({"min_layers": 3, "max_layers": 5}, (3, 5)),
        # All paths of a differentiable search have max_layers.
        ({"strategy": "darts", "space": "darts", "max_layers": 4}, (4, 4)),
        ({"strategy": "darts", "space": "darts", "min_layers": 8}, (8, 8)),
        ({"strategy": "darts", "space": "darts"}, (8, 8)),
        ({"strategy": "gdas", "space": "nasnet"}, (10, 10)),
        ({"strategy": "gdas", "space": "nasnet", "max_layers": 4}, (4, 4)),
        ({"strategy": "pc-darts", "space": "xu24"}, (6, 6)),
        ({"strategy": "pc-darts", "min_layers": 8}, (8, 8)),
        ({"strategy": "reinforce", "space": "nasnet"}, (2, 6)),
    ],
)
def test_a_depth_bound_that_was_not_given_follows_the_other(given, bounds):
    space = SearchConfig(**given).space
    assert (space.min_layers, space.max_layers) == bounds


def test_both_bounds_as_given_or_refused():
    with pytest.raises(ConfigError, match="min_layers is 2, more than max_layers, 1"):
        SearchConfig(min_layers=2, max_layers=1)
    with pytest.raises(ConfigError, match="max_layers is None"):
        SearchConfig(min_layers=8, max_layers=None)
    with pytest.raises(ConfigError, match="min_layers is 'two'"):
        SearchConfig(min_layers="two")


@pytest.mark.parametrize(
    ("given", "bounds"), [({}, (10, 10)), ({"max_layers": 4}, (4, 4)), ({"min_layers": 12}, (12, 12))]
)
def test_those_of_a_preset_follow_too(given, bounds):
    values = with_preset("amoebanet", given)
    assert (values["min_layers"], values["max_layers"]) == bounds
