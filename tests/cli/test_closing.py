"""How a run ends."""

import pytest

from replaytree import LabelSpace, PathEvaluation, ReplayTree, Search
from replaytree.cli.closing import _following, print_closing, stopped_text
from replaytree.tree import Episode, Goal, record_model


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (Goal(trainings=12), "stopped after 8 of 12 trainings"),
        (Goal(episodes=20, trainings=12), "stopped after 8 of 12 trainings"),
        (Goal(episodes=20), "stopped after 9 of 20 episodes"),
        (Goal(seconds=7200.0, used_seconds=75.0), "stopped after 8 trainings, 1:15 of 2:00:00"),
    ],
    ids=["trainings", "the nearer of two", "episodes", "hours"],
)
def test_a_run_that_was_stopped_says_how_far_it_came(goal, text):
    assert stopped_text(goal, episodes=9, trainings=8) == text


def test_what_was_retrained_is_exported_next(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    tree = ReplayTree.create(
        url, "s", space=LabelSpace(("a", "b"), max_layers=1), seed=0, config_json='{"seed": 0}', versions={}
    )
    tree.record([Episode((1,), "sample", 1, 4, True, PathEvaluation([0.5]))], state=b"")
    best = tree.best(1)[0].node_id
    assert _following(tree, best, False, True)[-1] == ("retrain", "s", "--node", best)
    model = {"labels": ("b",), "seed": 0, "epochs": 1, "test_accuracy": None, "search": "s"}
    # A baseline is of no node.
    record_model(tree.engine, **model, weights_path="/linear.safetensors", baseline="linear")
    assert _following(tree, best, False, True)[-1][0] == "retrain"
    record_model(tree.engine, **model, weights_path="/b.safetensors", node_id=best)
    export = ("export", "s", "--node", best, "--format", "onnx", "--out", "model.onnx")
    assert _following(tree, best, False, True)[-1] == export
    assert _following(tree, best, False, False)[-1][0] == "resume"


class Diverging:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([], failure="diverged", failure_text="loss is nan") for _ in paths]


def test_a_run_whose_trainings_failed_ends_with_why(here, capsys):
    search = Search(space=LabelSpace(("a", "b"), max_layers=2), evaluator=Diverging(), name="wild", max_layers=2)
    search.run(trainings=2)
    print_closing(search, storage=None, data_dir=None, is_stopped=False, is_quiet=True)
    assert "note: 2 of 2 trainings failed (100%), most often because they diverged (2): " in capsys.readouterr().err
