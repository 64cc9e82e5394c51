import dataclasses
import json

import pytest
import torch

from replaytree.data.images import ImageData, Labelled, channel_statistics
from replaytree.errors import DataError


def part(images, labels, classes=("a", "b")):
    return Labelled(classes, torch.tensor(images, dtype=torch.uint8), torch.tensor(labels, dtype=torch.int64))


def small(**changes):
    train = part([[[[0, 255]]], [[[0, 255]]], [[[255, 0]]]], [0, 1, 1])
    val = part([[[[9, 9]]]], [0])
    arguments = {"train": train, "val": val, "crop_padding": 0, "flip": False} | changes
    return ImageData.from_parts("small", **arguments)


def test_statistics_by_hand():
    # channel 0: 0, 255, 0, 255 -> mean 1/2, deviation 1/2; channel 1: always 51 -> mean 1/5, deviation replaced by 1
    images = torch.tensor([[[[0, 255]], [[51, 51]]], [[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1.0))


def test_statistics_equal_a_float_computation():
    images = torch.randint(0, 256, (7, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = channel_statistics(images)
    exact = images.double() / 255
    assert mean == pytest.approx(exact.mean(dim=(0, 2, 3)).tolist())
    assert std == pytest.approx(exact.std(dim=(0, 2, 3), correction=0).tolist())


def test_fingerprint_counts():
    fingerprint = small().fingerprint
    assert (fingerprint.train_count, fingerprint.val_count) == (3, 1)
    assert fingerprint.train_counts == (1, 2)
    assert fingerprint.image_shape == (1, 1, 2)
    assert json.loads(fingerprint.to_json()) == {
        "sha256": fingerprint.sha256,
        "train_count": 3,
        "val_count": 1,
        "classes": ["a", "b"],
        "train_counts": [1, 2],
        "image_shape": [1, 1, 2],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"val": part([[[[9, 8]]]], [0])},
        {"val": part([[[[9, 9]]]], [1])},
        {"train": part([[[[0, 255]]], [[[0, 255]]], [[[255, 1]]]], [0, 1, 1])},
        {"train": part([[[[0, 255]]], [[[0, 255]]], [[[255, 0]]]], [1, 0, 1])},
    ],
)
def test_one_pixel_or_label_changes_the_fingerprint(changes):
    assert small().fingerprint == small().fingerprint
    assert small().fingerprint.sha256 != small(**changes).fingerprint.sha256


def test_properties_and_device():
    data = small()
    assert (data.num_classes, data.image_shape) == (2, (1, 1, 2))
    moved = data.to("meta")
    assert {t.device.type for t in (moved.train_images, moved.train_labels, moved.val_images, moved.val_labels)} == {
        "meta"
    }
    assert data.train_images.device.type == "cpu"
    assert moved.fingerprint == data.fingerprint


def test_is_frozen_and_its_test_part_is_none_or_closed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().name = "other"
    tests = {field.name: field.type for field in dataclasses.fields(ImageData) if "test" in field.name}
    assert tests == {"test": "SealedImages | None"}
    assert small().test is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": Labelled(("a", "b"), torch.zeros(1, 1, 1, 2), torch.zeros(1).long())}, "must be uint8"),
        ({"train": part([[[[0, 255]]]], [0, 1])}, r"must be int64 \(1,\)"),
        ({"val": part([[[[9, 9]]]], [0], classes=("a", "c"))}, "differ in classes"),
        ({"val": part([[[[9]]]], [0])}, "differ in classes or image shape"),
        (
            {"val": Labelled(("a", "b"), torch.zeros(0, 1, 1, 2, dtype=torch.uint8), torch.zeros(0).long())},
            "holds no images",
        ),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(DataError, match=message):
        small(**changes)
