import pytest

from replaytree.config import SearchConfig
from replaytree.config.option import declared
from replaytree.config.text import require_task
from replaytree.errors import ConfigError


def check(task, **options):
    require_task(task, SearchConfig(**options).to_options(), declared(SearchConfig))


@pytest.mark.parametrize("task", ["images", "text"])
def test_defaults_are_for_both(task):
    check(task)
    check(task, train_limit=5, batch_size=3, learning_rate=0.5, flip=False)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("text", {"image_size": 8}, "--image-size is for images, and the data are text: words have no size; leave"),
        ("text", {"flip": True}, "--flip is for images"),
        ("text", {"weight_decay": 0.1}, "--weight-decay is for images, .* that of a text is --text-weight-decay"),
        ("text", {"momentum": 0.0}, "--momentum is for images"),
        ("text", {"reward": "balanced"}, "--reward balanced is for images"),
        ("text", {"reward": "macro-f1"}, "--reward macro-f1 is for images"),
        ("text", {"class_weights": "balanced"}, "--class-weights is for images, and the data are text: words are no"),
        ("images", {"bptt": 10}, "--bptt is for text, and the data are images: images are not read word by word"),
        ("images", {"min_count": 2}, "--min-count is for text"),
        ("images", {"output_dropout": 0.5}, "--output-dropout is for text"),
        ("images", {"text_clip": None}, "--text-clip is for text"),
    ],
)  # fmt: skip
def test_an_option_of_the_other_task(task, options, message):
    with pytest.raises(ConfigError, match=message):
        check(task, **options)
