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


@pytest.mark.parametrize(
    ("options", "done", "epochs"),
    [
        # Behind the warm-up of two, of which one was before, half of 5 epochs are 2.
        ({"strategy": "guided", "warmup": 2}, 1, [5, 2, 2]),
        ({"strategy": "guided", "warmup": 2, "inherited_epochs": 0.2}, 2, [1, 1, 1]),
        ({"strategy": "guided", "warmup": 2, "prior": "shared:1"}, 0, [5, 2, 2]),
        ({"strategy": "reinforce"}, 0, [5, 5, 5]),
        ({"strategy": "guided", "warmup": 2, "evaluator": "whole"}, 1, [5, 5, 5]),
    ],
)  # fmt: skip
def test_trainings_that_inherit_their_weights_cost_fewer_epochs(options, done, epochs):
    config = SearchConfig(
        weights="inherited", min_layers=1, max_layers=1, epochs_first=5, epochs_last=5, width=0.1, **options
    )
    data = load_data("digits")
    costs = forecast.training_costs(
        config, default_space(config, data), data, growth=Growth.start(config), trainings=3, done=done
    )
    assert costs == [each * data.train_count + data.val_count / 3 for each in epochs]


@pytest.mark.parametrize(("evaluator", "unit"), [("joint", 1.0), ("separate", 2.0)])
def test_a_prior_costs_its_passes_and_the_scores_of_random_paths(monkeypatch, evaluator, unit):
    config = SearchConfig(strategy="guided", prior="shared:12", width=0.1, max_layers=2, evaluator=evaluator)
    data = load_data("digits")
    # One layer costs as much as two, so that a step of a separate training, which is one of each prefix, costs twice.
    monkeypatch.setattr(forecast, "_flops", lambda config, space, paths: [3.0, 3.0])
    space = default_space(config, data)
    cost = forecast.prior_cost(config, space, data)
    assert cost == pytest.approx((12 * data.train_count + 2000 * data.val_count / 3) / unit)
    monkeypatch.setattr(forecast, "_measured_seconds", lambda config, space, part, paths: 0.192)
    assert forecast.prior_seconds(config, space, data) == pytest.approx(cost / 1000)
    both = {"growth": Growth.start(config), "trainings": 3}
    without = forecast.seconds_of(config, space, data, **both)
    assert forecast.seconds_of(config, space, data, **both, with_prior=True) == pytest.approx(without + cost / 1000)


def test_prefixes_of_cells_are_scored_by_themselves(monkeypatch):
    config = SearchConfig(strategy="guided", prior="shared:12", space="darts", max_layers=2, channels=4, cells=3)
    data = load_data("digits")
    monkeypatch.setattr(forecast, "_flops", lambda config, space, paths: [2.0, 4.0])
    cost = forecast.prior_cost(config, default_space(config, data), data)
    assert cost == pytest.approx(12 * data.train_count + 300 * data.val_count / 3 * 1.5)
