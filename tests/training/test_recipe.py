from dataclasses import replace

import pytest
import torch

from replaytree.config import SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.data import ImageData, TextData, load_data
from replaytree.data.images import Labelled
from replaytree.errors import ConfigError, DataError
from replaytree.training.recipe import Recipe, with_batches, with_columns


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
    assert Recipe(batch_size=9, reward="balanced", hidden=0).values() == {
        "batch_size": 9, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "label_smoothing": 0.1,
        "crop_padding": 0, "flip": False, "cutout": 0, "average_share": 0.0,
    }  # fmt: skip


def images_of(count, *, flip=True, crop_padding=4):
    """Data of which the recipe knows the number and the shape."""
    few = torch.zeros(count, 3, 32, 1, dtype=torch.uint8).expand(count, 3, 32, 32)
    part = Labelled(("a", "b"), few, torch.arange(count) % 2)
    return ImageData.from_parts("few", train=part, val=part, crop_padding=crop_padding, flip=flip)


ON_A_GPU = {
    "batch_size": 512, "learning_rate": 0.4, "cutout": 12, "padding": "reflect", "flip": True, "alternate_flip": True,
}  # fmt: skip
AS_ON_A_CPU = {
    "batch_size": 128, "learning_rate": 0.1, "cutout": 8, "padding": "zeros", "flip": True, "alternate_flip": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("device", "count", "options", "expected"),
    [
        ("cuda", 20_480, {}, ON_A_GPU),
        ("cuda", 20_479, {}, ON_A_GPU | {"batch_size": 256}),
        ("cuda", 10_240, {}, ON_A_GPU | {"batch_size": 256}),
        ("cuda", 10_239, {}, AS_ON_A_CPU),
        ("cpu", 20_480, {}, AS_ON_A_CPU),
        ("mps", 20_480, {}, AS_ON_A_CPU),
        ("cuda", 20_480, {"batch_size": 64}, ON_A_GPU | {"batch_size": 64, "learning_rate": 0.1}),
        ("cuda", 20_480, {"learning_rate": 0.2}, ON_A_GPU | {"learning_rate": 0.2}),
        ("cuda", 20_480, {"flip": False}, ON_A_GPU | {"flip": False, "alternate_flip": False}),
        ("cuda", 20_480, {"crop_padding": 0}, ON_A_GPU | {"padding": "zeros"}),
        ("cuda", 20_480, {"crop_padding": 32}, ON_A_GPU | {"padding": "zeros"}),
        ("cuda", 20_480, {"padding": "zeros", "alternate_flip": False, "cutout": 5},
         ON_A_GPU | {"padding": "zeros", "alternate_flip": False, "cutout": 5}),
    ],
)  # fmt: skip
def test_a_gpu_retrains_many_images_in_large_batches_with_more_augmentation(device, count, options, expected):
    found = Recipe.full(images_of(count), RetrainOptions(**options), device=device)
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_gpu_mirrors_and_pads_no_data_set_that_is_not():
    found = Recipe.full(images_of(20_480, flip=False, crop_padding=0), RetrainOptions(), device="cuda", normed=False)
    assert (found.padding, found.flip, found.alternate_flip) == ("zeros", False, False)
    assert found.learning_rate == pytest.approx(0.04)
    assert Recipe.full(images_of(20_480), RetrainOptions(), device="cuda", cutout_share=0.5).cutout == 16


def test_padding_and_flips_are_in_model_files_where_they_are_not_as_they_always_were(digits):
    usual = Recipe.full(digits, RetrainOptions(padding="zeros", alternate_flip=False))
    assert usual == Recipe.full(digits, RetrainOptions())
    changed = Recipe.full(digits, RetrainOptions(padding="reflect", flip=True, alternate_flip=True))
    more = {"padding": "reflect", "flip": True, "alternate_flip": True}
    assert changed.values() == usual.values() | more
    assert Recipe.full(digits, RetrainOptions(precision="bfloat16")).values() == usual.values() | {
        "precision": "bfloat16"
    }
    assert Recipe.full(digits, RetrainOptions(precision="float32")) == usual
    assert Recipe.full(digits, RetrainOptions(precision="float32"), device="cuda").precision == "float32"
    assert Recipe.full(digits, RetrainOptions(compile=True)) == replace(usual, compile=True)
    assert replace(usual, compile=True).values() == usual.values()


def test_more_padding_than_there_are_pixels_to_reflect(digits):
    assert Recipe.full(digits, RetrainOptions(padding="reflect", crop_padding=7)).crop_padding == 7
    with pytest.raises(DataError, match=r"crop_padding is 8, and images of 8x8 have 7 pixels.*--padding zeros"):
        Recipe.full(digits, RetrainOptions(padding="reflect", crop_padding=8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "edge"}, r"padding is 'edge'; it must be one of zeros, reflect \(--padding\)"),
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


@pytest.mark.parametrize(
    ("device", "images", "options", "batch", "rate"),
    [
        ("cpu", 45_000, {}, 64, 0.1),
        ("mps", 45_000, {}, 64, 0.1),
        # 40 steps of 512 are 20,480 images.
        ("cuda", 45_000, {}, 512, 0.4),
        ("cuda", 20_480, {}, 512, 0.4),
        ("cuda", 20_479, {}, 256, 0.4),
        ("cuda", 10_239, {}, 128, 0.2),
        ("cuda", 100, {}, 64, 0.1),
        ("cuda", 45_000, {"learning_rate": 0.05}, 512, 0.05),
        ("cuda", 45_000, {"batch_size": 256}, 256, 0.1),
        ("cpu", 45_000, {"batch_size": 7, "learning_rate": 0.3}, 7, 0.3),
        ("cpu", 1_000, {"weights": "shared"}, 64, 0.3),
        ("cuda", 45_000, {"weights": "shared"}, 512, 0.3),
        ("cpu", 45_000, {"weights": "shared", "learning_rate": 0.05}, 64, 0.05),
    ],
)
def test_batches_are_large_on_a_gpu_where_images_are_many(device, images, options, batch, rate):
    config = with_batches(SearchConfig(**options), device=device, images=images)
    assert (config.recipe.batch_size, config.recipe.learning_rate) == (batch, rate)
    assert with_batches(config, device="cuda", images=10**6) == config


def test_networks_without_batch_norm_are_trained_at_a_tenth_of_the_rate(digits):
    search = with_batches(SearchConfig(), device="cpu", images=1_000, normed=False)
    assert search.recipe.learning_rate == 0.01
    on_gpu = with_batches(SearchConfig(), device="cuda", images=45_000, normed=False)
    assert (on_gpu.recipe.batch_size, on_gpu.recipe.learning_rate) == (512, pytest.approx(0.04))
    given = with_batches(SearchConfig(learning_rate=0.2), device="cpu", images=1_000, normed=False)
    assert given.recipe.learning_rate == 0.2
    assert Recipe.full(digits, RetrainOptions(), normed=False).learning_rate == 0.01
    assert Recipe.full(digits, RetrainOptions(learning_rate=0.3), normed=False).learning_rate == 0.3


def text(count):
    words_N = torch.zeros(count, dtype=torch.int64)
    return TextData.of_words("cats", ("a", "b", "<eos>", "<unk>"), words_N, words_N)


def test_of_a_text():
    config = SearchConfig(
        bptt=10, text_clip=None, text_weight_decay=0.5, nonmono=2, embedding_dropout=0.1, input_dropout=0.2,
        hidden_dropout=0.3, output_dropout=0.4, reward_epochs=3, batch_size=7,
    )  # fmt: skip
    assert Recipe.of(config, text(100)) == Recipe(
        batch_size=7, learning_rate=20.0, momentum=0.0, weight_decay=0.5, label_smoothing=0.0, schedule="constant",
        capture=False, reward_epochs=3, grad_clip=None, bptt=10, nonmono=2, embedding_dropout=0.1, input_dropout=0.2,
        hidden_dropout=0.3, output_dropout=0.4,
    )  # fmt: skip
    usual = Recipe.of(SearchConfig(), text(929_589))
    assert (usual.batch_size, usual.bptt, usual.grad_clip, usual.weight_decay) == (20, 35, 0.25, 1.2e-6)
    assert (usual.step_units, usual.unit, usual.rate(3, 10, epoch_steps=5)) == (700, "columns", 20.0)
    assert (Recipe(batch_size=9).step_units, Recipe(batch_size=9).unit) == (9, "images")


@pytest.mark.parametrize(("words", "columns"), [(28_000, 20), (27_999, 10), (3_000, 2), (36, 1)])
def test_short_texts_have_fewer_columns(words, columns):
    found = with_columns(SearchConfig(), text(words))
    assert (found.recipe.batch_size, found.recipe.learning_rate) == (columns, 20.0)
    assert with_columns(SearchConfig(batch_size=1, learning_rate=3.0), text(words)).recipe.learning_rate == 3.0


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (351, {"batch_size": 11}, "in 11 columns make 31 a column; give --batch-size 10 or less, or --bptt 31"),
        (11, {"batch_size": 20, "bptt": 5}, "in 20 columns make 0 a column; give --batch-size 2 or less, or a longer"),
        (30, {}, "bptt is 35, and 30 words of cats in 1 column make 29 a column; give --bptt 29 or less"),
        (1, {}, "bptt is 35, and 1 word of cats in 1 column make 0 a column; give a longer text"),
    ],
)  # fmt: skip
def test_a_text_shorter_than_its_steps(words, options, message):
    with pytest.raises(ConfigError, match=message):
        with_columns(SearchConfig(**options), text(words))
    with pytest.raises(ConfigError, match=message):
        Recipe.of(SearchConfig(**options), text(words))
