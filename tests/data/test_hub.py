"""Data sets of Hugging Face, by a minimal object of their form, and by the real package where it is there."""

import numpy as np
import pytest
import torch
from PIL import Image

from replaytree import Search
from replaytree.data import as_data, from_arrays, is_hub
from replaytree.errors import ConfigError, DataError

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (20, 8, 10, 3), dtype=np.uint8)
LABELS = [number % 2 for number in range(20)]


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Value:
    pass


class Split:
    """Rows in memory, with the attributes of datasets.Dataset that are asked for."""

    def __init__(self, rows, features):
        self.rows, self.features = rows, features
        self.column_names = list(features)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __iter__(self):
        return iter(self.rows)


# The types of columns are known by their names, as is the image here.
ImageFeature = type("Image", (), {})
FEATURES = {"image": ImageFeature(), "label": ClassLabel(["cat", "dog"])}


def split(pixels=PIXELS, labels=LABELS, features=FEATURES, make=Image.fromarray):
    image, label = features
    return Split([{image: make(p), label: n} for p, n in zip(pixels, labels, strict=True)], features)


def test_pictures_and_class_labels():
    data = from_arrays(split(), val_fraction=0.2)
    expected = from_arrays(PIXELS, LABELS, classes=["cat", "dog"], val_fraction=0.2)
    assert (data.name, data.classes, data.fingerprint) == ("dataset", ("cat", "dog"), expected.fingerprint)
    assert as_data(split()).fingerprint == from_arrays(PIXELS, LABELS, classes=["cat", "dog"]).fingerprint


def test_splits_are_train_validation_and_test():
    splits = {
        "train": split(),
        "validation": split(PIXELS[:4] // 2, LABELS[:4]),
        "test": split(PIXELS[:6] // 3, LABELS[:6]),
        "extra": split(PIXELS[:2], LABELS[:2]),
    }
    data = from_arrays(splits)
    assert (data.train_count, data.val_count, len(data.test)) == (20, 4, 6)
    assert torch.equal(data.val_images.permute(0, 2, 3, 1), torch.from_numpy(PIXELS[:4] // 2))
    assert data.notes == ("not used: the split extra",)
    hidden = from_arrays({**splits, "test": split(PIXELS[:6] // 3, [-1] * 6)})
    assert hidden.test is None
    assert "the test split has no labels, and is not used" in hidden.notes


def test_a_test_split_with_some_labels_missing_is_not_left_out():
    with pytest.raises(DataError, match="labels of the test images go from -1 to 1, and those of the training images"):
        from_arrays({"train": split(), "test": split(PIXELS[:6] // 3, [0, 1, -1, 1, 0, 1])})


def test_arrays_and_grey_pictures():
    features = {"pixel_values": Value(), "label": Value()}
    data = from_arrays(split(PIXELS / 255, features=features, make=np.ndarray.tolist))
    assert (data.image_shape, data.classes, data.ranges) == ((3, 8, 10), ("0", "1"), {"float": (0.0, 1.0)})
    assert data.fingerprint.sha256 == from_arrays(PIXELS, LABELS).fingerprint.sha256
    grey = from_arrays(split(make=lambda pixels: Image.fromarray(pixels[:, :, 0])))
    assert grey.image_shape == (1, 8, 10)
    mixed = from_arrays(split(make=lambda pixels: Image.fromarray(pixels if pixels[0, 0, 0] % 2 else pixels[:, :, 0])))
    assert mixed.image_shape == (3, 8, 10)
    deep = from_arrays(split(make=lambda pixels: Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 256)))
    assert (deep.fingerprint, deep.ranges) == (grey.fingerprint, {"integer": (0.0, 65535.0)})


def test_pictures_of_several_sizes_need_one():
    def cut(pixels):
        return Image.fromarray(pixels[: 4 + pixels[0, 0, 0] % 2])

    with pytest.raises(DataError, match="images have several sizes, 4x10, 5x10 pixels; give image_size=32"):
        from_arrays(split(make=cut))
    assert from_arrays(split(make=cut), image_size="6x12", resize="pad").image_shape == (3, 6, 12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            split(features={"photo": Value(), "label": Value()}),
            "no column of images; it has photo, label: call",
        ),
        (
            Split([], {"image": ImageFeature(), "fine": ClassLabel([]), "coarse": ClassLabel([])}),
            r"several columns of labels: fine, coarse; .* call the one that is meant label, with dataset.rename_column",
        ),
        ({"one": split(), "two": split()}, "has the splits one, two, and none is called train"),
    ],
)
def test_data_sets_that_cannot_be_used(given, message):
    with pytest.raises(DataError, match=message):
        from_arrays(given)


def test_what_is_none():
    for other in (None, "digits", [1], {}, {"train": PIXELS}, PIXELS):
        assert not is_hub(other)
    streamed = type("Streamed", (), {"features": FEATURES, "column_names": [], "__getitem__": None})()
    with pytest.raises(DataError, match="streamed; load it whole, without streaming=True"):
        from_arrays(streamed)
    with pytest.raises(DataError, match="brings its own splits"):
        from_arrays(split(), test=(PIXELS, LABELS))


QUICK = {"max_layers": 2, "epochs_first": 1, "epochs_last": 1, "width": 0.25}


def test_a_search_goes_on_with_the_same_split(tmp_path):
    storage = f"sqlite:///{tmp_path}/tree.db"
    options = {"seed": 3, "val_fraction": 0.3, "image_size": 6, "storage": storage, **QUICK}
    search = Search(name="hub", dataset={"train": split(), "test": split(PIXELS // 2)}, **options).run(trainings=1)
    assert (search.data.image_shape, search.data.val_count) == ((3, 6, 6), 6)
    again = Search.resume("hub", data=split(), storage=storage).run(trainings=1)
    assert again.training_count == 2
    with pytest.raises(DataError, match="sha256 was"):
        Search.resume("hub", data=split(PIXELS // 2), storage=storage)
    with pytest.raises(ConfigError, match=r"train_limit is for .*; give dataset.select\(range\(...\)\) instead"):
        Search(dataset=split(), train_limit=10, storage=storage)


@pytest.mark.parametrize("given", [from_arrays(PIXELS, LABELS), split()], ids=["ours", "theirs"])
def test_images_may_be_given_as_the_data_set_but_not_twice(given):
    search = Search(dataset=given, storage="sqlite://", **QUICK)
    assert (search.data.image_shape, search.config.source.dataset) == ((3, 8, 10), None)
    with pytest.raises(ConfigError, match="dataset and data are both given; leave one of them out"):
        Search(dataset=given, data=given, storage="sqlite://", **QUICK)
    with pytest.raises(ConfigError, match="dataset was given beside data or an evaluator; give one of them"):
        Search(dataset="digits", data=given, storage="sqlite://", **QUICK)


def test_the_real_package():
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = datasets.Features({"img": datasets.Image(), "y": datasets.ClassLabel(names=["cat", "dog"])})
    pictures = [Image.fromarray(pixels) for pixels in PIXELS]
    made = datasets.Dataset.from_dict({"img": pictures, "y": LABELS}, features=features)
    expected = from_arrays(PIXELS, LABELS, classes=["cat", "dog"]).fingerprint
    assert as_data(made).fingerprint == expected
    both = datasets.DatasetDict({"train": made, "test": made.select(range(5))})
    data = from_arrays(both)
    assert (data.fingerprint, len(data.test)) == (expected, 5)
    assert from_arrays(made.with_format("numpy")).fingerprint == expected
    with pytest.raises(DataError, match="streamed"):
        from_arrays(made.to_iterable_dataset())
