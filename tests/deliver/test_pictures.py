from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data import channels_last, from_arrays
from replaytree.deliver.load import load
from replaytree.deliver.model import Model
from replaytree.deliver.pictures import find_pictures, predict_pictures
from replaytree.errors import ConfigError, DataError

from .conftest import layers, network


@pytest.fixture(scope="module")
def model(weights):
    return load(weights)


@pytest.fixture
def folder(tmp_path, digits):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number in range(4):
        image = Image.fromarray(digits.val_images[number, 0].numpy())
        image.save(tmp_path / "in" / ("deep" if number == 3 else ".") / f"{number}.png")
    return tmp_path / "in"


def test_files_are_predicted_like_arrays(model, folder, digits):
    files = find_pictures(folder)
    assert [file.name for file in files] == ["0.png", "1.png", "2.png", "3.png"]
    found = predict_pictures(model, files, top_k=3)
    probabilities = model.predict_proba(digits.val_images[:4])
    for each, expected in zip(found.readable, probabilities, strict=True):
        assert len(each.classes) == 3
        assert each.classes[0] == model.classes[expected.argmax()]
        assert each.probabilities == pytest.approx(sorted(expected.tolist(), reverse=True)[:3], abs=1e-6)
    assert found.unreadable == ()


@pytest.mark.parametrize("axis", ["first", "last", None])
def test_arrays_of_as_many_channels_as_rows_and_columns(description, axis):
    """They are read as the training images were; where nobody said how, it is asked."""
    images = np.arange(2 * 8**3, dtype=np.uint8).reshape(2, 8, 8, 8)
    data = from_arrays(images, [0, 1], channel_axis="first", val=(images, [0, 1]))
    described = replace(
        description, **network(data, *layers("conv32k3")) | {"labels": "conv32k3"}, classes=data.classes,
        mean=data.mean, std=data.std, data={"dataset": "cubes.npz", "channel_axis": axis},
    )  # fmt: skip
    seen = []
    model = Model(described, lambda images_NCHW: seen.append(images_NCHW) or torch.zeros(len(images_NCHW), 2))
    if axis is None:
        for unknown in (model, Model(replace(described, data=None), model._logits)):
            with pytest.raises(
                DataError, match=r"either 8 or 8 may be .*; give a uint8 tensor of torch \(N, C, H, W\)"
            ):
                unknown.predict(images)
        model.predict(torch.from_numpy(images))
    else:
        model.predict(images)
    assert seen[0].tolist() == (images.transpose(0, 3, 1, 2) if axis == "last" else images).tolist()
    assert channels_last(images[:, :, :6], axis, shape=(8, 8, 6)).shape == (2, 8, 6, 8)
    assert channels_last(images[:, :, :6], axis, shape=(8, 6, 8)).shape == (2, 6, 8, 8)


def test_unreadable_files_are_listed_and_the_others_predicted(model, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    found = predict_pictures(model, [*find_pictures(folder), folder / "missing.png"])
    assert [file.name for file in found.unreadable] == ["broken.png", "missing.png"]
    assert len(found.readable) == 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_odd_pictures(model, tmp_path, mode):
    pixels = np.arange(30 * 17, dtype=np.uint16).reshape(30, 17) // 2
    file = tmp_path / ("odd.tiff" if mode == "CMYK" else "odd.png")
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(file)
    assert len(predict_pictures(model, [file]).readable) == 1


def test_deep_pictures_have_the_range_of_the_training(model, digits, tmp_path):
    """12-bit values in 16 bits: refused by a model that has seen 8 bits only, and equal to the 8 bits they hold."""
    pixels = digits.val_images[0, 0].numpy()
    Image.fromarray(pixels.astype(np.uint16) * 16).save(tmp_path / "deep.png")
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    refused = predict_pictures(model, [tmp_path / "deep.png"])
    assert refused.why == (
        "holds more than 8 bits a value, and the training images did not: scale its values to 0 to 255 and save it "
        "with 8 bits",
    )
    deep = Model(replace(model.description, ranges={"integer": (0.0, 4095.0)}), model.logits)
    found = predict_pictures(deep, [tmp_path / "deep.png", tmp_path / "plain.png"]).readable
    assert found[0].probabilities == found[1].probabilities
    Image.fromarray(pixels.astype(np.uint16) * 32).save(tmp_path / "deeper.png")
    too_large = predict_pictures(deep, [tmp_path / "deeper.png"])
    assert too_large.why == ("holds values from 0 to 8160, and the training images 0 to 4095",)


def test_a_grey_picture_is_the_same_in_colour(model, folder):
    Image.open(folder / "0.png").convert("RGB").save(folder / "colour.png")
    grey, colour = predict_pictures(model, [folder / "0.png", folder / "colour.png"]).readable
    assert grey.probabilities == colour.probabilities


def test_what_cannot_be_predicted(model, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        find_pictures(tmp_path / "empty")
    assert find_pictures(tmp_path / "missing.png") == [tmp_path / "missing.png"]
    with pytest.raises(ConfigError, match="top_k is 0"):
        predict_pictures(model, [], top_k=0)
    assert predict_pictures(model, []).readable == ()


def test_arrays_of_another_form(model):
    for images, message in (
        (np.zeros((2, 8, 8)) + 0.5, "the array of images holds floats, .* not: multiply it by 255 and round it, then"),
        (np.zeros((2, 8, 8)) + 254.5, "floats, and the training images did not: round it, then save it with 8 bits"),
        (np.zeros((2, 8, 8)) - 0.5, "did not: scale its values to 0 to 255, round them, then save it with 8 bits"),
        (np.full((2, 8, 8), np.nan), "not finite"),
        (np.zeros((2, 9, 8), np.uint8), "images are 9x8 pixels; this model takes 8x8"),
        (np.zeros((2, 8, 8, 4), np.uint8), "4 channels"),
    ):
        with pytest.raises(DataError, match=message):
            model.predict(images)
    assert model.predict_proba(np.zeros((0, 8, 8), np.uint8)).shape == (0, 10)
    assert model.predict_proba(np.zeros((0, 8, 8))).shape == (0, 10)
    assert isinstance(model, Model)
    assert repr(model).startswith("Model('conv32k4")


def test_one_image_alone(model, description):
    images = np.arange(2 * 3 * 8 * 6, dtype=np.uint8).reshape(2, 8, 6, 3)
    data = from_arrays(images, [0, 1], val=(images, [0, 1]))
    described = replace(
        description, **network(data, *layers("conv32k3")) | {"labels": "conv32k3"}, classes=data.classes,
        mean=data.mean, std=data.std,
    )  # fmt: skip
    seen = []
    colour = Model(described, lambda images_NCHW: seen.append(images_NCHW) or torch.zeros(len(images_NCHW), 2))
    expected = images[:1].transpose(0, 3, 1, 2)
    assert len(colour.predict(images[0])) == 1
    assert seen[-1].tolist() == expected.tolist()
    assert len(colour.predict(images[0, :, :, 0])) == 1
    assert seen[-1].tolist() == np.repeat(expected[:, :1], 3, axis=1).tolist()
    assert len(colour.predict(images[..., 0])) == 2
    with pytest.raises(
        DataError, match=r"may be one image or 3 grey ones: give \(1, 3, 8, 6\) for one, .* \(3, 8, 6, 1\)"
    ):
        colour.predict(expected[0])
    with pytest.raises(DataError, match=r"takes 8x6: resize them; one image alone needs a first axis: images\[None\]"):
        colour.predict(images[0, :7])
    assert len(model.predict(np.zeros((1, 8, 8), np.uint8))) == len(model.predict(np.zeros((8, 8), np.uint8))) == 1


def test_arrays_are_scaled_as_the_training_images_were(model, digits):
    """Floats by the range that the model remembers; bytes as they are; channels where they fit."""
    images_NHW = digits.val_images[:4, 0].numpy()
    scaled = Model(replace(model.description, ranges={"float": (0.0, 2.0)}), model.logits)
    expected = model.predict_proba(images_NHW)
    for images in (images_NHW / 255 * 2, images_NHW[..., None] / 255 * 2, images_NHW, digits.val_images[:4]):
        assert scaled.predict_proba(images) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(DataError, match="the array of images holds values from 0 to 9, and the training images 0 to 2"):
        scaled.predict(images_NHW / 255.0 * 0 + np.linspace(0, 9, 8))
