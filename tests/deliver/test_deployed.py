from dataclasses import replace

import pytest
import torch
from torch import nn

from replaytree.data import normalise
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits, both_logits


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


class BrightSide(nn.Module):
    """Class 0 where the left pixel is brighter, 1 where the right one is; with the mirror image, a draw."""

    mirror, batch = True, 2

    def forward(self, images_NCHW):
        assert not self.mirror
        return images_NCHW[:, 0, 0, :].float()


def test_both_logits_by_hand():
    images = torch.tensor([[9, 1], [8, 2], [1, 9]], dtype=torch.uint8).reshape(3, 1, 1, 2)
    network = BrightSide()
    # All three are right; of three draws, which go to class 0, two are.
    plain_NK, mirrored_NK = both_logits(network, images)
    labels = torch.tensor([0, 0, 1])
    assert (accuracy(plain_NK, labels), accuracy(mirrored_NK, labels)) == (1.0, pytest.approx(2 / 3))
    assert network.mirror
