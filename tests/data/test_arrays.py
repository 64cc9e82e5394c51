import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from replaytree.data import as_data, from_arrays, load_data
from replaytree.data.read_named import digits_to_bytes
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
        (IMAGES[0, 0], [0] * 8, "images are uint8"),
        (
            np.zeros((4, 20, 32, 30), np.uint8),
            [0, 0, 1, 1],
            r"either 20 or 30 .*--channel-axis first or last .in Python",
        ),
        (np.zeros((4, 3, 9, 3), np.uint8), [0, 0, 1, 1], "either 3 or 3 may be the number of channels"),
        (np.zeros((4, 1, 9, 1), np.uint8), [0, 0, 1, 1], "either 1 or 1 may be the number of channels"),
        ([], [], r"images are float64 \(0,\)"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], [0, 1], "images are not an array .*resize the images"),
        (np.full((4, 8, 8), np.nan), [0, 0, 1, 1], "hold values that are not finite, first in image 0"),
        (np.full((4, 8, 8), np.inf), [0, 0, 1, 1], "hold values that are not finite"),
        (np.full((4, 8, 8), 2**40), [0, 0, 1, 1], r"hold whole numbers up to 1.09951e\+12, of more than 32 bits"),
        (IMAGES > 5, [0, 0, 1, 1], r"`images.astype\('uint8'\) \* 255` makes them"),
        (IMAGES.astype(complex), [0, 0, 1, 1], "of bytes, whole numbers or floats$"),
        (np.zeros((4, 0, 8), np.uint8), [0, 0, 1, 1], r"images are uint8 \(4, 0, 8\)"),
        (IMAGES, [0, 1], r"labels are int64 \(2,\); they must be whole numbers \(4,\), one an image"),
        (IMAGES, None, "they must be whole numbers"),
        (IMAGES, [0.0, 0, 1, 1], "labels are float64 .*numpy.unique"),
        (IMAGES, [False, False, True, True], "labels are bool .*numpy.unique"),
        (IMAGES, np.eye(4)[:, :2], r"labels are float64 \(4, 2\).*`labels.argmax\(axis=1\)`"),
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


@pytest.mark.parametrize(
    ("shape", "axis", "expected"),
    [
        ((1, 1, 1), None, (1, 1, 1)),
        ((3, 9, 3), "last", (3, 3, 9)),
        ((3, 9, 3), "first", (3, 9, 3)),
        ((13, 64, 64), None, (13, 64, 64)),
        ((64, 64, 13), None, (13, 64, 64)),
        ((7, 32, 30), None, (7, 32, 30)),
        ((2, 4, 4), None, (2, 4, 4)),
        ((20, 32, 30), "first", (20, 32, 30)),
        ((20, 32, 30), "last", (30, 20, 32)),
    ],
)
def test_where_channels_are(shape, axis, expected):
    images = np.zeros((4, *shape), np.uint8)
    assert from_arrays(images, LABELS, val_fraction=0.5, channel_axis=axis).image_shape == expected


def pixels(data):
    return torch.cat([data.train_images, data.val_images])


def test_fractions_and_floats_of_bytes_are_the_bytes():
    expected = from_arrays(IMAGES, LABELS, val_fraction=0.5)
    for images in (IMAGES / 255, (IMAGES / 255).astype(np.float32), IMAGES.astype(np.float16), IMAGES.astype(np.int64)):
        data = from_arrays(images, LABELS, val_fraction=0.5)
        assert data.fingerprint == expected.fingerprint
    assert from_arrays(IMAGES / 255, LABELS, val_fraction=0.5).ranges == {"float": (0.0, 1.0)}
    assert from_arrays(IMAGES.astype(np.int64), LABELS, val_fraction=0.5).ranges == {}


def test_whole_numbers_of_16_bits_keep_their_upper_8():
    data = from_arrays(IMAGES.astype(np.uint16) * 256 + 255, LABELS, val_fraction=0.5)
    assert data.fingerprint == from_arrays(IMAGES, LABELS, val_fraction=0.5).fingerprint
    assert data.ranges == {"integer": (0.0, 65535.0)}
    assert data.notes == ("images of uint16: values from 0 to 65535 become 0 to 255, in all images alike",)


def test_negative_floats_are_scaled_from_the_least_to_the_largest():
    images = np.linspace(-2.0, 3.0, 4 * 64).reshape(4, 8, 8)
    data = from_arrays(images, LABELS, val_fraction=0.5)
    assert sorted(pixels(data).flatten().tolist()) == list(range(256))
    assert data.ranges == {"float": (-2.0, 3.0)}


def test_channels_of_sensors_have_ranges_of_their_own():
    images = np.zeros((4, 2, 8, 8))
    images[:, 0] = np.linspace(0, 1000, 256).reshape(4, 8, 8)
    images[:, 1] = np.linspace(-1, 1, 256).reshape(4, 8, 8)
    data = from_arrays(images, LABELS, val_fraction=0.5)
    assert data.ranges == {"float 0": (0.0, 1000.0), "float 1": (-1.0, 1.0)}
    assert [sorted(pixels(data)[:, k].flatten().tolist()) for k in (0, 1)] == [list(range(256))] * 2
    assert data.notes[1] == "images of float64: values of channel 1 from -1 to 1 become 0 to 255, in all images alike"


def test_an_outlier_that_leaves_few_steps_is_told():
    images = np.linspace(0.0, 1.0, 4 * 64).reshape(4, 8, 8)
    images[0, 0, 0] = 1e4
    notes = from_arrays(images, LABELS, val_fraction=0.5).notes
    assert notes[1].startswith("98 % of the values lie within 1 of the 256 steps, so that little is told apart")


def test_words_are_labels():
    data = from_arrays(IMAGES, ["dog", "dog", "cat", "cat"], val_fraction=0.5)
    assert data.classes == ("cat", "dog")
    assert pixels(data).shape[0] == 4
    numbers = from_arrays(IMAGES, [1, 1, 0, 0], classes=["cat", "dog"], val_fraction=0.5)
    assert data.fingerprint == numbers.fingerprint
    given = from_arrays(IMAGES, ["dog", "dog", "cat", "cat"], classes=["dog", "cat"], val_fraction=0.5)
    assert given.classes == ("dog", "cat")
    with pytest.raises(DataError, match="name classes that the training images do not have: cat"):
        from_arrays(IMAGES, ["dog", "dog", "cat", "cat"], classes=["dog", "bird"])


@pytest.mark.parametrize("part", ["val", "test"])
def test_numbers_for_words_of_digits_are_names(part):
    """Never indices, by which 1 would be the class '2'. Where classes are stated, numbers are indices."""

    words = (IMAGES // 2, ["1", "2", "3", "1"])

    def numbers(given, **options):
        data = from_arrays(IMAGES, ["1", "1", "3", "2"], val_fraction=0.5, **{"val": words, part: given}, **options)
        return (data.val_labels if part == "val" else data.test.unsealed().labels_N).tolist()

    assert numbers((IMAGES // 2, [1, 2, 1, 2])) == [0, 1, 0, 1]
    assert numbers((IMAGES // 2, [3, 2, 1, 1])) == [2, 1, 0, 0]
    with pytest.raises(DataError, match=r"labels of the .* images name classes .* do not have: 0$"):
        numbers((IMAGES // 2, [0, 1, 2, 1]))
    assert numbers((IMAGES // 2, [0, 1, 2, 1]), classes=["3", "2", "1"]) == [0, 1, 2, 1]


def test_a_column_of_labels():
    """As MedMNIST stores them."""
    data = from_arrays(IMAGES, np.array([[0], [0], [1], [1]]), val_fraction=0.5)
    assert data.fingerprint == from_arrays(IMAGES, LABELS, val_fraction=0.5).fingerprint


def test_a_test_part_is_closed_and_no_part_of_the_data():
    plain = from_arrays(IMAGES, LABELS, val_fraction=0.5)
    data = from_arrays(IMAGES, LABELS, val_fraction=0.5, test=(IMAGES[:3] // 2, [1, 0, 1]))
    assert data.fingerprint == plain.fingerprint
    assert data.nbytes == plain.nbytes
    assert (len(data.test), repr(data.test), data.without_test().test) == (3, "SealedImages(3)", None)
    part = data.test.unsealed()
    assert part.labels_N.tolist() == [1, 0, 1]
    assert part.images_NCHW.numpy().transpose(0, 2, 3, 1).tolist() == (IMAGES[:3] // 2).tolist()


def test_a_test_part_has_the_range_of_the_training_images():
    images = np.linspace(0.0, 8.0, 4 * 64).reshape(4, 8, 8)
    data = from_arrays(images, LABELS, val_fraction=0.5, test=(images[:2] / 2, [0, 1]))
    # 4 of 0 to 8 is 127.5 of 255; alone these would reach 255.
    assert int(data.test.unsealed().images_NCHW.max()) < 128
    with pytest.raises(
        DataError, match=r"the array of test images holds values from 0 to .*, and the training images 0 to 8"
    ):
        from_arrays(images, LABELS, val_fraction=0.5, test=(images * 9, LABELS))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (IMAGES, "test is a ndarray; it must be a pair"),
        ((IMAGES[:, :5], LABELS), r"test images are 3x5x8 .channels x rows x columns., and the training images 3x6x8"),
        ((IMAGES, [0, 1]), r"labels of the test images are int64 \(2,\); they must be whole numbers \(4,\)"),
        (
            (IMAGES, [0, 0, 1, 2]),
            "labels of the test images name classes that the training images do not have: 2",
        ),
        ((IMAGES, list("aabb")), "labels of the test images name classes that the training images do not have: a, b"),
        ((IMAGES.astype(np.uint16) * 256, LABELS), "the array of test images holds more than 8 bits a value"),
        ((np.full(IMAGES.shape, np.nan), LABELS), "test images hold values that are not finite"),
    ],
)
def test_test_parts_of_another_form_are_refused(test, message):
    with pytest.raises(DataError, match=message):
        from_arrays(IMAGES, LABELS, val_fraction=0.5, test=test)


def test_arrays_are_resized():
    data = from_arrays(IMAGES, LABELS, val_fraction=0.5, image_size="4x12", resize="pad", test=(IMAGES // 2, LABELS))
    assert (data.image_shape, data.resize, data.test.unsealed().images_NCHW.shape) == ((3, 4, 12), "pad", (4, 3, 4, 12))


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


def test_a_validation_part_of_ones_own():
    data = from_arrays(IMAGES, LABELS, val=(IMAGES[:3] // 2, [1, 0, 1]))
    assert (data.train_labels.tolist(), data.val_labels.tolist()) == (LABELS, [1, 0, 1])
    assert data.val_images.numpy().transpose(0, 2, 3, 1).tolist() == (IMAGES[:3] // 2).tolist()
    with pytest.raises(DataError, match="validation images are 3x5x8"):
        from_arrays(IMAGES, LABELS, val=(IMAGES[:, :5], LABELS))
    with pytest.raises(DataError, match="val is a ndarray; it must be a pair"):
        from_arrays(IMAGES, LABELS, val=IMAGES)
