"""Trainings that start from kept weights: which are kept, what takes them, what is spent, and their state."""

import io
from functools import partial

import pytest
import torch
from torch import nn

from replaytree.config import Budget, SearchConfig
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import EVALUATORS, InheritedEvaluator, JointEvaluator, SeparateEvaluator, WholeEvaluator, alone
from replaytree.evaluate import evaluators as joint
from replaytree.evaluate.inherited import KeptWeights
from replaytree.networks.trie import PrefixNetwork
from replaytree.space import Convolution, LayerSpace, Pooling
from replaytree.training import Recipe
from replaytree.training.loop import Training

CPU = torch.device("cpu")
SPACE = LayerSpace([Convolution(4, 3), Convolution(6, 3), Pooling("max", 2, 2)], input_shape=(1, 8, 8), num_classes=10,
                   max_layers=3)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=300)


def inherited(kind, data, *, keep=8, share=0.5):
    return InheritedEvaluator(
        partial(kind, SPACE, data, recipe=Recipe(batch_size=50), device=CPU), keep=keep, share=share
    )


def evaluated(evaluator, *paths, epochs=2, seed=0, **budget):
    return evaluator.evaluate(paths, budget=Budget(epochs, **budget), seed=seed)


def linear(value):
    module = nn.Linear(2, 2, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def kept(*trained, most=2, share=0.5):
    weights = KeptWeights(most, share=share)
    for path, accuracy, value in trained:
        weights.keep([(path, accuracy, {"a1": linear(value)})])
    return weights


def value_of(weights, path):
    module = linear(0.0)
    weights.start(path, {"a1": module})
    return float(module.weight.detach()[0, 0])


def test_the_best_are_kept_and_of_equals_the_first():
    weights = kept(((0,), 0.5, 1.0), ((1,), 0.7, 2.0), ((2,), 0.6, 3.0), ((3,), 0.6, 4.0))
    assert weights.paths == ((1,), (2,))
    # Of two trainings of a prefix the better one.
    weights.keep([((1,), 0.6, {"a1": linear(5.0)}), ((2,), 0.8, {"a1": linear(6.0)})])
    assert (value_of(weights, (1, 0)), value_of(weights, (2, 0))) == (2.0, 6.0)


def test_a_path_starts_from_its_longest_shorter_prefix():
    weights = kept(((0,), 0.5, 1.0), ((0, 1), 0.4, 2.0), ((0, 1, 2), 0.6, 3.0), most=9)
    assert [weights.source(path) for path in [(0, 1, 2), (0, 1, 0), (0, 2, 2), (0,), (1, 1)]] == [
        (0, 1), (0, 1), (0,), None, None,
    ]  # fmt: skip
    assert value_of(weights, (0, 1, 2)) == 2.0
    assert value_of(weights, (1, 1)) == 0.0


def test_modules_of_other_names_or_shapes_start_anew():
    weights = kept(((0,), 0.5, 1.0))
    other, wider = linear(7.0), nn.Linear(3, 2, bias=False)
    before = wider.weight.detach().clone()
    weights.start((0, 1), {"b1": other})
    weights.start((0, 1), {"a1": wider})
    assert float(other.weight.detach()[0, 0]) == 7.0
    assert torch.equal(wider.weight, before)


def test_fewer_epochs_are_spent_and_at_least_one():
    weights, budget = kept(((0,), 0.5, 1.0)), Budget(8, checkpoint=4, bar=0.9)
    assert weights.budget((0, 1), budget) == Budget(4)
    assert weights.budget((0, 1), Budget(1)) == Budget(1)
    assert weights.budget((1, 1), budget) == budget


def test_every_prefix_of_a_joint_training_is_kept_with_its_own_layers_alone(digits):
    evaluator = inherited(JointEvaluator, digits)
    [first] = evaluated(evaluator, (0, 1))
    assert evaluator.kept.paths == ((0,), (0, 1))
    names = [list(each) for each in evaluator.state_dict()["tensors"]]
    assert names == [["layer1_conv4k3"], ["layer1_conv4k3", "layer2_conv6k3"]]
    assert evaluator.state_dict()["accuracies"] == list(first.accuracies)
    network = PrefixNetwork(SPACE, [(0, 0)], 10)
    fresh = network.layers[1]["layer2_conv4k3"][1].weight.clone()
    evaluator.kept.start((0, 0), network.modules_of((0, 0)))
    stored = evaluator.state_dict()["tensors"][0]["layer1_conv4k3"]
    assert all(torch.equal(own, stored[key]) for key, own in network.layers[0]["layer1_conv4k3"].state_dict().items())
    assert torch.equal(network.layers[1]["layer2_conv4k3"][1].weight, fresh)


@pytest.mark.parametrize("kind", EVALUATORS.values())
def test_a_training_begins_with_them_and_its_score_counts_at_the_whole_budget(kind, digits, monkeypatch):
    begun = []

    class Watched(Training):
        def __init__(self, network, data, *, epochs, **more):
            own = network.layers[0] if hasattr(network, "layers") else network.network
            begun.append((epochs, own.get_submodule("layer1_conv4k3")[1].weight.detach().clone()))
            super().__init__(network, data, epochs=epochs, **more)

    for module in (joint, alone):
        monkeypatch.setattr(module, "Training", Watched)
    evaluator = inherited(kind, digits)
    evaluated(evaluator, (0,), epochs=4)
    stored = evaluator.state_dict()["tensors"][0]["layer1_conv4k3"]["1.weight"].clone()
    [result] = evaluated(evaluator, (0, 1), epochs=4)
    # Separately, (0,) comes first once more, and anew: it is no shorter prefix of itself.
    assert [epochs for epochs, _ in begun] == ([4, 4, 2] if kind is SeparateEvaluator else [4, 2])
    assert torch.equal(begun[-1][1], stored)
    assert result.epochs is None
    assert result.failure is None


def test_what_was_stopped_is_not_kept(digits):
    for kind in (JointEvaluator, WholeEvaluator):
        evaluator = inherited(kind, digits)
        [stopped] = evaluated(evaluator, (0, 1), checkpoint=1, bar=1.0)
        assert stopped.epochs == 1
        assert len(evaluator.kept) == 0


def test_without_kept_weights_it_is_the_evaluator_itself(digits):
    for kind in EVALUATORS.values():
        plain = kind(SPACE, digits, recipe=Recipe(batch_size=50), device=CPU)
        one, other = (evaluated(each, (0, 1), seed=3)[0] for each in (plain, inherited(kind, digits, share=1.0)))
        if kind is not SeparateEvaluator:
            assert one.accuracies == other.accuracies
        assert one.accuracies[:1] == other.accuracies[:1]


@pytest.mark.parametrize("kind", EVALUATORS.values())
def test_what_follows_a_stored_state_is_the_same_to_the_bit(kind, digits):
    whole, again = inherited(kind, digits), inherited(kind, digits)
    evaluated(whole, (0, 1), (0, 2))
    content = io.BytesIO()
    torch.save(whole.state_dict(), content)
    again.load_state_dict(torch.load(io.BytesIO(content.getvalue()), weights_only=True))
    assert again.kept.paths == whole.kept.paths
    for seed, path in enumerate([(0, 1, 0), (0, 2, 1), (1, 1)]):
        [one], [other] = (evaluated(each, path, seed=seed) for each in (whole, again))
        assert one.accuracies == other.accuracies
    with pytest.raises(ValueError, match="the kept weights are of format 9, here 1"):
        again.load_state_dict(whole.state_dict() | {"format": 9})


def test_options_of_other_weights_are_refused():
    assert SearchConfig(weights="inherited", keep_weights=3, inherited_epochs=1.0).weights.keep_weights == 3
    with pytest.raises(ConfigError, match="--keep-weights is an option of --weights inherited, and weights are fresh"):
        SearchConfig(keep_weights=3)
    with pytest.raises(
        ConfigError, match="--inherited-epochs is an option of --weights inherited, and weights are sha"
    ):
        SearchConfig(weights="shared", inherited_epochs=0.25)
    with pytest.raises(ConfigError, match="--passes is an option of --weights shared, and weights are inherited"):
        SearchConfig(weights="inherited", passes=2.0)
