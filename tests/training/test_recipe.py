from dataclasses import replace

import pytest

from replaytree.config import SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.training.recipe import Recipe


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_a_search_takes_the_data_sets_augmentation_unless_told(digits):
    assert Recipe.of(SearchConfig(), digits) == Recipe(crop_padding=1)
    told = Recipe.of(SearchConfig(crop_padding=3, flip=True, batch_size=7), digits)
    assert told == Recipe(crop_padding=3, flip=True, batch_size=7)


def test_a_retraining_cuts_out_a_quarter_and_averages_weights(digits):
    # A batch is a fiftieth of the 1,617 training images; the images have 8 pixels a side.
    full = Recipe.full(digits, RetrainOptions())
    assert full == Recipe(batch_size=32, crop_padding=1, cutout=2, average_share=0.02)
    assert Recipe.full(digits, RetrainOptions(cutout=0, flip=True)) == replace(full, cutout=0, flip=True)


def test_the_values_of_a_retraining_are_those_that_model_files_have():
    assert Recipe(batch_size=9, balanced=True, hidden=0).values() == {
        "batch_size": 9, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "label_smoothing": 0.1,
        "crop_padding": 0, "flip": False, "cutout": 0, "average_share": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1}, r"batch_size is 1; it must be a whole number of at least 2 \(--batch-size\)"),
        ({"cutout": -1}, "cutout is -1"),
        ({"crop_padding": 0.5}, "crop_padding is 0.5"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"average_share": -0.1}, "average_share is -0.1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_values_that_cannot_be_used(digits, options, message):
    with pytest.raises(ConfigError, match=message):
        Recipe.full(digits, RetrainOptions(**options))
