from dataclasses import replace

import torch

from replaytree.data import normalise
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits


def test_normalisation_and_flip_are_inside(description, digits):
    images = digits.val_images[:7]
    flipped = Deployed(replace(description, mirror=True)).eval()
    plain = Deployed(description).eval()
    plain.load_state_dict(flipped.state_dict())
    inputs = normalise(images, digits.mean, digits.std)
    torch.testing.assert_close(plain(images), plain.network(inputs))
    torch.testing.assert_close(flipped(images), (plain(images) + plain(images.flip(3))) / 2)


def test_batches_change_nothing(description, digits):
    model = Deployed(description).eval()
    images = digits.val_images[:10]
    torch.testing.assert_close(batched_logits(model, images, batch=3), batched_logits(model, images))


def test_accuracy():
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 0])) == 0.5
