"""What to do next, before and after the best prefix was retrained."""

import shlex

import pytest

from replaytree import PathEvaluation
from replaytree.records import Mixed
from replaytree.report.reading import read_search
from replaytree.report.sections.next_steps import next_steps
from replaytree.report.sections.retrained import retrained_answer
from replaytree.tree import Episode, record_model


@pytest.fixture
def retrained(tree, tmp_path):
    """Store a retraining of the best prefix, or of another, one accuracy a seed, the last seed first."""

    def retrained(node_id, *accuracies, part="test"):
        for seed, accuracy in reversed(list(enumerate(accuracies))):
            measured = {f"{part}_accuracy": accuracy, f"{part}_image_count": 100}
            record_model(
                tree.engine, labels=tree.node(node_id).labels, epochs=30, seed=seed, search="first", node_id=node_id,
                weights_path=f"{tmp_path}/my models/{node_id}-{seed}.safetensors",
                **{"test_accuracy": None, **measured},
            )  # fmt: skip
        return read_search(tree)

    return retrained


def words_of(steps):
    return {step.name: shlex.split(step.command) for step in steps}


def test_before_a_retraining_it_is_next(data):
    steps = words_of(next_steps(data))
    assert list(steps) == ["show", "retrain", "export", "resume"]
    assert steps["export"][5:9] == ["--format", "onnx", "--out", f"first-node{data.best.node_id}.onnx"]


def test_after_it_the_model_is_used_and_written(data, retrained, tmp_path):
    best = data.best.node_id
    found = retrained(best, 0.8, 0.9)
    steps = words_of(next_steps(found))
    assert list(steps) == ["show", "predict", "export", "int8", "resume"]
    assert steps["predict"] == ["replaytree", "predict", f"{tmp_path}/my models/{best}-0.safetensors", "IMAGES..."]
    of_node = ["replaytree", "export", "first", "--node", str(best)]
    storage = ["--storage", f"sqlite:///{tmp_path}/tree.db"]
    assert steps["export"] == [*of_node, "--format", "onnx", "--out", f"first-node{best}.onnx", *storage]
    assert steps["int8"] == [*of_node, "--format", "onnx-int8", "--out", f"first-node{best}-int8.onnx", *storage]
    row = retrained_answer(found)
    assert (row.is_best, row.measured.mean, row.test.images) == (True, pytest.approx(0.85), 100)


def test_a_retraining_of_another_prefix_leaves_that_of_the_best_to_be_done(data, retrained):
    other = next(node.node_id for node in data.nodes if node.node_id != data.best.node_id)
    found = retrained(other, 0.8, part="validation")
    assert list(words_of(next_steps(found))) == ["show", "retrain", "export", "resume"]
    row = retrained_answer(found)
    assert (row.is_best, row.node_id, row.test, row.measured.mean) == (False, other, None, 0.8)


def test_what_a_differentiable_search_ends_with_is_retrained_first(grow):
    def epoch(path, accuracy, number):
        return Episode(
            path, "sample", 3, number, trained=True, evaluation=PathEvaluation([None, accuracy], epochs=number),
            mixed=Mixed({"a": 1.0}),
        )  # fmt: skip

    config = {"strategy": "darts", "weights": "shared", "min_layers": 3, "max_layers": 3}
    tree = grow([epoch((0, 1), 0.9, 1), epoch((0, 2), 0.5, 1)], config=config)
    data = read_search(tree)
    assert data.best.path == (0, 1)
    steps = words_of(next_steps(data))
    assert list(steps) == ["show", "derived", "retrain", "export", "resume"]
    assert steps["derived"][2:5] == ["first", "--node", str(data.derived.node_id)]
    model = {
        "labels": ("conv1", "res1"), "epochs": 30, "seed": 0, "search": "first", "node_id": data.derived.node_id,
        "test_accuracy": None,
    }  # fmt: skip
    # A hand-made network beside it is not its retraining.
    record_model(tree.engine, **model, baseline="resnet8", weights_path="/b.safetensors")
    assert "derived" in words_of(next_steps(read_search(tree)))
    record_model(tree.engine, **model, weights_path="/a.safetensors")
    assert "derived" not in words_of(next_steps(read_search(tree)))
    # Where it is the best prefix, too, one step says it all.
    same = grow([epoch((0, 1), 0.9, 1)], "second", config=config)
    assert "derived" not in words_of(next_steps(read_search(same)))


def test_without_data_that_a_command_can_name_the_model_alone_is_left(grow, golden):
    tree = grow(golden, config={"dataset": None})
    best = read_search(tree).best
    record_model(
        tree.engine, labels=best.labels, epochs=30, seed=0, search="first", node_id=best.node_id, test_accuracy=None,
        weights_path="/a.safetensors",
    )  # fmt: skip
    assert list(words_of(next_steps(read_search(tree)))) == ["show", "predict"]
