import builtins
import random
import sys
from itertools import pairwise

import pytest

import replaytree
from replaytree import metric
from replaytree.errors import ConfigError
from replaytree.records import PathEvaluation
from replaytree.search.callbacks import EpisodeEvent, TrainingEvent, _episode_scalars, _training_scalars


class Table:
    def evaluate(self, paths, *, budget, seed):
        return [
            PathEvaluation([0.5 + 0.01 * sum(path[: t + 1]) for t in range(len(path))], train_seconds=2.0)
            for path in paths
        ]


class Listener:
    def __init__(self, fails_at=None):
        self.heard = []
        self.fails_at = fails_at

    def on_episode(self, event):
        self._hear("episode", event)

    def on_training(self, event):
        self._hear("training", event)

    def on_end(self, event):
        self._hear("end", event)

    def _hear(self, what, event):
        self.heard.append((what, event))
        if what == self.fails_at:
            raise RuntimeError("out of ink")


def search(*callbacks, **options):
    space = replaytree.LabelSpace(["a", "b"], max_layers=3)
    options = {"storage": "sqlite://", "name": "told", "strategy": "replay", "replay": 0.5} | options
    return replaytree.Search(space=space, evaluator=Table(), callbacks=callbacks, **options)


def test_what_is_told():
    listener = Listener()
    found = search(listener, num_paths=2).run(episodes=20)
    episodes = [event for what, event in listener.heard if what == "episode"]
    trainings = [event for what, event in listener.heard if what == "training"]
    assert [event.number for event in episodes] == list(range(20))
    assert [event.number for event in trainings] == list(range(found.training_count))
    stored = {episode.number: episode for episode in found.tree.episodes()}
    for event in trainings:
        assert stored[event.episode].trained
        assert event.accuracies == stored[event.episode].accuracies
        assert (event.train_seconds, event.labels) == (2.0, tuple("ab"[action] for action in event.path))
    for event in episodes:
        assert (event.path, event.source) == (stored[event.number].path, stored[event.number].source)
        assert event.entropy == stored[event.number].entropy
    assert [what for what, _ in listener.heard].count("end") == 1
    end = listener.heard[-1][1]
    assert (end.search, end.episode_count, end.training_count) == ("told", 20, found.training_count)
    assert end.best_accuracy == episodes[-1].best_accuracy == found.tree.best(1)[0].average_accuracy


class Noisy:
    """Accuracies that differ from training to training: the best single one is seldom what `best` ranks first."""

    def evaluate(self, paths, *, budget, seed):
        spread = random.Random(seed)
        return [
            PathEvaluation([0.5 + 0.02 * sum(p[: t + 1]) + spread.uniform(-0.3, 0.3) for t in range(len(p))])
            for p in paths
        ]


def told(listener, storage, *, runs):
    """A search of the whole in so many runs, each resumed by a new process, as it were."""
    space = replaytree.LabelSpace(["a", "b"], max_layers=3)
    options = {"strategy": "replay", "epochs_first": 2, "epochs_last": 4, "grow_every": 6}
    found = replaytree.Search(
        name="told", storage=storage, space=space, evaluator=Noisy(), callbacks=[listener], **options
    ).run(episodes=runs[0])
    for episodes in runs[1:]:
        found = replaytree.Search.resume(
            "told", storage=storage, space=space, evaluator=Noisy(), callbacks=[listener]
        ).run(episodes=episodes)
    return found


def test_the_best_is_that_of_the_ranking_in_one_run_or_in_several(tmp_path):
    whole, parts = Listener(), Listener()
    told(whole, f"sqlite:///{tmp_path}/whole.db", runs=[30])
    found = told(parts, f"sqlite:///{tmp_path}/parts.db", runs=[7, 13, 10])
    bests = [[event.best_accuracy for what, event in each.heard if what == "episode"] for each in (whole, parts)]
    assert bests[0] == bests[1]
    ends = [event.best_accuracy for what, event in parts.heard if what == "end"]
    assert ends == [bests[0][6], bests[0][19], bests[0][29]]
    assert whole.heard[-1][1].best_accuracy == ends[-1] == found.tree.best(1)[0].average_accuracy
    # Neither the best single training nor the best average, and lower after the budget has grown.
    trainings = [max(event.accuracies) for what, event in whole.heard if what == "training"]
    assert ends[-1] < max(trainings)
    assert any(later < earlier for earlier, later in pairwise(bests[0]))


@pytest.mark.parametrize("method", ["episode", "training", "end"])
def test_one_that_raises_is_reported_and_switched_off(capsys, method):
    broken, well = Listener(fails_at=method), Listener()
    found = search(broken, well).run(trainings=5)
    assert found.training_count == 5
    assert [what for what, _ in broken.heard].count(method) == 1
    assert [what for what, _ in well.heard].count("training") == 5
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"Listener.on_{method} raised RuntimeError: out of ink; it is switched off, and the search goes on" in err


def test_the_end_is_told_when_a_run_fails():
    listener = Listener()
    found = search(listener)

    def interrupt(turn):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.run(trainings=5, on_turn=interrupt)
    assert listener.heard[-1][0] == "end"


def test_a_resumed_search_tells_on(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    search(storage=storage).run(trainings=2)
    listener = Listener()
    space = replaytree.LabelSpace(["a", "b"], max_layers=3)
    again = replaytree.Search.resume("told", storage=storage, space=space, evaluator=Table(), callbacks=[listener])
    again.run(trainings=1)
    assert next(event for what, event in listener.heard if what == "training").number == 2


def test_tensorboard(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = search(replaytree.TensorBoardLog(tmp_path / "log")).run(trainings=4)
    events = event_accumulator.EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    names = {"search/depth_bound", "search/epochs", "search/best_accuracy", "policy/entropy", "policy/loss"}
    names |= {"training/accuracy", "training/depth", "training/seconds"}
    assert set(events.Tags()["scalars"]) == names
    assert len(events.Scalars("training/accuracy")) == 4
    assert len(events.Scalars("search/depth_bound")) == found.episode_count
    assert events.Scalars("search/best_accuracy")[-1].value == pytest.approx(found.tree.best(1)[0].average_accuracy)


class FakeRun:
    """As much of the mlflow module as MLflowLog calls."""

    def __init__(self, active):
        self.active, self.calls = active, []

    def active_run(self):
        return self.active

    def __getattr__(self, name):
        return lambda *args, **options: self.calls.append((name, args, options))


@pytest.mark.parametrize("active", [None, "run"], ids=["own run", "active run"])
def test_mlflow(monkeypatch, active):
    mlflow = FakeRun(active)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    search(replaytree.MLflowLog(run_name="x")).run(trainings=3)
    names = [name for name, _, _ in mlflow.calls]
    assert names.count("start_run") == names.count("end_run") == (active is None)
    metrics = [args[0] for name, args, _ in mlflow.calls if name == "log_metrics"]
    assert sum("training/accuracy" in values for values in metrics) == 3


def test_what_is_not_installed(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.split(".")[0] in ("mlflow", "tensorboard") or name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'replaytree\[tensorboard\]'"):
        replaytree.TensorBoardLog(tmp_path)
    with pytest.raises(ConfigError, match=r"pip install 'replaytree\[mlflow\]'"):
        replaytree.MLflowLog()


def test_measures_are_logged_under_their_names():
    event = TrainingEvent("s", 0, 0, (0, 1), ("a", "b"), (0.01, 0.0125), None, 2.0, metric.of("text"))
    assert _training_scalars(event) == {"training/perplexity": 80.0, "training/depth": 2.0, "training/seconds": 2.0}
    end = EpisodeEvent("s", 0, (0,), ("a",), "sample", 1, 1, 0.01, None, None, metric.of("text"))
    assert _episode_scalars(end)["search/best_perplexity"] == 100.0
    assert "search/best_accuracy" not in _episode_scalars(end)
    macro = TrainingEvent("s", 0, 0, (0,), ("a",), (0.25,), None, None, metric.of("images", "macro-f1"))
    assert _training_scalars(macro) == {"training/macro_f1": 0.25, "training/depth": 1.0}
