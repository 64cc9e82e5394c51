import pytest
import torch
from torch import nn

from replaytree.config import Budget, SearchConfig
from replaytree.data import ImageData
from replaytree.data.images import Labelled
from replaytree.networks.trie import SingleHead
from replaytree.training.loop import Diverged, Recipe, train, validation_accuracies


def halves(count, *, size=4):
    """Images whose left (class 0) or right (class 1) half is bright: real enough to be learnt in a step or two."""
    labels = torch.arange(count) % 2
    images = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    images[labels == 0, :, :, : size // 2] = 200
    images[labels == 1, :, :, size // 2 :] = 200
    return Labelled(classes=("left", "right"), images_NCHW=images, labels_N=labels)


@pytest.fixture
def data():
    return ImageData.from_parts("halves", train=halves(33), val=halves(10), crop_padding=0, flip=False)


class Constant(nn.Module):
    """Always answers the same class."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = answers
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return torch.stack([torch.eye(2)[[answer] * len(images)] + self.weight for answer in self.answers])


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, images):
        return self.linear(images.flatten(1))


def linear_network():
    torch.manual_seed(0)
    return SingleHead(Linear())


def test_an_accuracy_is_the_share_of_right_answers_of_each_head(data):
    data.val_labels[:] = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    assert validation_accuracies(Constant(0, 1), data, recipe=Recipe()) == [0.3, 0.7]


def test_training_learns(data):
    network = linear_network()
    train(network, data, budget=Budget(5), recipe=Recipe(batch_size=8), seed=0)
    assert validation_accuracies(network, data, recipe=Recipe()) == [1.0]


def test_training_is_torchs_sgd_on_normalised_images(data):
    network, reference = linear_network(), linear_network()
    recipe = Recipe(batch_size=64, learning_rate=0.1, momentum=0.9, weight_decay=0.01, label_smoothing=0.2)
    train(network, data, budget=Budget(8), recipe=recipe, seed=0)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=9, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False
    )
    images = (data.train_images / 255 - data.mean[0]) / data.std[0]
    for _ in range(8):  # one batch holds everything, so an epoch is a step
        optimizer.zero_grad()
        nn.CrossEntropyLoss(label_smoothing=0.2)(reference(images)[0], data.train_labels).backward()
        optimizer.step()
        schedule.step()
    for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_every_batch_has_at_most_batch_size_images_and_never_one(data):
    sizes = []
    network = linear_network()
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    train(network, data, budget=Budget(2), recipe=Recipe(batch_size=16), seed=0)
    assert sizes == [11, 11, 11, 11, 11, 11]


def test_the_same_seed_gives_the_same_weights(data):
    networks = [linear_network() for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        train(network, data, budget=Budget(2), recipe=Recipe(batch_size=4, crop_padding=1, flip=True), seed=seed)
    first, same, other = (network.network.linear.weight for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_loss_that_is_not_finite_diverges(data):
    with pytest.raises(Diverged, match=r"loss became (nan|inf)"):
        train(linear_network(), data, budget=Budget(5), recipe=Recipe(learning_rate=1e30, batch_size=4), seed=0)


def test_a_recipe_takes_the_data_sets_augmentation_unless_told(data):
    assert Recipe.of(SearchConfig(), data).crop_padding == 0
    told = Recipe.of(SearchConfig(crop_padding=3, flip=True, batch_size=7), data)
    assert (told.crop_padding, told.flip, told.batch_size) == (3, True, 7)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_any_number_of_steps_can_be_trained(data, epochs):
    train(linear_network(), data, budget=Budget(epochs=epochs), recipe=Recipe(batch_size=64), seed=0)


def test_balanced_accuracy_counts_every_class_alike(data):
    lopsided = ImageData.from_parts(
        "lopsided",
        train=halves(8),
        val=Labelled(("left", "right"), halves(10).images_NCHW[:7], torch.tensor([0, 0, 0, 0, 0, 0, 1])),
        crop_padding=0,
        flip=False,
    )
    network = Constant(0, 1)
    assert validation_accuracies(network, lopsided, recipe=Recipe()) == [6 / 7, 1 / 7]
    assert validation_accuracies(network, lopsided, recipe=Recipe(balanced=True)) == [0.5, 0.5]
