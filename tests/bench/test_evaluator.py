import json
import math

import pytest
import torch

from replaytree import cli
from replaytree.bench.evaluator import METHODS, measure_evaluator, plain_loop, tree_paths
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.space import LayerSpace, prefixes, trie_cost, xu24
from replaytree.training import Recipe

SPACE = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=6)


def test_paths_are_distinct_legal_of_full_depth_and_share_prefixes():
    paths = tree_paths(SPACE, depth=6, count=8, seed=0)
    assert len(set(paths)) == 8
    for path in paths:
        assert len(path) == 6
        SPACE.check(path)
    assert len(prefixes(paths)) < 8 * 6
    assert tree_paths(SPACE, depth=6, count=8, seed=0) == paths != tree_paths(SPACE, depth=6, count=8, seed=1)


def test_the_plain_loop_really_learns_every_prefix():
    data = load_data("digits", train_limit=300)
    path = SPACE.parse("conv64k3 conv64k3s2")
    accuracies = plain_loop(SPACE, path, data, recipe=Recipe(batch_size=30), epochs=6, seed=0)
    assert len(accuracies) == 2
    assert accuracies[1] > 0.5


def test_all_methods_are_measured_on_the_same_paths(tmp_path, capsys):
    report = tmp_path / "evaluator.json"
    words = ["--depth", 3, "--paths", 3, "--train-limit", 64, "--device", "cpu", "--json", report]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "evaluator", *map(str, words)])
    assert not ended.value.code
    out = capsys.readouterr().out
    figures = json.loads(report.read_text())
    assert [cost["method"] for cost in figures["methods"]] == list(METHODS)
    plain, separate, joint, trie = figures["methods"]
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=3)
    paths = tree_paths(space, depth=3, count=3, seed=0)
    prefix_flops = sum(space.cost(path[:t])[1] for path in paths for t in (1, 2, 3))
    chains = sum(trie_cost(space, [path]).flops for path in paths)
    assert (plain["ratio"], plain["flops_ratio"], separate["flops_ratio"]) == (1.0, 1.0, 1.0)
    assert joint["flops_ratio"] == pytest.approx(chains / prefix_flops)
    assert trie["flops_ratio"] == pytest.approx(trie_cost(space, paths).flops / prefix_flops)
    assert figures["trie_predicted"] == pytest.approx(trie_cost(space, paths).flops / chains)
    for cost in figures["methods"]:
        assert cost["seconds"] > 0.0
        assert cost["images_per_second"] == pytest.approx(64 / cost["seconds"])
        assert cost["peak_bytes"] > 2**20
        assert cost["peak_share"] is None
    assert f"{figures['trie_predicted']:.3f} by FLOPs" in out
    assert "not measured on a GPU" in out


def test_the_least_of_the_repeats_counts(monkeypatch):
    """Each method is trained in turn, and what a repeat took too long for is forgotten."""
    spent = [(4.0, 2.0, 10), (1.0, 0.5, 7), (2.0, 1.0, 30), (3.0, 1.5, 5)]
    monkeypatch.setattr("replaytree.bench.evaluator._spend", lambda *_: spent.pop(0))
    joint, trie = measure_evaluator(
        "digits", train_limit=32, depth=2, paths=2, repeats=2, methods=("joint", "trie"), device="cpu"
    ).methods
    assert (joint.seconds, joint.processor_seconds, joint.peak_bytes) == (1.0, 0.5, 30)
    assert (trie.seconds, trie.processor_seconds, trie.peak_bytes) == (0.5, 0.25, 7)
    assert trie.ratio == 0.5


def test_a_part_of_the_methods():
    costs = measure_evaluator("digits", train_limit=32, depth=2, paths=2, methods=("joint",), device="cpu")
    assert [cost.method for cost in costs.methods] == ["joint"]
    assert costs.trie_measured is None
    assert 0.0 < costs.trie_predicted <= 1.0
    with pytest.raises(ConfigError, match="method is 'magic'"):
        measure_evaluator("digits", methods=("magic",))


def test_joint_trainings_may_take_other_epochs():
    costs = {
        epochs: measure_evaluator(
            "digits", train_limit=32, depth=2, paths=2, methods=("separate", "joint"), device="cpu", joint_epochs=epochs
        )
        for epochs in (None, 3)
    }
    alike, longer = costs[None].methods[1], costs[3].methods[1]
    assert (costs[None].joint_epochs, costs[3].joint_epochs) == (1, 3)
    assert longer.flops_ratio == pytest.approx(3 * alike.flops_ratio)
    assert longer.images_per_second == pytest.approx(3 * 32 / longer.seconds)
    assert costs[3].methods[0].images_per_second == pytest.approx(32 / costs[3].methods[0].seconds)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_share_of_the_matrix_peak_and_the_kinds_of_step_are_measured():
    costs = measure_evaluator("digits", train_limit=128, depth=3, paths=2, methods=("joint", "trie"), device="cuda")
    assert all(cost.peak_share is not None and 0.0 < cost.peak_share < 1.0 for cost in costs.methods)
    assert {"eager", "capture", "compile"} <= costs.step_ms.keys()
    assert all(math.isfinite(value) for value in costs.step_ms.values())
