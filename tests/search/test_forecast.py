"""What a run says of its length."""

import pytest

from replaytree.config import Growth, SearchConfig
from replaytree.data import load_data
from replaytree.search import forecast
from replaytree.search.searched_space import default_space


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (20.0, "less than a minute"), (58.0, "about 1 minute"), (9.4 * 60, "about 9 minutes"),
        (17 * 60.0, "about 20 minutes"), (3.2 * 3600, "about 3 hours"), (86400.0, "about 20 hours"),
        (1.5 * 3600, "about 90 minutes"), (1e9, "about 11600 days"),
    ],
)  # fmt: skip
def test_no_more_exact_than_it_can_be_known(seconds, text):
    assert forecast.about(seconds) == text


def test_trainings_grow_as_the_search_does():
    config = SearchConfig(min_layers=2, max_layers=4, epochs_first=1, epochs_last=4, grow_every=2)
    expected = [(2, 1), (2, 1), (3, 4), (3, 4), (4, 4)]
    assert forecast.path_epochs(Growth.start(config), config, 5) == expected
    # A search that goes on is where it stands.
    assert forecast.path_epochs(Growth(depth_bound=4), config, 2) == [(4, 4), (4, 4)]


def test_costs_of_trainings_are_epochs_times_the_share_of_the_layers_there():
    config = SearchConfig(min_layers=1, max_layers=2, epochs_first=2, epochs_last=2, grow_every=1)
    data = load_data("digits")
    shallow, deep, last = forecast.training_costs(
        config, default_space(config, data), data, growth=Growth.start(config), trainings=3
    )
    assert deep == last == 2 * len(data.train_labels) + len(data.val_labels) / 3
    assert 0 < shallow < deep


@pytest.mark.parametrize("evaluator", ["joint", "separate"])
def test_seconds_are_those_of_the_measured_step_times_the_images(monkeypatch, evaluator):
    config = SearchConfig(width=0.25, max_layers=3, min_layers=3, epochs_first=2, epochs_last=2, evaluator=evaluator)
    data = load_data("digits")
    seen = []

    def measured(config, space, part, paths):
        seen.append((len(part.train_labels), len(part.val_labels), {len(path) for path in paths}))
        return 0.192

    monkeypatch.setattr(forecast, "_measured_seconds", measured)
    space = default_space(config, data)
    growth = Growth.start(config)
    found = forecast.seconds_of(config, space, data, growth=growth, trainings=10)
    # 3 batches of 64 images in 0.192 seconds: a millisecond an image.
    images = 2 * len(data.train_labels) + len(data.val_labels) / 3
    assert seen == [(192, 1, {3})]
    assert found == pytest.approx(10 * images / 1000)
    shallow = Growth(depth_bound=1)
    less = forecast.seconds_of(config, space, data, growth=shallow, trainings=1)
    assert 0 < less < found / 10


def test_what_is_measured_is_a_time():
    config = SearchConfig(width=0.25, max_layers=2, epochs_first=1, epochs_last=1, max_params=20_000)
    data = load_data("digits")
    found = forecast.seconds_of(config, default_space(config, data), data, growth=Growth.start(config), trainings=1)
    assert 0.0 < found < 600.0
