import importlib.util
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

from replaytree.data.read_named import digits_to_bytes, read_named
from replaytree.errors import DataError
from replaytree.sources.named import NAMED, data_folder, found


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def idx_images(images):
    """The bytes of an MNIST image file: magic, count, rows, columns, then the pixels."""
    return b"".join(int(n).to_bytes(4, "big") for n in (2051, *images.shape)) + images.tobytes()


def idx_labels(labels):
    return b"".join(n.to_bytes(4, "big") for n in (2049, len(labels))) + bytes(labels)


@pytest.fixture
def little_mnist(tmp_path):
    """MNIST's four files with three train images of 2 x 2 and unreadable test files."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(idx_images(np.arange(12, dtype=np.uint8).reshape(3, 2, 2)))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx_labels([7, 0, 9]))
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"")
    return tmp_path


def test_the_names():
    assert list(NAMED) == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"]
    assert [known.crop_padding for known in NAMED.values()] == [1, 2, 2, 4, 4, 4]
    assert [name for name, known in NAMED.items() if known.flip] == ["fashion-mnist", "cifar10", "cifar100"]


def test_digits_scale():
    assert digits_to_bytes(np.array([0.0, 1.0, 4.0, 15.0, 16.0])).tolist() == [0, 16, 64, 239, 255]


def test_digits_are_those_of_scikit_learn_wherever_its_file_is(tmp_path, monkeypatch):
    from sklearn.datasets import load_digits

    its, read = load_digits(), read_named("digits", tmp_path)
    assert (read.images_NCHW[:, 0].numpy() == digits_to_bytes(its.images)).all()
    assert (read.labels_N.numpy() == its.target).all()
    monkeypatch.setattr("replaytree.data.read_named.importlib.util.find_spec", lambda name: None)
    other = read_named("digits", tmp_path)
    assert (other.images_NCHW == read.images_NCHW).all()
    assert (other.labels_N == read.labels_N).all()


def test_digits_themselves(tmp_path):
    digits = read_named("digits", tmp_path)
    assert digits.images_NCHW.shape == (1797, 1, 8, 8)
    assert digits.images_NCHW.dtype == torch.uint8
    assert (int(digits.images_NCHW.min()), int(digits.images_NCHW.max())) == (0, 255)
    assert digits.labels_N[:10].tolist() == list(range(10))


def test_mnist_files_are_read_without_the_test_files(little_mnist):
    mnist = read_named("mnist", little_mnist)
    assert mnist.images_NCHW.tolist() == [[[[0, 1], [2, 3]]], [[[4, 5], [6, 7]]], [[[8, 9], [10, 11]]]]
    assert mnist.labels_N.tolist() == [7, 0, 9]
    assert mnist.classes == tuple("0123456789")


def test_damaged_files(little_mnist):
    file = little_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match=r"the files of mnist under .* are damaged .*delete them and copy them again"):
        read_named("mnist", little_mnist)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "digits"])
def test_failed_download_says_where_it_looked(name, tmp_path, offline):
    with pytest.raises(DataError) as caught:
        read_named(name, tmp_path)
    message = str(caught.value)
    for part in (f"{name} is not under {tmp_path}", f"{name}/train/<class>/*", "--data-dir", "REPLAYTREE_DATA"):
        assert part in message
    for file in NAMED[name].files:
        assert file in message


def test_data_folder_order(tmp_path, monkeypatch):
    assert data_folder() == tmp_path / "cache" / "replaytree" / "data"
    monkeypatch.setenv("REPLAYTREE_DATA", str(tmp_path / "from-environment"))
    assert data_folder() == tmp_path / "from-environment"
    assert data_folder(tmp_path / "given") == tmp_path / "given"


def test_found_nothing(tmp_path):
    here = importlib.util.find_spec("sklearn") is not None
    assert found(tmp_path) == {name: name == "digits" and here for name in NAMED}


def test_found_reads_no_file(tmp_path, little_mnist):
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"")
    (tmp_path / "cifar10" / "train").mkdir(parents=True)
    for file in NAMED["fashion-mnist"].files:
        (tmp_path / f"{file}.gz").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{file}.gz").write_bytes(b"")
    here = found(tmp_path)
    assert {name for name in here if here[name]} - {"digits"} == {"mnist", "fashion-mnist", "cifar10", "cifar100"}
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    assert not found(tmp_path)["mnist"]


def test_found_real_data(real_data):
    assert found(real_data)["mnist"]
    assert found(real_data)["cifar10"]


def test_real_mnist(real_data):
    mnist = read_named("mnist", real_data)
    assert mnist.images_NCHW.shape == (60000, 1, 28, 28)
    assert torch.bincount(mnist.labels_N).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
