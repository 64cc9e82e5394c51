import pytest

from replaytree.deliver.recipe import FullRecipe, average_decay, one_cycle
from replaytree.errors import ConfigError


def test_one_cycle_by_hand():
    rates = [one_cycle(step, 8, peak=1.0) for step in range(9)]
    assert rates[0] == 1 / 25
    assert rates[1] == pytest.approx((1 / 25 + 1) / 2)
    assert rates[2] == 1.0
    assert rates[5] == 0.5
    assert rates[8] == 0.0


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_one_cycle_of_few_steps_trains_and_never_passes_the_peak(steps):
    assert all(0.0 < one_cycle(step, steps, peak=0.3) <= 0.3 for step in range(steps))


def test_average_decay_by_hand():
    assert average_decay(0, 1000, share=0.02) == 0.0
    assert average_decay(3, 1000, share=0.02) == 0.5
    assert average_decay(999, 1000, share=0.02) == pytest.approx(1 - 1 / 20)
    assert average_decay(999, 1000, share=0.0) == 0.0


def test_of_takes_the_data_sets_own_augmentation(digits):
    recipe = FullRecipe.of(digits, epochs=3, batch_size=None, cutout=None)
    assert (recipe.crop_padding, recipe.flip, recipe.cutout, recipe.epochs, recipe.batch_size) == (1, False, 2, 3, 32)
    assert FullRecipe.of(digits, cutout=0, flip=True).cutout == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"epochs is 0.*\(--epochs\)"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"cutout": -1}, "cutout is -1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_values_that_cannot_be_used(options, message):
    with pytest.raises(ConfigError, match=message):
        FullRecipe(**options)
