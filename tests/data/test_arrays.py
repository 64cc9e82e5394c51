import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from replaytree.data import as_data, from_arrays, load_data
from replaytree.data.named import digits_to_bytes
from replaytree.errors import DataError

IMAGES = np.arange(4 * 6 * 8 * 3, dtype=np.uint8).reshape(4, 6, 8, 3)


def test_the_digits_as_arrays_are_the_digits():
    digits = load_digits()
    data = from_arrays(digits_to_bytes(digits.images), digits.target, name="digits")
    assert data.fingerprint == load_data("digits").fingerprint


def test_channels_come_first_and_classes_have_names():
    data = from_arrays(IMAGES, [0, 0, 1, 1], classes=["cat", "dog"], val_fraction=0.5)
    assert data.image_shape == (3, 6, 8)
    assert data.classes == ("cat", "dog")
    assert data.crop_padding == 0
    found = np.concatenate([data.train_images.numpy(), data.val_images.numpy()]).transpose(0, 2, 3, 1)
    assert {image.tobytes() for image in found} == {image.tobytes() for image in IMAGES}


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, [0, 0, 1, 1], r"images are float64 \(4, 6, 8, 3\); they must be uint8"),
        (IMAGES[0, 0], [0] * 8, "images are uint8"),
        (np.zeros((4, 7, 32, 30), np.uint8), [0, 0, 1, 1], r"reads as 30 channels; .*images.transpose\(0, 2, 3, 1\)"),
        (np.zeros((4, 8, 8), np.float32) + 1, [0, 0, 1, 1], r"numpy.rint\(images \* 255\).astype\('uint8'\)"),
        ([], [], r"images are float64 \(0,\)"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], [0, 1], "images are not an array .*resize the images"),
        (IMAGES / 255 - 0.5, [0, 0, 1, 1], r"go from -0.5 to .*: undo what normalised them"),
        (np.full((4, 8, 8), np.nan), [0, 0, 1, 1], "hold values that are not finite"),
        (np.full((4, 8, 8), np.inf), [0, 0, 1, 1], "hold values that are not finite"),
        (IMAGES > 5, [0, 0, 1, 1], r"`images.astype\('uint8'\) \* 255` makes them"),
        (IMAGES.astype("uint16") * 16, [0, 0, 1, 1], r"images \* \(255 / 4080\)"),
        (IMAGES.astype(complex), [0, 0, 1, 1], "0 to 255$"),
        (np.zeros((4, 0, 8), np.uint8), [0, 0, 1, 1], r"images are uint8 \(4, 0, 8\)"),
        (IMAGES, [0, 1], r"labels are int64 \(2,\); they must be whole numbers \(4,\), one an image"),
        (IMAGES, None, "they must be whole numbers"),
        (IMAGES, [0.0, 0, 1, 1], "labels are float64 .*numpy.unique"),
        (IMAGES, list("aabb"), "labels are <U1 .*numpy.unique"),
        (IMAGES, [False, False, True, True], "labels are bool .*numpy.unique"),
        (IMAGES, np.eye(4)[:, :2], r"labels are float64 \(4, 2\).*`labels.argmax\(axis=1\)`"),
        (IMAGES, np.zeros((4, 1), int), r"labels.ravel\(\)"),
        (IMAGES, [0, 0, 2, 2], r"labels are \[0, 2\]; there are 2 classes, so they must be 0 to 1"),
        (IMAGES, [-1, -1, 0, 0], r"labels are \[-1, 0\]"),
        (IMAGES, [0, 0, 10**12, 10**12], r"labels are \[0, 1000000000000\]"),
        (IMAGES, np.array([0, 0, 2**63, 2**63], np.uint64), r"labels are \[0, 9223372036854775808\]"),
        (IMAGES, [0, 0, 0, 0], "at least two classes"),
    ],
)
def test_arrays_of_another_form_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        from_arrays(images, labels)


LABELS = [0, 0, 1, 1]


def test_channels_first_are_recognised():
    """As torch and torchvision have them; one fingerprint whichever way they come."""
    last = np.arange(4 * 8 * 10 * 3, dtype=np.uint8).reshape(4, 8, 10, 3)
    first = last.transpose(0, 3, 1, 2)
    expected = from_arrays(last, LABELS, val_fraction=0.5)
    assert expected.image_shape == (3, 8, 10)
    for images in (first, torch.from_numpy(first.copy())):
        assert from_arrays(images, torch.tensor(LABELS), val_fraction=0.5).fingerprint == expected.fingerprint
    assert from_arrays(first[:, :1], LABELS, val_fraction=0.5).image_shape == (1, 8, 10)


def test_images_of_three_rows_are_channels_last():
    assert from_arrays(np.zeros((4, 3, 9, 3), np.uint8), LABELS, val_fraction=0.5).image_shape == (3, 3, 9)


def test_class_names_become_text():
    data = from_arrays(IMAGES, LABELS, classes=[0, 1], val_fraction=0.5)
    assert data.classes == ("0", "1")
    assert from_arrays(IMAGES, LABELS, classes=np.array(["a", "b"]), val_fraction=0.5).classes == ("a", "b")
    with pytest.raises(DataError, match="two classes are called '1'"):
        from_arrays(IMAGES, LABELS, classes=[1, "1"])
    with pytest.raises(DataError, match="classes are the text 'ab'"):
        from_arrays(IMAGES, LABELS, classes="ab")


def test_images_are_not_mirrored_unless_asked():
    assert not from_arrays(IMAGES, LABELS, val_fraction=0.5).flip
    assert from_arrays(IMAGES, LABELS, val_fraction=0.5, flip=True).flip


def test_what_is_given_as_data():
    many = (np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8), [0, 1] * 10)
    data = from_arrays(*many)
    assert as_data(data) is data
    assert as_data(many).fingerprint == data.fingerprint
    pairs = torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8), torch.zeros(4))
    for given, message in (
        (pairs, "data is the Dataset TensorDataset, .*replaytree.from_arrays"),
        (torch.utils.data.DataLoader(pairs), r"data is a DataLoader, .*of its \.dataset"),
        ("pictures", "data is a str; .*goes to dataset="),
        (many[0], "data is a ndarray; .*a pair"),
    ):
        with pytest.raises(DataError, match=message):
            as_data(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 2}, "classes are a int"),
        ({"classes": {"a", "b"}}, "classes are a set"),
        ({"classes": {0: "a", 1: "b"}}, "classes are a dict"),
        ({"classes": ["a"]}, "there are 1 classes"),
        ({"classes": ["a", "b", "c"]}, "they must be 0 to 2"),
        ({"val_fraction": "0.1"}, "val_fraction is '0.1'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed is None"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"crop_padding": -1}, "crop_padding is -1"),
        ({"crop_padding": 1.5}, "crop_padding is 1.5"),
        ({"flip": "no"}, "flip is 'no'"),
    ],
)
def test_options_of_another_kind_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        from_arrays(IMAGES, LABELS, **{"val_fraction": 0.5, **options})


@pytest.mark.filterwarnings("error")
def test_arrays_that_may_not_be_written_are_taken():
    images = IMAGES[..., :1].copy()
    images.setflags(write=False)
    assert from_arrays(images, LABELS, val_fraction=0.5).image_shape == (1, 6, 8)


def test_images_are_shown_in_one_line():
    data = from_arrays(IMAGES, LABELS, classes=["cat", "dog"], name="pets", val_fraction=0.5)
    assert repr(data) == "ImageData('pets', 2 train and 2 validation images of 3x6x8, 2 classes)"
