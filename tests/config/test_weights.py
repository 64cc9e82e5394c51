import pytest

from replaytree.config import SearchConfig
from replaytree.config.weights import WeightOptions
from replaytree.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": "shared", "epochs_first": 3}, "--epochs means nothing with --weights shared"),
        ({"weights": "shared", "epochs_last": 9}, "--epochs means nothing"),
        ({"weights": "shared", "reward_epochs": 5}, "--reward-epochs means nothing"),
        ({"weights": "shared", "capture": True}, "--capture means nothing"),
        ({"passes": 2.0}, "--passes is an option of --weights shared, and weights are fresh"),
        ({"score_images": 100}, "--score-images is an option of --weights shared"),
        ({"restart_passes": 10.0}, "--restart-passes is an option of --weights shared"),
        ({"supernet_clip": 5.0}, "--supernet-clip is an option of --weights shared"),
        (
            {"weights": "shared", "lowest_rate": 0.001},
            "--lowest-rate says how the rate falls, and it is constant; give --restart-passes, too",
        ),
        ({"weights": "shared", "restart_factor": 1.0}, "--restart-factor says how the rate falls"),
        ({"weights": "borrowed"}, "weights is 'borrowed'; it must be one of fresh, shared"),
        ({"weights": "shared", "passes": 0.0}, "passes is 0.0; it must be a number over 0"),
    ],
)
def test_what_has_no_meaning_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        SearchConfig(**options)


def test_shared_weights_as_arguments_and_back():
    config = SearchConfig(weights="shared", passes=0.25, score_images=200, prune=False, capture=False)
    assert config.to_arguments() == [
        *("--no-prune", "--weights", "shared", "--passes", "0.25", "--score-images", "200", "--no-capture")
    ]
    assert SearchConfig.from_json(config.to_json()) == config


def test_when_a_score_was_measured_is_said_in_epochs_or_turns():
    assert [WeightOptions(weights=name).unit for name in ("fresh", "shared", "inherited")] == [
        "epochs",
        "turns",
        "epochs",
    ]
    assert [WeightOptions().measured(n) for n in (1, 8)] == ["at 1 epoch", "at 8 epochs"]
    assert [WeightOptions(weights="shared").measured(n) for n in (1, 1200)] == [
        "after 1 turn of the supernet", "after 1,200 turns of the supernet",
    ]  # fmt: skip
