import copy

import pytest
import torch
from torch import nn

from replaytree.data import ImageData, augment, cutout
from replaytree.data.images import Labelled
from replaytree.networks.trie import SingleHead
from replaytree.training.averaging import average_decay
from replaytree.training.diverged import Diverged
from replaytree.training.images import batches_at_once, validation_accuracies, validation_batch
from replaytree.training.loop import Training, train
from replaytree.training.recipe import Recipe

NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


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
    train(network, data, epochs=5, recipe=Recipe(batch_size=8), seed=0)
    assert validation_accuracies(network, data, recipe=Recipe()) == [1.0]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(batch_size=64, label_smoothing=0.2),
        Recipe(batch_size=12, learning_rate=0.05, momentum=0.5, weight_decay=0.01, crop_padding=1, flip=True, cutout=2),
        Recipe(batch_size=12, momentum=0.0, average_share=0.4),
    ],
)
def test_training_is_a_plain_loop_of_torch(data, recipe):
    # Batches of all 33 images, or of 11: none is left over.
    batches = 1 if recipe.batch_size > 33 else 3
    steps = 4 * batches
    network, plain = linear_network(), linear_network()
    training = Training(network, data, epochs=4, recipe=recipe, seed=5)
    training.run(until=4)

    optimizer = torch.optim.SGD(
        plain.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=steps + 1, pct_start=0.25, anneal_strategy="linear",
        cycle_momentum=False,
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    generator = torch.Generator().manual_seed(5)
    averages = [parameter.detach().clone() for parameter in plain.parameters()]
    for epoch in range(4):
        order = torch.randperm(33, generator=generator)
        images = augment(
            data.train_images[order], crop_padding=recipe.crop_padding, flip=recipe.flip, generator=generator
        )
        images = cutout(images, size=recipe.cutout, fill=data.mean, generator=generator)
        inputs = (images / 255 - data.mean[0]) / data.std[0]
        losses = []
        for batch in range(batches):
            own = slice(batch * 33 // batches, (batch + 1) * 33 // batches)
            loss = criterion(plain(inputs[own])[0], data.train_labels[order][own])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            decay = average_decay(epoch * batches + batch, steps, share=recipe.average_share)
            for average, parameter in zip(averages, plain.parameters(), strict=True):
                average.mul_(decay).add_((1 - decay) * parameter.detach())
    assert training.loss == pytest.approx(sum(losses) / batches)
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(training.trained.parameters(), averages, strict=True):
        torch.testing.assert_close(ours.detach(), theirs)


class Sides(nn.Module):
    """Notes by image, of which each has a brightness of its own, whether its left half is the darker one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen = [{}]

    def forward(self, images):
        for image in images.detach().cpu():
            self.seen[-1][image.max().item()] = bool(image[0, 0, 0] < image[0, 0, -1])
        return images.new_zeros(len(images), 2) + self.weight


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_alternate_flips_show_each_side_of_every_image_in_turn(device):
    images = torch.zeros(33, 1, 4, 4, dtype=torch.uint8)
    images[:, :, :, 2:] = torch.arange(100, 133, dtype=torch.uint8)[:, None, None, None]
    part = Labelled(("a", "b"), images, torch.arange(33) % 2)
    data = ImageData.from_parts("sides", train=part, val=part, crop_padding=0, flip=False).to(device)

    def epochs(seed, **recipe):
        network = Sides()
        recipe = Recipe(batch_size=8, flip=True, capture=False, **recipe)
        training = Training(SingleHead(network), data, epochs=4, recipe=recipe, seed=seed)
        for epoch in range(4):
            training.run(until=epoch + 1)
            network.seen.append({})
        return network.seen[:4]

    first, second, third, fourth = epochs(0, alternate_flip=True)
    assert len(first) == 33
    assert 5 < sum(first.values()) < 28
    assert second == {image: not side for image, side in first.items()}
    assert (third, fourth) == (first, second)
    assert epochs(1, alternate_flip=True)[0] != first
    one, two, *_ = epochs(0)
    assert 5 < sum(one[image] == two[image] for image in one) < 28


class Dropping(nn.Sequential):
    """It draws from torch's global generator in every step."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))


def test_a_resumed_training_equals_an_uninterrupted_one(data):
    def begun():
        torch.manual_seed(0)
        recipe = Recipe(
            batch_size=8, crop_padding=1, padding="reflect", flip=True, alternate_flip=True, cutout=2, average_share=0.3
        )
        return Training(SingleHead(Dropping()), data, epochs=4, recipe=recipe, seed=3)

    whole, first = begun(), begun()
    torch.manual_seed(1)
    whole.run(until=4)
    torch.manual_seed(1)
    first.run(until=1)
    stored = copy.deepcopy(first.state_dict())
    resumed = begun()
    torch.manual_seed(99)
    resumed.load_state_dict(stored)
    assert resumed.epoch == 1
    resumed.run(until=4)
    left, right = ({name: v for name, v in t.state_dict().items() if name != "device"} for t in (resumed, whole))
    torch.testing.assert_close(left, right, rtol=0.0, atol=0.0)
    assert resumed.loss == whole.loss
    assert not torch.equal(stored["network"]["network.3.weight"], whole.state_dict()["network"]["network.3.weight"])


def test_a_state_of_another_kind_of_device_is_refused(data):
    training = Training(linear_network(), data, epochs=1, recipe=Recipe(), seed=0)
    with pytest.raises(ValueError, match="it was trained on cuda, and this is cpu"):
        training.load_state_dict(training.state_dict() | {"device": "cuda"})


def test_every_batch_has_at_most_batch_size_images_and_never_one(data):
    sizes = []
    network = linear_network()
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    train(network, data, epochs=2, recipe=Recipe(batch_size=16), seed=0)
    assert sizes == [11, 11, 11, 11, 11, 11]


def test_the_same_seed_gives_the_same_weights(data):
    networks = [linear_network() for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        train(network, data, epochs=2, recipe=Recipe(batch_size=4, crop_padding=1, flip=True), seed=seed)
    first, same, other = (network.network.linear.weight for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_loss_that_is_not_finite_diverges(data):
    with pytest.raises(Diverged, match=r"loss became (nan|inf)"):
        train(linear_network(), data, epochs=5, recipe=Recipe(learning_rate=1e30, batch_size=4), seed=0)


@pytest.mark.parametrize(
    ("device", "batch", "image", "at_once", "validated"),
    [
        # 2 ** 22 numbers are 1,365 images of CIFAR-10, 2 ** 24 are 5,461.
        ("cpu", 512, 3072, 2, 1024),
        ("cpu", 64, 3072, 21, 128),
        ("cuda", 512, 3072, 10, 1024),
        ("cuda", 64, 3072, 85, 256),
        ("cuda", 256, 3072, 21, 1000),
        ("cuda", 32, 3072, 170, 128),
        ("cuda", 1024, 3072, 5, 2048),
        ("cuda", 64, 3 * 224 * 224, 1, 128),
        ("cuda", 64, 3 * 96 * 96, 9, 151),
        ("cpu", 512, 3 * 224 * 224, 1, 1024),
    ],
)
def test_how_many_images_are_prepared_and_validated_at_once(device, batch, image, at_once, validated):
    place = torch.device(device)
    assert batches_at_once(batch, image=image, device=place) == at_once
    assert validation_batch(batch, image=image, device=place) == validated


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_any_number_of_steps_can_be_trained(data, epochs):
    train(linear_network(), data, epochs=epochs, recipe=Recipe(batch_size=64), seed=0)


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
    assert validation_accuracies(network, lopsided, recipe=Recipe(reward="balanced")) == [0.5, 0.5]
    # Of the class that is always taken F1 is 12/13, or 2/8; of the other 0.
    assert validation_accuracies(network, lopsided, recipe=Recipe(reward="macro-f1")) == pytest.approx([6 / 13, 1 / 8])
