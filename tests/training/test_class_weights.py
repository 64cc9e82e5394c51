import pytest
import torch
from torch import nn
from torch.nn import functional

from replaytree.data.images import ImageData, Labelled
from replaytree.training.class_weights import class_weights, mean_loss
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe
from replaytree.training.step import Step

BALANCED = Recipe(class_weights="balanced")


def data_of(*labels, classes=3):
    labels = torch.tensor(labels)
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = 80 * labels.to(torch.uint8)
    part = Labelled(tuple("abcdef"[:classes]), images, labels)
    return ImageData.from_parts("few", train=part, val=part, crop_padding=0, flip=False)


def test_weights_by_hand():
    # Six images, of three classes: 6 / (3 * 4), 6 / (3 * 1), 6 / (3 * 1).
    assert class_weights(data_of(0, 0, 0, 0, 1, 2), BALANCED).tolist() == [0.5, 2.0, 2.0]
    # A class that there are no images of: 4 / (2 * 3), 4 / (2 * 1).
    assert class_weights(data_of(0, 0, 0, 1), BALANCED).tolist() == [pytest.approx(2 / 3), 2.0, 0.0]
    assert class_weights(data_of(0, 0, 0, 1), Recipe()) is None


def test_the_loss_of_each_image_is_weighted_with_its_smoothing():
    logits, labels = torch.tensor([[2.0, 0.0], [0.5, 1.0], [0.0, 0.0]]), torch.tensor([0, 1, 1])
    each = [functional.cross_entropy(logits[n : n + 1], labels[n : n + 1], label_smoothing=0.1) for n in range(3)]
    found = mean_loss(logits, labels, label_smoothing=0.1, weights_K=torch.tensor([3.0, 0.5]))
    assert float(found) == pytest.approx(float(3.0 * each[0] + 0.5 * each[1] + 0.5 * each[2]) / 3)
    plain = mean_loss(logits, labels, label_smoothing=0.1, weights_K=None)
    assert float(plain) == pytest.approx(float(sum(each)) / 3)


class Heads(nn.Module):
    """Two heads that answer alike, whatever they read."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, images):
        return self.logits.expand(2, len(images), 2)


def test_a_step_is_weighted_for_every_head():
    network = Heads()
    step = Step(
        network, torch.optim.SGD(network.parameters(), lr=1.0), label_smoothing=0.0, capture=False,
        device=torch.device("cpu"), class_weights=torch.tensor([0.5, 2.0]),
    )  # fmt: skip
    step.begin()
    step(torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 0, 1]))
    # log 2 an image; (3 * 0.5 + 2) / 4 of it.
    assert step.losses() == [pytest.approx(0.6931472 * 3.5 / 4)] * 2
    # The gradient of an image is 1/2 away from its class: two heads times (3 * 0.5 - 2) / 4 / 2.
    assert network.logits.tolist() == [pytest.approx(2 * (1.5 - 2.0) / 8), pytest.approx(-2 * (1.5 - 2.0) / 8)]


class Prior(nn.Module):
    """Learns how frequent the classes are, and nothing else."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, images):
        return self.logits.expand(1, len(images), 2)


@pytest.mark.parametrize(("recipe", "share"), [(Recipe, 0.9), (lambda **v: Recipe(class_weights="balanced", **v), 0.5)])
def test_a_training_that_is_balanced_takes_classes_for_equally_frequent(recipe, share):
    network = Prior()
    training = Training(
        network, data_of(*[0] * 9, 1, classes=2), epochs=60, seed=0,
        recipe=recipe(batch_size=10, label_smoothing=0.0, weight_decay=0.0, learning_rate=0.5),
    )  # fmt: skip
    training.run(until=60)
    assert float(network.logits.detach().softmax(0)[0]) == pytest.approx(share, abs=0.02)


def test_a_model_file_says_it_only_where_it_is_so():
    assert BALANCED.values()["class_weights"] == "balanced"
    assert "class_weights" not in Recipe().values()
