"""Searches by the presets, small: they run, learn, and go on where they stopped."""

import pytest

from replaytree import Search
from replaytree.config import SearchConfig
from replaytree.config.presets import with_preset

CELLS = {"max_layers": 2, "channels": 4, "cells": 3, "train_limit": 100}
SMALL = {
    "darts": CELLS,
    "gdas": CELLS,
    "pc-darts": CELLS,
    "enas-macro": {"max_layers": 3, "channels": 4, "passes": 0.4, "num_paths": 3, "score_images": 60},
    "enas-micro": {"max_layers": 4, "channels": 2, "cells": 3, "passes": 0.4, "num_paths": 3, "score_images": 60},
    "random-sharing": {"max_layers": 4, "channels": 2, "cells": 3, "passes": 0.4, "num_paths": 6},
    "enas-rnn": {"max_layers": 3, "hidden": 6, "passes": 0.4, "num_paths": 3, "score_images": 60},
    "nas-rnn": {"max_layers": 3, "hidden": 4, "epochs_first": 1, "epochs_last": 1},
    "amoebanet": {
        "max_layers": 4, "channels": 2, "cells": 2, "epochs_first": 1, "epochs_last": 1, "population": 3,
        "tournament": 2,
    },
    "zoph": {"max_layers": 3, "width": 0.125, "epochs_first": 1, "epochs_last": 1, "num_paths": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_search_by_a_preset(name, text_folder):
    data = {"dataset": str(text_folder), "bptt": 9} if "rnn" in name else {"dataset": "digits", "train_limit": 300}
    small = {**data, "batch_size": 50 if "bptt" not in data else 9, "seed": 1, **SMALL[name]}
    search = Search(name="small", storage="sqlite://", config=SearchConfig(**with_preset(name, small)))
    search.run(episodes=6)
    episodes = search.tree.episodes()
    assert len(episodes) == 6
    assert {len(episode.path) for episode in episodes} == {small["max_layers"]}
    assert all(episode.failure is None and episode.accuracies[-1] is not None for episode in episodes)
    learns = name not in ("random-sharing", "amoebanet")
    assert all((episode.entropy is not None) == learns for episode in episodes)
