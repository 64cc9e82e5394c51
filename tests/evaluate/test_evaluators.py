import pytest
import torch
from torch import nn

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.evaluate import EVALUATORS, JointEvaluator, Recipe, SeparateEvaluator
from replaytree.space import Convolution, CustomLayer, LayerSpace, Pooling

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=600)


class Raises(nn.Module):
    def forward(self, images):
        raise KeyError("a mistake in a user's layer")


class OutOfMemory(nn.Module):
    def forward(self, images):
        raise torch.OutOfMemoryError("tried to allocate 900 GiB")


class Explodes(nn.Module):
    def forward(self, images):
        return images * torch.inf


def broken(label, module):
    return CustomLayer(label, lambda shape: module(), output_shape=lambda shape: shape, cost=lambda shape: (0, 0))


@pytest.fixture(scope="module")
def space():
    layers = [
        Convolution(8, 3),
        Pooling("max", 2, 2),
        broken("raises", Raises),
        broken("memory", OutOfMemory),
        broken("explodes", Explodes),
    ]
    return LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=3)


def evaluate(evaluator, space, data, paths, *, seed=0, epochs=2):
    made = evaluator(space, data, recipe=Recipe(batch_size=30), device=CPU)
    return made.evaluate(paths, budget=Budget(epochs), seed=seed)


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_one_accuracy_a_prefix_on_real_images(evaluator, space, digits):
    [result] = evaluate(evaluator, space, digits, [(0, 0, 1)], epochs=6)
    assert result.failure is None
    assert len(result.accuracies) == 3
    assert max(result.accuracies) > 0.5
    assert result.train_seconds > 0


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_the_same_seed_gives_the_same_accuracies_and_leaves_the_global_generator_alone(evaluator, space, digits):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again = (evaluate(evaluator, space, digits, [(0, 1)], seed=3)[0] for _ in range(2))
    assert first.accuracies == again.accuracies
    assert torch.equal(torch.rand(1), expected)


def test_a_path_of_one_layer_is_the_same_training_jointly_and_separately(space, digits):
    [joint] = evaluate(JointEvaluator, space, digits, [(0,)], epochs=3)
    [separate] = evaluate(SeparateEvaluator, space, digits, [(0,)], epochs=3)
    assert joint.accuracies == separate.accuracies


def test_a_path_scores_alone_as_it_does_behind_a_failure(space, digits):
    failed, after = evaluate(JointEvaluator, space, digits, [(0, 2), (0, 1)], seed=7)
    [alone] = evaluate(JointEvaluator, space, digits, [(0, 1)], seed=8)
    assert failed.failure == "error"
    assert after.accuracies == alone.accuracies


@pytest.mark.parametrize(
    ("layer", "failure", "text"),
    [(2, "error", 'KeyError: "a mistake in a user\'s layer"'), (3, "out_of_memory", "900 GiB"), (4, "diverged", "nan")],
)
def test_what_goes_wrong_is_an_outcome(space, digits, layer, failure, text):
    [joint] = evaluate(JointEvaluator, space, digits, [(0, layer, 0)])
    assert (joint.failure, joint.accuracies) == (failure, ())
    assert text in joint.failure_text
    # Separately, the prefix before the broken layer was measured, and stays so.
    [separate] = evaluate(SeparateEvaluator, space, digits, [(0, layer, 0)])
    assert (separate.failure, len(separate.accuracies)) == (failure, 1)
