"""Transforms of one's own: which are taken, and what they do to a batch that is trained on."""

import json

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from replaytree.data import from_arrays, load_data, with_transforms
from replaytree.data.transforms import described, transformed
from replaytree.errors import DataError
from replaytree.training import Recipe
from replaytree.training.images import epoch_batches, inputs_of

IMAGES = np.arange(20 * 64, dtype=np.int64).reshape(20, 8, 8).astype(np.uint8)
LABELS = np.arange(20) % 2


def invert(batch):
    return 255 - batch


def random_bits(batch):
    return torch.randint(0, 256, batch.shape).to(torch.uint8)


def batches(data, seed=0):
    recipe = Recipe(batch_size=8, crop_padding=0)
    return list(epoch_batches(data, recipe, generator=torch.Generator().manual_seed(seed)))


def test_they_act_on_training_batches_alone():
    plain = from_arrays(IMAGES, LABELS)
    data = from_arrays(IMAGES, LABELS, transforms=invert)
    assert torch.equal(data.train_images, plain.train_images)
    assert torch.equal(data.val_images, plain.val_images)
    assert (data.mean, data.std) == (plain.mean, plain.std)
    (inputs, labels), *_ = batches(data)
    assert inputs.shape == (6, 1, 8, 8)
    # Every image that is trained on is the negative of one of its class.
    negatives = {
        (inputs_of(255 - image[None], data).numpy().tobytes(), int(label))
        for image, label in zip(data.train_images, data.train_labels, strict=True)
    }
    assert {
        (image[None].numpy().tobytes(), int(label)) for image, label in zip(inputs, labels, strict=True)
    } <= negatives


def test_draws_come_from_the_training_and_leave_other_generators_alone():
    data = from_arrays(IMAGES, LABELS, transforms=random_bits)
    torch.manual_seed(1)
    first = batches(data)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(first, batches(data), strict=True))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first[0][0], batches(data, seed=1)[0][0])
    # A batch at a time: two batches are drawn apart.
    assert not torch.equal(first[0][0], first[1][0])


def test_of_torchvision():
    data = from_arrays(IMAGES, LABELS, transforms=v2.Compose([v2.RandomRotation(30), v2.RandomInvert(1.0)]))
    assert "RandomRotation(degrees=[-30.0, 30.0]" in data.fingerprint.transforms
    assert len(batches(data)) == 3


def test_the_fingerprint_names_them_and_is_else_as_it_was():
    plain, data = from_arrays(IMAGES, LABELS), from_arrays(IMAGES, LABELS, transforms=invert)
    assert "transforms" not in json.loads(plain.fingerprint.to_json())
    assert json.loads(data.fingerprint.to_json())["transforms"] == "<function invert>"
    assert data.fingerprint.sha256 == plain.fingerprint.sha256
    assert (
        described(lambda batch: batch)
        == "<function test_the_fingerprint_names_them_and_is_else_as_it_was.<locals>.<lambda>>"
    )


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (7, "transforms are a int; they must make a uint8 tensor of a uint8 tensor"),
        (lambda batch: batch / 255, r"make torch.float32 \(8, 1, 8, 8\) of torch.uint8 \(8, 1, 8, 8\); they must"),
        (lambda batch: batch[:, :, :4], r"make torch.uint8 \(8, 1, 4, 8\) of"),
        (lambda batch: batch.numpy(), "transforms make a ndarray"),
        (lambda batch: batch @ batch.float(), r"transforms fail on 8 training images \(RuntimeError: "),
    ],
)
def test_transforms_that_cannot_be_used(transforms, message):
    with pytest.raises(DataError, match=message):
        from_arrays(IMAGES, LABELS, transforms=transforms)


def test_one_that_fails_later():
    generator = torch.Generator()
    with pytest.raises(DataError, match="transforms make"):
        transformed(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), lambda batch: batch[:1], generator=generator)


def test_without_any_nothing_is_drawn_for_them():
    """So that trainings are what they were before there were transforms."""
    ours, expected = (torch.Generator().manual_seed(0) for _ in range(2))
    list(epoch_batches(from_arrays(IMAGES, LABELS), Recipe(batch_size=8, crop_padding=0), generator=ours))
    torch.randperm(18, generator=expected)
    assert torch.equal(ours.get_state(), expected.get_state())


def test_of_images_from_a_folder(pets):
    data = with_transforms(load_data(pets, image_size=8), v2.RandomInvert(1.0))
    assert data.transforms is not None
    assert data.without_test().transforms is data.transforms
