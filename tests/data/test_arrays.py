import numpy as np
import pytest
from sklearn.datasets import load_digits

from replaytree.data import from_arrays, load_data
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
        (IMAGES, [0, 1], r"labels are int64 \(2,\); they must be whole numbers \(4,\)"),
        (IMAGES, [0.0, 0, 1, 1], "labels are float64"),
        (IMAGES, [0, 0, 2, 2], r"labels are \[0, 2\]; every class from 0 to 2 must be there"),
        (IMAGES, [-1, -1, 0, 0], r"labels are \[-1, 0\]"),
    ],
)
def test_arrays_of_another_form_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        from_arrays(images, labels)
