"""Data sets made of others, as files that a search reads."""

from dataclasses import replace

import numpy as np
import pytest

from replaytree.data import load_data
from replaytree.data.array_files import array_parts
from replaytree.data.challenge import CHALLENGES
from replaytree.deliver.challenge_files import make_data
from replaytree.deliver.test_split import read_test
from replaytree.errors import ConfigError


def idx(magic, array):
    header = b"".join(int(n).to_bytes(4, "big") for n in (magic, *array.shape))
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """200 train and 50 test digits of 4x4 pixels, each of one value of its own: 1 to 200, and 201 up to 250."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, first, count in (("train", 1, 200), ("t10k", 201, 50)):
        values = np.arange(first, first + count)
        images = values[:, None, None] * np.ones((1, 4, 4))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(2051, images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(2049, values % 10))
    # 10,000 test images, as published, take a second.
    small = replace(CHALLENGES["addnist"], counts=(450, 150, 100))
    monkeypatch.setitem(CHALLENGES, "addnist", small)
    return tmp_path


def values(images):
    return {int(each) for each in np.unique(images)}


def test_parts_share_no_image_of_the_source(mnist, tmp_path):
    done = make_data("addnist", tmp_path / "add.npz", images=400, data_dir=str(mnist))
    assert done.counts[:2] == (300, 100)
    data = load_data(tmp_path / "add.npz")
    assert (data.image_shape, data.num_classes, data.train_count, data.val_count) == ((3, 4, 4), 20, 300, 100)
    assert array_parts(tmp_path / "add.npz") == {"train", "val", "test"}
    test = read_test(str(tmp_path / "add.npz"), data)
    seen = [values(part) for part in (data.train_images, data.val_images, test.images_NCHW)]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] <= set(range(1, 201))
    assert seen[2] <= set(range(201, 251))
    for images, labels in ((data.train_images, data.train_labels), (test.images_NCHW, test.labels_N)):
        sums = [sum(int(channel[0, 0]) % 10 for channel in image) - 1 for image in images]
        assert sums == [int(data.classes[label]) for label in labels.tolist()]


def test_pictures_are_the_arrays(mnist, tmp_path):
    make_data("addnist", tmp_path / "add.npz", images=80, seed=3, data_dir=str(mnist))
    make_data("addnist", tmp_path / "add", images=80, seed=3, data_dir=str(mnist))
    arrays, pictures = load_data(tmp_path / "add.npz"), load_data(tmp_path / "add", image_size=4)
    assert pictures.val_count == arrays.val_count == 20

    def by_class(data):
        return sorted(
            (data.classes[label], image.numpy().tobytes())
            for image, label in zip(data.train_images, data.train_labels.tolist(), strict=True)
        )

    assert by_class(arrays) == by_class(pictures)


def test_what_cannot_be_made(mnist, tmp_path):
    (tmp_path / "there").mkdir()
    for name, out, options, message in (
        ("subnist", "a.npz", {}, "'subnist' is no data set that can be made; choose one of addnist"),
        ("addnist", "a.csv", {}, "give a name that ends in .npz, or that of a new folder"),
        ("addnist", "there", {}, "there exists; give the name of a new folder"),
        ("addnist", "a.npz", {"images": 79}, "images is 79; 20 classes need at least 80"),
        ("addnist", "a.npz", {"images": 10**6}, "images is 1000000; .* were published"),
        ("addnist", "no/a.npz", {}, "the folder .*no does not exist"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_data(name, tmp_path / out, data_dir=str(mnist), **options)
    assert not list(tmp_path.glob("*.npz"))
    (tmp_path / "old.npz").write_bytes(b"old")
    with pytest.raises(ConfigError, match="exists; choose another --out, or give --force"):
        make_data("addnist", tmp_path / "old.npz", images=80, data_dir=str(mnist))
    make_data("addnist", tmp_path / "old.npz", images=80, data_dir=str(mnist), force=True)
    assert load_data(tmp_path / "old.npz").train_count == 60
