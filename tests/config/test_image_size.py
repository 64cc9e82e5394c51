import numpy as np
import pytest

from replaytree.config import SearchConfig, parse_flag
from replaytree.config.image_size import image_size, sides
from replaytree.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "stored", "expected"),
    [
        (32, 32, (32, 32)),
        ("32", 32, (32, 32)),
        ("32x32", 32, (32, 32)),
        ("24x64", "24x64", (24, 64)),
        ("24X64", "24x64", (24, 64)),
        ((24, 64), "24x64", (24, 64)),
        ([64, 64], 64, (64, 64)),
        (np.int64(8), 8, (8, 8)),
        ("4096x1", "4096x1", (4096, 1)),
    ],
)
def test_sizes(given, stored, expected):
    assert image_size(given) == stored
    assert sides(given) == sides(stored) == expected


@pytest.mark.parametrize(
    "given", ["", "x", "24x", "x64", "24x64x3", "0", "0x8", "4097", "-3", True, 2.0, (1, 2, 3), None]
)
def test_what_is_no_size(given):
    assert image_size(given) is None
    with pytest.raises(ConfigError, match=r"image_size is .*; it must be rows x columns, as in 24x64, .*--image-size"):
        sides(given)


def test_in_a_configuration():
    config = SearchConfig(dataset="x", image_size=(24, 64), resize="pad")
    assert config.source.image_size == "24x64"
    words = config.to_arguments()
    assert words[words.index("--image-size") + 1] == "24x64"
    assert words[words.index("--resize") + 1] == "pad"
    assert parse_flag("--image-size", "24x64") == {"image_size": "24x64"}
    assert parse_flag("--image-size", "32") == {"image_size": 32}
    with pytest.raises(ConfigError, match="--image-size is 'big'; write rows x columns"):
        parse_flag("--image-size", "big")


def test_a_configuration_of_an_earlier_version():
    old = SearchConfig.from_json('{"dataset": "x", "image_size": 24}')
    assert (old.source.image_size, old.source.resize) == (24, "squash")
