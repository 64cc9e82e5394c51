"""How many turns a search proposes ahead, by who trains and where; test_turn_queue.py says what comes of it."""

import json
import sqlite3

import pytest
import torch

import replaytree
from replaytree.config import SearchConfig
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import RayCluster, WorkerOptions
from replaytree.records import PathEvaluation
from replaytree.search import assembly, workforce
from replaytree.search.workforce import with_ahead


class Constant:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([0.5] * len(path)) for path in paths]


class Stateful(Constant):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_ahead_is_stored_by_who_trains_and_where(tmp_path, monkeypatch):
    digits = load_data("digits", train_limit=100)
    search = replaytree.Search(data=digits, storage="sqlite://", max_layers=2)
    assert (search.config.ahead, search.workers.ahead) == (1, 1)
    search = replaytree.Search(data=digits, storage="sqlite://", max_layers=2, ahead=3)
    assert (search.config.ahead, search.workers.ahead) == (3, 3)
    monkeypatch.setattr(workforce, "resolve_device", torch.device)

    def chosen(options=WorkerOptions(), evaluator=None, **given):  # noqa: B008
        return with_ahead(SearchConfig(device="cuda:0", **given), options, evaluator=evaluator).ahead

    assert chosen() == 4
    assert [chosen(WorkerOptions(2)), chosen(evaluator=Constant()), chosen(weights="shared")] == [1, 1, 1]
    assert with_ahead(SearchConfig(device="cpu"), WorkerOptions(), evaluator=None).ahead == 1


def test_a_search_from_before_this_option_goes_on_as_it_was(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path}/old.db"
    replaytree.Search(name="old", dataset="digits", train_limit=100, max_layers=2, storage=storage)
    with sqlite3.connect(tmp_path / "old.db") as connection:
        [text] = connection.execute("select config_json from searches").fetchone()
        values = json.loads(text)
        assert values.pop("ahead") == 1
        connection.execute("update searches set config_json = ?", [json.dumps(values)])
    monkeypatch.setattr(workforce, "GPU_AHEAD", None)
    monkeypatch.setattr(assembly, "with_ahead", None)
    search = replaytree.Search.resume("old", storage=storage)
    assert (search.config.ahead, search.workers.ahead) == (1, 1)


def test_where_every_training_needs_the_one_before_turns_ahead_are_refused(monkeypatch):
    for options, weights in (
        ({"weights": "shared"}, "shared"),
        ({"weights": "inherited"}, "inherited"),
        ({"strategy": "darts", "space": "darts"}, "shared"),
    ):
        with pytest.raises(ConfigError, match=rf"^ahead is 2, and with --weights {weights} every training .*--ahead$"):
            SearchConfig(ahead=2, **options)
        SearchConfig(ahead=1, **options)
    space = replaytree.LabelSpace(["identity", "good"], max_layers=2)
    with pytest.raises(ConfigError, match=r"^ahead is 2, and evaluator Stateful has a state .*--ahead$"):
        replaytree.Search(space=space, evaluator=Stateful(), ahead=2, storage="sqlite://")
    with pytest.raises(ConfigError, match=r"^ahead is 2, .* workers have turns ahead by their number; leave out --a"):
        replaytree.Search(space=space, evaluator=Constant(), ahead=2, workers=2, storage="sqlite://")
    monkeypatch.setattr(workforce, "connect", lambda *_, **__: RayCluster(1, 1.0, "1 GPU"))
    with pytest.raises(ConfigError, match=r"leave out --ahead, or --workers and --ray-address$"):
        replaytree.Search(dataset="digits", ahead=4, ray_address="local", storage="sqlite://")
